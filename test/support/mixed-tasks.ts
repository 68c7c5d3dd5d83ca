/** Tasks for workers of two versions: in words of the stub engine, with what must become of each. */
import { PRIORITIES } from '../../src/task/task-schema.ts';

export interface MixedTask {
  id: string;
  file: object;
  /** The reason of its record, or `success`. */
  expected: string;
  part: 'shared' | 'cancelled' | 'taken-over' | 'late';
}

/** Whose death a node is there to make good. */
export const LABEL_OF: Readonly<Record<string, string>> = {
  'old-2': 'lost-by-old',
  'new-1': 'lost-by-old',
  'new-2': 'lost-by-new',
  'old-1': 'lost-by-new',
};

const CANCELLED = 6;
const LATE = 40;
/** Long enough for its node to be killed meanwhile. */
const TAKEN_OVER_MS = 15_000;

const KINDS: readonly { file: object; expected: string }[] = [
  { file: { script: 'exit 3', retries: 1 }, expected: 'exit-code' },
  { file: { script: 'exit 4' }, expected: 'exit-code' },
  { file: { script: 'oom' }, expected: 'out-of-memory' },
  { file: { script: 'hang', timeout_seconds: 1 }, expected: 'timeout' },
  // No version knows such a field.
  { file: { script: 'exit 0', no_such_field: 1 }, expected: 'invalid-task' },
];
/** One of each kind in so many tasks; the others just take their time. */
const ROUND = 12;

export function mixedTasks(shared: number): MixedTask[] {
  const sleeping = (index: number): object => ({
    script: `sleep ${(index * 37) % 900}`,
    priority: PRIORITIES[index % PRIORITIES.length],
  });
  const tasks: MixedTask[] = [];
  for (let index = 0; index < shared; index += 1) {
    const kind = KINDS[index % ROUND] ?? { file: sleeping(index), expected: 'success' };
    tasks.push({ id: `t${String(index).padStart(4, '0')}`, ...kind, part: 'shared' });
  }
  for (let index = 0; index < CANCELLED; index += 1) {
    const file = { script: 'hang', timeout_seconds: 600, priority: 'critical' };
    tasks.push({ id: `cancelled-${index}`, file, expected: 'cancelled', part: 'cancelled' });
  }
  for (let index = 0; index < LATE; index += 1) {
    const file = { script: `sleep ${500 + 50 * index}` };
    tasks.push({ id: `late-${String(index).padStart(2, '0')}`, file, expected: 'success', part: 'late' });
  }
  for (const side of ['old', 'new']) {
    const file = { script: `sleep ${TAKEN_OVER_MS}`, requires: [`lost-by-${side}`], priority: 'critical' };
    tasks.push({ id: `from-${side}`, file, expected: 'success', part: 'taken-over' });
  }
  return tasks;
}
