/** Tasks of every kind, drawn at random. */
import type { SeededRandom } from '../simulation/seeded-random.ts';

export interface DrawnTask {
  id: string;
  kind: string;
  /** The task file. */
  file: object;
  /** What a person does to it after it was queued; null: nothing. */
  next: { act: 'cancel' | 'withdraw'; afterMs: number } | null;
}

interface TaskKind {
  name: string;
  /** How often it is drawn, in proportion to the others. */
  weight: number;
  script: { docker: string; stub: string };
  fields?: object;
  act?: 'cancel' | 'withdraw';
}

const KINDS: readonly TaskKind[] = [
  { name: 'short', weight: 10, script: { docker: 'echo done', stub: 'exit 0' } },
  { name: 'working', weight: 6, script: { docker: 'sleep 3; echo done', stub: 'sleep 3000' } },
  { name: 'failing', weight: 3, script: { docker: 'echo no >&2; exit 3', stub: 'exit 3' } },
  {
    name: 'too slow',
    weight: 2,
    script: { docker: 'sleep 60', stub: 'hang' },
    fields: { timeout_seconds: 1 },
  },
  { name: 'retried', weight: 2, script: { docker: 'exit 1', stub: 'exit 1' }, fields: { retries: 1 } },
  {
    name: 'loud',
    weight: 2,
    script: { docker: 'head -c 300000 /dev/zero | tr "\\0" x', stub: 'exit 0' },
  },
  { name: 'hungry', weight: 1, script: { docker: 'x=a; while :; do x="$x$x"; done', stub: 'oom' } },
  { name: 'cancelled', weight: 2, script: { docker: 'sleep 20', stub: 'sleep 20000' }, act: 'cancel' },
  { name: 'withdrawn', weight: 2, script: { docker: 'sleep 20', stub: 'sleep 20000' }, act: 'withdraw' },
  { name: 'no task', weight: 1, script: { docker: '', stub: '' }, fields: { colour: 'red' } },
];

const PRIORITIES = ['critical', 'high', 'medium', 'low'] as const;
const LONGEST_WAIT_MS = 12_000;

export function drawTask(random: SeededRandom, number: number, engine: 'stub' | 'docker'): DrawnTask {
  const kind = drawKind(random);
  const id = `t${String(number).padStart(7, '0')}`;
  const file = { task_id: id, script: kind.script[engine], priority: random.pick(PRIORITIES), ...kind.fields };
  const next = kind.act ? { act: kind.act, afterMs: random.below(LONGEST_WAIT_MS) } : null;
  return { id, kind: kind.name, file, next };
}

function drawKind(random: SeededRandom): TaskKind {
  let left = random.below(KINDS.reduce((sum, { weight }) => sum + weight, 0));
  for (const kind of KINDS) {
    left -= kind.weight;
    if (left < 0) return kind;
  }
  return KINDS[0] as TaskKind;
}
