/** How much of what the engine can do is left for tasks. */
import { availableParallelism } from 'node:os';
import { type BareRun, dockerRun } from '../frame/bare-engine.ts';
import { bareEngine, COLD, engineBench, followTask, queueSpeaker } from '../frame/engine-bench.ts';
import { type Figure, figure, timesBetter } from '../frame/figure.ts';
import { emptyQueue } from '../frame/queue-run.ts';
import { sum } from '../frame/statistics.ts';
import type { Lab, Suite } from '../frame/suite.ts';

const RUN_BOUND_MS = 300_000;
const PARALLEL = 2 * availableParallelism();

export const throughput: Suite = {
  name: 'throughput',
  title: 'no-op tasks per second on a real engine',
  method:
    'One worker process on a real container engine, image busybox, with twice as many tasks in parallel as there are cores, ' +
    'and otherwise the settings of a first start; from the first claim until the last result is in the repository. In turns with the ' +
    'bare Engine API calls (create, attach, wait, start, script on standard input, inspect, remove, with the settings that ' +
    'a worker asks for that keeps nothing ready) and with docker run --rm, both at the same parallelism.',
  aim: '≥ 95 % of the bare Engine API calls; ≥ 1.7 × docker run',
  limits:
    'the server runs on the same two cores, and the worker makes about 0.8 pushes a task there (counted), each of which takes ' +
    '60 to 80 ms of a core; the bare calls make none. The worker itself took 17 ms of a core a task.',
  boundMinutes: 40,
  run,
};

async function run(lab: Lab): Promise<Figure[]> {
  const rounds = lab.size(1, 5);
  const count = lab.size(8, 150);
  const bench = await engineBench(lab);
  const teacher = await bench.startWorker('teacher', { PULL_INTERVAL: '0.5', ...COLD });
  const seen = followTask(teacher, bench.tap, 'teaching');
  await queueSpeaker(bench.path, 'teaching');
  await seen;
  await teacher.stop();
  const bare = bareEngine(bench.tap);
  const env = { MAX_PARALLEL_TASKS: String(PARALLEL), HEARTBEAT_INTERVAL: '60' };
  const ms = { worker: [] as number[], bare: [] as number[], docker: [] as number[] };
  for (let round = 1; round <= rounds; round += 1) {
    lab.tell(`round ${round} of ${rounds}: ${count} tasks, ${PARALLEL} at a time`);
    const engine = { host: bench.host };
    const done = await emptyQueue(lab, { tasks: count, workers: 1, env, engine, boundMs: RUN_BOUND_MS });
    ms.worker.push(done.workMs);
    ms.bare.push(await inParallel(count, () => bare.run('exit 0')));
    ms.docker.push(await inParallel(count, () => dockerRun(bench.host, lab.directory.path, 'exit 0')));
  }
  const rate = (times: readonly number[]) => ({ value: (1000 * count * rounds) / sum(times), samples: count * rounds });
  const frame = { name: 'no-op tasks', unit: 'tasks/s', better: 'higher', ...rate(ms.worker) } as const;
  return [
    figure({
      ...frame,
      baseline: { name: 'bare Engine API calls', ...rate(ms.bare) },
      aim: timesBetter(0.95, '≥ 95 %'),
    }),
    figure({ ...frame, baseline: { name: 'docker run', ...rate(ms.docker) }, aim: timesBetter(1.7, '≥ 1.7 ×') }),
  ];
}

/** Answers how long all of them took together, in milliseconds. */
async function inParallel(count: number, once: () => Promise<BareRun>): Promise<number> {
  const startedMs = performance.now();
  let left = count;
  const lane = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await once();
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, lane));
  return performance.now() - startedMs;
}
