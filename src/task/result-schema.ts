/** Reading records back: strict in what we know, tolerant of fields that a later version adds. */
import { z } from 'zod';
import { ID_PATTERN, isNodeId, isTaskId } from './id.ts';
import { FAILURE_REASONS, RESULT_SCHEMA_VERSION, type ResultRecord } from './result.ts';

export type ParsedRecord =
  | { ok: true; record: ResultRecord }
  /** A newer version of the software wrote it: not ours to judge. */
  | { ok: false; kind: 'newer-version'; version: number }
  | { ok: false; kind: 'invalid'; problems: string[] };

const MAX_PROBLEMS = 20;

const count = z.int().min(0);
const durationMs = z.number().min(0).nullable();
const instant = z.iso.datetime();

const stream = (name: string, what: string): string => `${what} the task wrote to its standard ${name}.`;

const recordSchema = z
  .looseObject({
    schema_version: z.literal(RESULT_SCHEMA_VERSION).describe('Raised by changes that older readers would misread.'),
    task_id: z.string().refine(isTaskId, { error: 'is no task id' }).meta({ pattern: ID_PATTERN.source }),
    node_id: z
      .string()
      .refine(isNodeId, { error: 'is no node id' })
      .meta({ pattern: ID_PATTERN.source, description: 'The node that made the result.' }),
    attempt: count.describe(
      '1 for the first start of the task, one more for each further one; 0: it never was started.',
    ),
    status: z.enum(['success', 'failed']).describe('success: it ended with exit code 0.'),
    reason: z.enum(FAILURE_REASONS).nullable().describe('Why it failed; null for a success.'),
    message: z.string().describe('The same for people, with figures.'),
    exit_code: z.int().nullable().describe('null: it has none, because the task was never started or was stopped.'),
    stdout: z.string().describe(stream('output', 'The beginning and the end of what')),
    stderr: z.string().describe(stream('error', 'The beginning and the end of what')),
    stdout_bytes: count.describe(stream('output', 'How many bytes')),
    stderr_bytes: count.describe(stream('error', 'How many bytes')),
    stdout_truncated: z
      .boolean()
      .describe('Whether stdout is not all of it; more may stand in a file beside the record.'),
    stderr_truncated: z.boolean().describe('The same of stderr.'),
    timestamp: instant.describe('The end of the task, in UTC by the clock of the node; the same as finished_at.'),
    claimed_at: instant.nullable(),
    started_at: instant.nullable(),
    finished_at: instant,
    timings_ms: z
      .looseObject({
        claim: durationMs.describe('From the decision to claim until the claim was won.'),
        pull: durationMs.describe('Pulling the image; 0 when it was there.'),
        start: durationMs.describe('From the request for a container until it ran.'),
        run: durationMs.describe('Until the process ended.'),
        collect: durationMs.describe('Collecting output and verdict.'),
      })
      .describe('Milliseconds; null where a phase did not happen or was not measured.'),
    usage: z.looseObject({
      cpu_seconds: z.number().min(0).nullable().describe('Processor time, in seconds.'),
      peak_memory_bytes: count.nullable().describe('The most memory that it held, in bytes.'),
    }),
    image: z
      .looseObject({ name: z.string(), digest: z.string().nullable() })
      .nullable()
      .describe('The image that it ran in; null: it never came to that.'),
    task: z.unknown().describe('The task as it was submitted; null where the file was no JSON.'),
    signer: z.string().optional().describe('Who signed the task file, by the keys that the worker trusts.'),
    log_sha256: z
      .looseObject({ stdout: z.string().nullable(), stderr: z.string().nullable() })
      .optional()
      .describe('SHA-256 of the files with the whole output, in a signed record.'),
    spec_blob: z
      .string()
      .regex(/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/, { error: 'is no Git object id' })
      .describe('The Git object id of the task file that was run.'),
  })
  .refine((record) => (record.status === 'success') === (record.reason === null), {
    path: ['reason'],
    error: 'must be null for a success, and name the reason of a failure',
  })
  .describe('What became of a task: tasks/completed/<task_id>.json or tasks/failed/<task_id>.json');

/** JSON Schema (draft 2020-12) of the record, for other programs. */
export function recordJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(recordSchema, { target: 'draft-2020-12', io: 'input' });
  const outcome = (status: string, reason: object) => ({ properties: { status: { const: status }, reason } });
  return {
    ...schema,
    title: 'D-GRID result',
    oneOf: [outcome('success', { type: 'null' }), outcome('failed', { type: 'string' })],
  };
}

/** `value` is parsed JSON. Never throws. */
export function parseResultRecord(value: unknown): ParsedRecord {
  const version = versionOf(value);
  if (version !== null && version > RESULT_SCHEMA_VERSION) return { ok: false, kind: 'newer-version', version };
  const parsed = recordSchema.safeParse(value);
  if (parsed.success) return { ok: true, record: parsed.data };
  const problems = parsed.error.issues
    .slice(0, MAX_PROBLEMS)
    .map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  return { ok: false, kind: 'invalid', problems };
}

function versionOf(value: unknown): number | null {
  if (typeof value !== 'object' || value === null || !('schema_version' in value)) return null;
  return typeof value.schema_version === 'number' ? value.schema_version : null;
}
