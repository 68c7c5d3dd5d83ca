/** The published schemas say the same as what reads the files; where a schema cannot, the reader is the stricter one. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { schemaFiles } from '../../../scripts/schema-files.ts';
import { isTaskId, type TaskId } from '../../../src/task/id.ts';
import { parseMemorySize } from '../../../src/task/memory-size.ts';
import { parseResultRecord, recordJsonSchema } from '../../../src/task/result-schema.ts';
import { parseTaskFile } from '../../../src/task/spec.ts';
import { isTooDeep } from '../../../src/task/strict-json.ts';
import { taskJsonSchema } from '../../../src/task/task-schema.ts';
import { goodRecord } from '../../support/hostile-samples.ts';
import { mutants } from '../../support/mutator.ts';

const ROOT = join(import.meta.dirname, '../../..');
const LIMITS = { maxTaskBytes: 1024 * 1024, maxTimeoutSeconds: 3_600 };
const ajv = new Ajv2020({ strict: false, strictNumbers: true, formats: { 'date-time': true } });
const allowsTask = ajv.compile(taskJsonSchema());
const allowsRecord = ajv.compile(recordJsonSchema());
const TASKS = 20_000;
const RECORDS = 5_000;

it.each([...schemaFiles()])('%s is up to date (npm run docs)', (path, content) => {
  expect(readFileSync(join(ROOT, path), 'utf8')).toBe(content);
});

/** What a schema cannot say. The reader refuses it, and each has a message of its own. */
const BEYOND_A_SCHEMA: Readonly<Record<string, (task: Record<string, unknown>) => boolean>> = {
  'half characters': (task) => !deepTexts(task).every((text) => text.isWellFormed()),
  'a memory size below 6m, or beyond all figures': ({ memory }) =>
    typeof memory === 'string' && (parseMemorySize(memory) ?? 0) < 6 * 1024 ** 2,
};
function deepTexts(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.entries(value).flat().flatMap(deepTexts) : [];
}

const text = fc.oneof(fc.string({ maxLength: 12 }), fc.constantFrom('', ' ', 'a', 'none', 'a\0b', '\ud800', 'é', '👍'));
const json = fc.jsonValue({ maxDepth: 2 });
const label = fc.constantFrom('arm64', 'a=b', '-x', '', 'x'.repeat(64));
/** For each field what is right, what is nearly right, and anything. */
const field = {
  task_id: fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom('a', 'build-1', 'x'.repeat(63)) },
    { weight: 1, arbitrary: fc.constantFrom('A', '-a', 'x'.repeat(64), '') },
    { weight: 1, arbitrary: json },
  ),
  script: fc.oneof({ weight: 4, arbitrary: fc.constant('echo hello') }, text, json),
  command: fc.oneof(
    { weight: 2, arbitrary: fc.array(fc.constantFrom('awk', '1'), { maxLength: 3 }) },
    fc.array(text, { maxLength: 3 }),
    json,
  ),
  timeout_seconds: fc.oneof(
    { weight: 3, arbitrary: fc.integer({ min: 1, max: 90 }) },
    fc.constantFrom(0, 0.5, 2_147_483, 2_147_484),
    json,
  ),
  image: fc.oneof(fc.constantFrom('busybox:stable', 'a/b@sha256:00', '-x', ' a', ''), text, json),
  env: fc.oneof(fc.dictionary(fc.constantFrom('A', '_b', '1', 'DGRID_X', 'a-b', 'DGRIDX'), text, { maxKeys: 3 }), json),
  network: fc.oneof(fc.constantFrom('none', 'builds', '.x', 'x'.repeat(129)), text, json),
  cpus: fc.oneof(fc.constantFrom(0.5, 0.01, 0.009, 2), fc.double(), json),
  memory: fc.oneof(
    fc.constantFrom('256m', ' 1G ', '1.5GiB', '8mb', '8kB', 'm', '1 g', '1.g', '99999999999t', 6_291_456, 6_291_455),
    text,
    json,
  ),
  priority: fc.oneof(fc.constantFrom('critical', 'high', 'medium', 'low', 'urgent'), json),
  retries: fc.oneof(fc.constantFrom(0, 10, 11, -1, 1.5), json),
  requires: fc.oneof(fc.array(label, { maxLength: 40 }), json),
  admission: fc.oneof(
    fc.record(
      {
        grid: fc.constantFrom('git.example.com/team/tasks', '', '-'),
        not_before: fc.constantFrom('2030-01-01T00:00:00Z', '2030-02-30T00:00:00Z', 'soon'),
        expires_at: fc.constantFrom('2030-01-01T00:00:00.5Z', '2030-01-01T00:00:00+01:00'),
        nonce: fc.constantFrom('9f8e7d6c5b4a3928', 'short'),
        more: json,
      },
      { requiredKeys: [] },
    ),
    json,
  ),
  secrets: fc.oneof(fc.array(fc.constantFrom('a', 'b', 'upload-token', '.x', ''), { maxLength: 18 }), json),
  $schema: fc.constant('../task.schema.json'),
  unknown: json,
};
/** Mostly few fields: with many, one is always wrong, and nothing is learned of the others. */
const task = fc
  .tuple(
    field.task_id,
    fc.oneof(fc.constant('script'), fc.constant('command'), fc.constant('both')),
    fc.subarray(Object.keys(field), { maxLength: 2 }),
  )
  .chain(([id, program, others]) => {
    const names = new Set([...others, ...(program === 'both' ? ['script', 'command'] : [program])]);
    names.delete('task_id');
    const chosen = Object.fromEntries([...names].map((name) => [name, field[name as keyof typeof field]]));
    return fc.record(chosen).map((rest) => ({ task_id: id, ...rest }));
  });

describe('the schema of a task', () => {
  it(`agrees with the worker on ${TASKS} tasks, but for what no schema can say`, () => {
    const seen = { both: 0, neither: 0, exceptions: 0 };
    fc.assert(
      fc.property(task, (value) => {
        const bytes = Buffer.from(JSON.stringify(value));
        const raw = JSON.parse(bytes.toString('utf8')) as Record<string, unknown>;
        const id = raw['task_id'];
        const parsed = parseTaskFile(bytes, typeof id === 'string' && isTaskId(id) ? id : ('a' as TaskId), LIMITS);
        const allowed = allowsTask(raw);
        if (allowed === parsed.ok) {
          seen[allowed ? 'both' : 'neither'] += 1;
          return;
        }
        const excuses = Object.keys(BEYOND_A_SCHEMA).filter((name) => BEYOND_A_SCHEMA[name]?.(raw));
        expect({
          allowed,
          ok: parsed.ok,
          excuses: excuses.length > 0,
          raw,
          problems: parsed.ok ? [] : parsed.problems,
        }).toMatchObject({ allowed: true, ok: false, excuses: true });
        seen.exceptions += 1;
      }),
      { numRuns: TASKS },
    );
    // A generator that makes only one kind would prove nothing.
    for (const count of Object.values(seen)) expect(count, JSON.stringify(seen)).toBeGreaterThan(TASKS / 1_000);
  });

  it('has a description and examples that are right for every field', () => {
    const { properties } = taskJsonSchema() as {
      properties: Record<string, { description?: string; examples?: unknown[] }>;
    };
    for (const [name, { description, examples }] of Object.entries(properties)) {
      expect(description, name).toBeTruthy();
      expect(name === 'priority' ? ['high'] : examples?.length, name).toBeTruthy();
      for (const example of examples ?? []) {
        const sample = { task_id: 'a', ...(name === 'command' ? {} : { script: 'true' }), [name]: example };
        const id = sample.task_id as TaskId;
        expect(parseTaskFile(Buffer.from(JSON.stringify(sample)), id, LIMITS), name).toMatchObject({ ok: true });
        expect(allowsTask(sample), name).toBe(true);
      }
    }
  });
});

describe('the schema of a record', () => {
  it(`agrees with what reads records on ${RECORDS} of them`, () => {
    const good = [goodRecord('t'), { ...goodRecord('t'), status: 'failed', reason: 'exit-code', exit_code: 7 }];
    for (const record of good) expect([allowsRecord(record), parseResultRecord(record).ok]).toEqual([true, true]);
    const seen = { both: 0, neither: 0 };
    for (const { bytes } of mutants(good, RECORDS, 11)) {
      let value: unknown;
      try {
        value = JSON.parse(bytes.toString('utf8'));
      } catch {
        continue;
      }
      // Refused before it comes to a schema.
      if (isTooDeep(bytes.toString('utf8'), 100)) continue;
      const parsed = parseResultRecord(value);
      expect(allowsRecord(value), JSON.stringify({ value, parsed }).slice(0, 2_000)).toBe(parsed.ok);
      seen[parsed.ok ? 'both' : 'neither'] += 1;
    }
    expect(Math.min(seen.both, seen.neither), JSON.stringify(seen)).toBeGreaterThan(RECORDS / 100);
  });
});
