/** Many workers on one queue: whether they get into each other's way. */
import { atLeast, atMost, type Figure, figure, timesBetter } from '../frame/figure.ts';
import { emptyQueue, type QueueRun } from '../frame/queue-run.ts';
import { sum } from '../frame/statistics.ts';
import type { Lab, Suite } from '../frame/suite.ts';

const WORKERS = 8;
const RUN_BOUND_MS = 180_000;
const SETTINGS = {
  PULL_INTERVAL: '1',
  HEARTBEAT_INTERVAL: '60',
  RECORD_BATCH_SIZE: '200',
  RECORD_DELAY: '1',
};

export const contention: Suite = {
  name: 'contention',
  title: 'eight workers on one queue',
  method:
    'Eight worker processes with stub engines, MAX_PARALLEL_TASKS=16 each, 2,000 tasks, on one bare repository behind git http-backend ' +
    'on loopback; then one such worker, and so on in turns, each time with a new repository. All workers are ready before ' +
    'the tasks are queued in one commit, and are told of it by a signal. A claim counts as won at the first try unless another worker was faster or the ' +
    'task turned out settled; a task counts as run twice when workers started it more than once.',
  aim: 'no task run twice; ≥ 95 % of claims won at the first try; not slower than one worker',
  limits:
    'eight workers make about four times as many pushes as one does for the same tasks (106 and 27 in a run that was ' +
    'looked at), since none can push for another, and each push costs the server 60 to 80 ms of a core on this machine, ' +
    'however little is in it: programs are started, and the check that all objects are there reads every ref of the ' +
    'repository twice (seen with GIT_TRACE2_PERF). Server and workers share two cores here, which are busy all the time.',
  boundMinutes: 40,
  run,
};

async function run(lab: Lab): Promise<Figure[]> {
  const rounds = lab.size(1, 5);
  const tasks = lab.size(80, 2_000);
  const env = { ...SETTINGS, MAX_PARALLEL_TASKS: String(lab.size(2, 16)) };
  const many: QueueRun[] = [];
  const one: QueueRun[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    for (const [workers, results] of [[WORKERS, many] as const, [1, one] as const]) {
      lab.tell(`round ${round} of ${rounds}: ${tasks} tasks, ${workers} workers`);
      results.push(await emptyQueue(lab, { tasks, workers, env, engine: 'stub', boundMs: RUN_BOUND_MS }));
    }
  }
  const of = (runs: readonly QueueRun[], what: 'ms' | 'claimed' | 'lost' | 'startedAgain'): number =>
    sum(runs.map((each) => each[what]));
  const rate = (runs: readonly QueueRun[]) => ({
    value: (1000 * tasks * rounds) / of(runs, 'ms'),
    samples: tasks * rounds,
  });
  const tries = (runs: readonly QueueRun[]): number => of(runs, 'claimed') + of(runs, 'lost');
  const firstTry = (runs: readonly QueueRun[]) => ({
    value: (100 * of(runs, 'claimed')) / tries(runs),
    samples: tries(runs),
  });
  const baseline = 'one worker';
  return [
    figure({
      name: 'claimed, finished and recorded by eight',
      unit: 'tasks/s',
      better: 'higher',
      ...rate(many),
      baseline: { name: baseline, ...rate(one) },
      aim: timesBetter(1, 'not slower than one'),
    }),
    figure({
      name: 'claims won at the first try',
      unit: '%',
      better: 'higher',
      ...firstTry(many),
      baseline: { name: baseline, ...firstTry(one) },
      aim: atLeast(95, '≥ 95 %'),
    }),
    figure({
      name: 'tasks run twice',
      unit: 'tasks',
      value: of(many, 'startedAgain'),
      samples: tasks * rounds,
      baseline: { name: baseline, value: of(one, 'startedAgain'), samples: tasks * rounds },
      aim: atMost(0, 'none'),
    }),
  ];
}
