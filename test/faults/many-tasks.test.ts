/** A long queue, and workers that are killed every few seconds: each task gets its one record, and nothing is left. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/runtime.ts';
import { SeededRandom } from '../simulation/seeded-random.ts';
import { expectNoViolations } from '../support/broken-rule.ts';
import { Fleet } from '../support/fleet.ts';
import { GitServer } from '../support/git-server.ts';
import { judge } from '../support/oracle/judge.ts';
import { ServerHistory } from '../support/oracle/server-history.ts';
import { atScale } from '../support/scale.ts';
import { StubWorkerProcess } from '../support/stub-worker-process.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { testSeed } from '../support/test-seed.ts';
import { until } from '../support/until.ts';

const TASKS = atScale(300, 10_000);
const WORKERS = atScale(3, 8);
const TASKS_PER_COMMIT = 2_500;
/** Of the time that a worker takes to start: on a machine that is slow just now, dying all the time is all they would do. */
const KILL_EVERY_STARTS = { min: 0.7, max: 2 };
const KILL_EVERY_LEAST_MS = 1_500;
/** One in so many is killed while it still begins. */
const KILLED_BEGINNING = 4;
const MAX_KILLS = atScale(8, 100_000);
const LIMIT_MS = atScale(200_000, 4 * 3_600_000);
const REST_LIMIT_MS = 60_000;

let server: GitServer;
let directory: TempDir;

beforeAll(async () => {
  server = await GitServer.start();
  directory = makeTempDir('many');
});

afterAll(async () => {
  await server.stop();
  directory.remove();
});

describe('a long queue', () => {
  it(`of ${TASKS} tasks gets ${TASKS} records from workers that are killed`, {
    timeout: LIMIT_MS + 300_000,
  }, async () => {
    const seed = testSeed();
    const random = new SeededRandom(seed);
    const repo = new TaskRepository(await server.createRepository('many'));
    const truth = await ServerHistory.install(repo.path);
    const ids = Array.from({ length: TASKS }, (_, index) => `t${String(index).padStart(5, '0')}`);
    for (let first = 0; first < TASKS; first += TASKS_PER_COMMIT) {
      const some = ids.slice(first, first + TASKS_PER_COMMIT);
      await repo.queue(
        Object.fromEntries(some.map((id) => [id, { script: random.chance(0.1) ? 'sleep 1000' : 'exit 0' }])),
      );
    }
    const startedMs = performance.now();
    const names = Array.from({ length: WORKERS }, (_, index) => `w${index}`);
    await using fleet = Fleet.start(names, (name, onEntry) =>
      StubWorkerProcess.start({
        directory: directory.path,
        name,
        repoUrl: server.url('many'),
        onEntry,
        env: {
          MAX_PARALLEL_TASKS: String(atScale(40, 100)),
          HEARTBEAT_INTERVAL: '2',
          NODE_TTL: '10',
          RECORD_BATCH_SIZE: String(atScale(50, 500)),
          // Being killed is no fault of the tasks here.
          MAX_TAKEOVERS: '1000',
        },
      }),
    );
    while ((await repo.queued()).length > 0) {
      const starts = random.between(KILL_EVERY_STARTS.min, KILL_EVERY_STARTS.max);
      await systemClock.sleep(Math.max(KILL_EVERY_LEAST_MS, starts * fleet.lastStartMs));
      expect(performance.now() - startedMs, `seed ${seed}`).toBeLessThan(LIMIT_MS);
      if (fleet.kills >= MAX_KILLS) continue;
      const onceReady = !random.chance(1 / KILLED_BEGINNING);
      await fleet.killAndRestart(random.pick(names), { onceReady });
    }
    const minutes = (performance.now() - startedMs) / 60_000;
    await until('the refs to go', async () => (await repo.refs('refs/dgrid/tasks/')).length === 0, REST_LIMIT_MS);
    expect(await fleet.stop(), `seed ${seed}`).toEqual(names.map(() => 0));
    const { violations, figures } = await judge(truth, fleet.history, { settled: true });
    expectNoViolations(violations, `seed ${seed}`);
    const files = await repo.files();
    expect(files.filter((path) => path.startsWith('tasks/completed/'))).toHaveLength(TASKS);
    console.info(
      `many tasks (seed ${seed}): ${figures.records} records of ${figures.tasks} tasks in ${minutes.toFixed(1)} minutes, ` +
        `${fleet.kills} kills, ${figures.starts} starts, ${figures.startedMoreThanOnce} tasks started more than once, ` +
        `${figures.takeovers} takeovers, ${figures.lateResultsRejected} late results rejected, ${figures.changes} moves of refs`,
    );
  });
});
