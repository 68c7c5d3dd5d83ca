/** Reading records back: strict in what we know, tolerant of fields that a later version adds. */
import { z } from 'zod';
import { isNodeId, isTaskId } from './id.ts';
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

const recordSchema = z
  .looseObject({
    schema_version: z.literal(RESULT_SCHEMA_VERSION),
    task_id: z.string().refine(isTaskId, { error: 'is no task id' }),
    node_id: z.string().refine(isNodeId, { error: 'is no node id' }),
    // 0: settled without ever being started.
    attempt: count,
    status: z.enum(['success', 'failed']),
    reason: z.enum(FAILURE_REASONS).nullable(),
    message: z.string(),
    exit_code: z.int().nullable(),
    stdout: z.string(),
    stderr: z.string(),
    stdout_bytes: count,
    stderr_bytes: count,
    stdout_truncated: z.boolean(),
    stderr_truncated: z.boolean(),
    timestamp: instant,
    claimed_at: instant.nullable(),
    started_at: instant.nullable(),
    finished_at: instant,
    timings_ms: z.looseObject({
      claim: durationMs,
      pull: durationMs,
      start: durationMs,
      run: durationMs,
      collect: durationMs,
    }),
    usage: z.looseObject({ cpu_seconds: z.number().min(0).nullable(), peak_memory_bytes: count.nullable() }),
    image: z.looseObject({ name: z.string(), digest: z.string().nullable() }).nullable(),
    task: z.unknown(),
    signer: z.string().optional(),
    log_sha256: z.looseObject({ stdout: z.string().nullable(), stderr: z.string().nullable() }).optional(),
    spec_blob: z.string().regex(/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/, { error: 'is no Git object id' }),
  })
  .refine((record) => (record.status === 'success') === (record.reason === null), {
    path: ['reason'],
    error: 'must be null for a success, and name the reason of a failure',
  });

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
