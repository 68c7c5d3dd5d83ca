/** What is left of three workers that may push six times a minute each. */
import { setTimeout as pause } from 'node:timers/promises';
import { atMost, type Figure, figure } from '../frame/figure.ts';
import { fastImport, historyStream, queueTasks } from '../frame/fixtures.ts';
import type { Lab, Suite } from '../frame/suite.ts';
import { startTaskServer } from '../frame/task-server.ts';
import { BenchWorker } from '../frame/worker.ts';

const WORKERS = 3;
const PUSHES_PER_MINUTE = 6;
const SLOTS = 8;
const TASK_MS = 1_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const READY_BOUND_MS = 60_000;

export const budget: Suite = {
  name: 'budget',
  title: 'three workers that may push six times a minute each',
  method:
    'Three worker processes with stub engines, GIT_PUSHES_PER_MINUTE=6 and MAX_PARALLEL_TASKS=8 each, else the default settings, ' +
    'on one bare repository behind git http-backend on loopback, with more tasks of one second than they can run. After one ' +
    'minute to settle, three minutes are watched: the server counts the pushes that arrive, the most in any minute ' +
    'among them, and the results that workers are told were accepted are counted. The baseline is the same without a budget, ' +
    'watched for one minute.',
  aim: 'at most 18 pushes in any minute, 6 for each worker',
  boundMinutes: 15,
  run,
};

interface Watched {
  /** In each span of a minute that begins with a push. */
  pushesInMinute: number[];
  pushes: number;
  results: number;
  ms: number;
}

async function run(lab: Lab): Promise<Figure[]> {
  const rationed = await watch(lab, PUSHES_PER_MINUTE, {
    settleMs: lab.size(2_000, MINUTE_MS),
    ms: lab.size(15_000, 3 * MINUTE_MS),
  });
  const free = await watch(lab, 0, { settleMs: lab.size(1_000, 15_000), ms: lab.size(5_000, MINUTE_MS) });
  const perHour = ({ results, ms }: Watched) => ({ value: (HOUR_MS * results) / ms, samples: results });
  const perMinute = ({ pushes, ms }: Watched) => ({ value: (MINUTE_MS * pushes) / ms, samples: pushes });
  const name = 'without a budget';
  return [
    figure({
      name: 'most pushes of all three in any minute, by the server',
      unit: 'pushes/min',
      value: Math.max(0, ...rationed.pushesInMinute),
      samples: rationed.pushes,
      baseline: { name, value: Math.max(0, ...free.pushesInMinute), samples: free.pushes },
      aim: atMost(WORKERS * PUSHES_PER_MINUTE, '≤ 18'),
    }),
    figure({
      name: 'pushes of all three, on average',
      unit: 'pushes/min',
      ...perMinute(rationed),
      baseline: { name, ...perMinute(free) },
    }),
    figure({
      name: 'results accepted',
      unit: 'tasks/h',
      better: 'higher',
      ...perHour(rationed),
      baseline: { name, ...perHour(free) },
    }),
  ];
}

async function watch(
  lab: Lab,
  pushesPerMinute: number,
  { settleMs, ms }: { settleMs: number; ms: number },
): Promise<Watched> {
  await using server = await startTaskServer();
  await fastImport(server.path, historyStream({ commits: 20, results: 40, queued: 0 }));
  const name = pushesPerMinute === 0 ? 'free' : 'rationed';
  let results = 0;
  const workers = Array.from({ length: WORKERS }, (_, at) =>
    lab.use(
      BenchWorker.start({
        directory: lab.directory.path,
        name: `${name}-${at + 1}`,
        repoUrl: server.url,
        engine: 'stub',
        env: {
          LOG_LEVEL: 'debug',
          MAX_PARALLEL_TASKS: String(SLOTS),
          GIT_PUSHES_PER_MINUTE: String(pushesPerMinute),
          RECORD_DELAY: '',
          PULL_INTERVAL: '',
          HEARTBEAT_INTERVAL: '',
        },
        onEntry: ({ event }) => {
          if (event === 'result.acknowledged') results += 1;
        },
      }),
    ),
  );
  await Promise.all(workers.map((worker) => worker.next('worker.ready', READY_BOUND_MS)));
  const tasks = Math.ceil((1.5 * WORKERS * SLOTS * (settleMs + ms)) / TASK_MS);
  await queueTasks(server.path, tasks, name, `sleep ${TASK_MS}`);
  for (const { process } of workers) process.child.kill('SIGUSR2');
  lab.tell(`${name}: watching for ${ms / 1_000} s, after ${settleMs / 1_000} s`);
  await pause(settleMs);
  const before = { results, pushes: server.pushesMs.length };
  const startedMs = performance.now();
  await pause(ms);
  const tookMs = performance.now() - startedMs;
  const watched = server.pushesMs.slice(before.pushes);
  const done = results - before.results;
  await Promise.all(workers.map((worker) => worker.stop('SIGKILL')));
  return {
    pushesInMinute: watched.map((fromMs) => watched.filter((at) => at >= fromMs && at < fromMs + MINUTE_MS).length),
    pushes: watched.length,
    results: done,
    ms: tookMs,
  };
}
