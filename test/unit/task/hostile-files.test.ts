/** Whatever stands in a task file, reading it ends soon: with a task, or with problems that say where they are. */
import { afterAll, expect, it } from 'vitest';
import { taskId } from '../../../src/task/id.ts';
import { parseResultRecord } from '../../../src/task/result-schema.ts';
import { parseTaskFile } from '../../../src/task/spec.ts';
import { unstartedResult } from '../../../src/task/unstarted.ts';
import { goodTasks } from '../../support/hostile-samples.ts';
import { MUTATION_KINDS, type Mutant, mutants } from '../../support/mutator.ts';

const COUNT = 10_000;
const LIMITS = { maxTaskBytes: 256 * 1024, maxTimeoutSeconds: 3_600 };
const MAX_MESSAGE_CHARACTERS = 20_000;
/** Of a busy machine; on an idle one the slowest takes some ten milliseconds. */
const SOON_MS = 2_000;

const ended = new Map<string, { task: number; problem: number }>();
let slowest = { ms: 0, kind: '', bytes: 0 };

afterAll(() => {
  const classes = [...ended].map(([kind, { task, problem }]) => `${kind} ${task}/${problem}`).join(', ');
  const { bytes, kind, ms } = slowest;
  console.info(
    `task files: ${COUNT} mutants (tasks/problems): ${classes}; slowest ${ms.toFixed(1)} ms (${kind}, ${bytes} bytes)`,
  );
});

it(`reads ${COUNT} mutated task files`, { timeout: 120_000 }, () => {
  const id = taskId('sample');
  for (const mutant of mutants(goodTasks('sample'), COUNT, 4711)) {
    const startedMs = performance.now();
    const parsed = parseTaskFile(mutant.bytes, id, LIMITS);
    note(mutant, performance.now() - startedMs, parsed.ok);
    if (parsed.ok) continue;
    const message = parsed.problems.join('; ');
    expect(parsed.problems.length, mutant.kind).toBeGreaterThan(0);
    expect(message.length, mutant.kind).toBeLessThan(MAX_MESSAGE_CHARACTERS);
    for (const problem of parsed.problems) {
      expect(problem, mutant.kind).toMatch(/^(?:[a-z_]+:|"|the file |and \d+ more)/);
      expect(problem.isWellFormed(), mutant.kind).toBe(true);
    }
    // It becomes a record that can be read again.
    const facts = { taskId: id, nodeId: 'a' as never, attempt: 0, task: parsed.raw, specBlob: 'b'.repeat(40) as never };
    const { record } = unstartedResult(facts, 'invalid-task', message, '2030-01-01T00:00:00.000Z');
    const again = parseResultRecord(JSON.parse(JSON.stringify(record)));
    expect(again, mutant.kind).toMatchObject({ ok: true });
  }
  expect([...ended.keys()]).toEqual(MUTATION_KINDS);
  expect(slowest.ms, slowest.kind).toBeLessThan(SOON_MS);
  expect(({} as Record<string, unknown>)['x']).toBeUndefined();
});

function note({ bytes, kind }: Mutant, ms: number, ok: boolean): void {
  const counts = ended.get(kind) ?? { task: 0, problem: 0 };
  counts[ok ? 'task' : 'problem'] += 1;
  ended.set(kind, counts);
  if (ms > slowest.ms) slowest = { ms, kind, bytes: bytes.length };
}
