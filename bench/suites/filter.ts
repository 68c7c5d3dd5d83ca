/** What the filter in front of the engine costs a task. */
import { join } from 'node:path';
import { gridIdOf } from '../../src/executor/docker/grid-id.ts';
import { SITE_REPO } from '../../test/support/core-scenarios.ts';
import { finish, TEST_NODE, type TestExecutor, testExecutor, testJob } from '../../test/support/docker-jobs.ts';
import { until } from '../../test/support/until.ts';
import { WARM_LIMITS } from '../../test/support/warm-pool.ts';
import { WorkerProcess } from '../../test/support/worker-process.ts';
import { type Figure, figure } from '../frame/figure.ts';
import type { Lab, Suite } from '../frame/suite.ts';

const PROGRAM = join(import.meta.dirname, '../../bin/dgrid-worker');
const WARM_UPS = 3;
const FILL_BOUND_MS = 60_000;

export const filter: Suite = {
  name: 'filter',
  title: 'a task through the engine filter',
  method:
    'The executor alone, on a real container engine of its own, image busybox, one script of one echo at a time; in turns ' +
    'with the engine’s own socket and with that of dgrid-worker engine-filter, a process of its own with the same settings. ' +
    'From the call to start until the container runs with its script, and until its container is gone again. Cold: each task ' +
    'gets a container made for it. Warm: a container waits for it.',
  aim: 'none: to know the price',
  boundMinutes: 15,
  run,
};

async function run(lab: Lab): Promise<Figure[]> {
  const engine = await lab.engine();
  await engine.importBusybox();
  const listen = lab.directory.sub('f');
  const filterProcess = lab.use(
    WorkerProcess.start({
      directory: lab.directory.path,
      name: TEST_NODE,
      repoUrl: SITE_REPO,
      dockerHost: engine.host,
      program: [PROGRAM, 'engine-filter', '--listen', listen],
      env: {
        DOCKER_MEMORY: '256m',
        DOCKER_CPUS: '2',
        DOCKER_WORK_SIZE: '16m',
        DOCKER_PIDS_LIMIT: '64',
        MAX_OUTPUT_BYTES: '1m',
      },
    }),
  );
  await filterProcess.logged('filter.listening');
  const hosts = { direct: engine.host, filtered: `unix://${listen}` };
  const of = async (host: string, warmPoolSize: number): Promise<TestExecutor> =>
    lab.use(await testExecutor(host, { warmPoolSize, ...WARM_LIMITS }, { gridId: gridIdOf(SITE_REPO) }));
  const cold = { direct: await of(hosts.direct, 0), filtered: await of(hosts.filtered, 0) };
  const rounds = lab.size(3, 60) + WARM_UPS;
  const coldMs = await inTurns(lab, rounds, cold);
  // One after the other: pools of the same node would take each other's containers for leftovers.
  const warmMs = { direct: await warmRounds(await of(hosts.direct, 1), rounds), filtered: [] as Times[] };
  warmMs.filtered = await warmRounds(await of(hosts.filtered, 1), rounds);
  return [...figures('cold', coldMs), ...figures('warm', warmMs)];
}

interface Times {
  startMs: number;
  wholeMs: number;
}

interface Both<T> {
  direct: T;
  filtered: T;
}

async function inTurns(lab: Lab, rounds: number, executors: Both<TestExecutor>): Promise<Both<Times[]>> {
  const times: Both<Times[]> = { direct: [], filtered: [] };
  for (let round = 0; round < rounds; round += 1) {
    if (round % 10 === 0) lab.tell(`round ${round} of ${rounds}`);
    const direct = await once(executors.direct);
    const filtered = await once(executors.filtered);
    if (round < WARM_UPS) continue;
    times.direct.push(direct);
    times.filtered.push(filtered);
  }
  return times;
}

async function warmRounds(test: TestExecutor, rounds: number): Promise<Times[]> {
  const { executor } = test;
  executor.prepare('fill');
  const times: Times[] = [];
  for (let round = 0; round < rounds; round += 1) {
    await until('a container waits', () => (executor.poolStats()?.waiting ?? 0) > 0, FILL_BOUND_MS);
    const time = await once(test);
    if (round >= WARM_UPS) times.push(time);
  }
  await test.executor.close();
  return times;
}

async function once({ executor }: TestExecutor): Promise<Times> {
  const job = testJob('echo a');
  const began = performance.now();
  const run = await executor.start(job);
  const startMs = performance.now() - began;
  const { verdict } = await finish(run);
  if (verdict.kind !== 'exited' || verdict.exitCode !== 0)
    throw new Error(`the task did not end well: ${verdict.kind}`);
  return { startMs, wholeMs: performance.now() - began };
}

function figures(kind: string, { direct, filtered }: Both<Times[]>): Figure[] {
  return (['startMs', 'wholeMs'] as const).map((which) =>
    figure({
      name: `${kind}: told to start → ${which === 'startMs' ? 'it runs' : 'ended and removed'}, filtered`,
      unit: 'ms',
      values: filtered.map((time) => time[which]),
      baseline: { name: 'without the filter', values: direct.map((time) => time[which]) },
    }),
  );
}
