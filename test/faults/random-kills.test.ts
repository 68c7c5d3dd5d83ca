/** Workers that are killed at random, again and again: every task gets its one record, and nothing is left behind. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/runtime.ts';
import { SeededRandom } from '../simulation/seeded-random.ts';
import { expectNoViolations } from '../support/broken-rule.ts';
import { PrivateEngine } from '../support/engine.ts';
import { Fleet } from '../support/fleet.ts';
import { GitServer } from '../support/git-server.ts';
import { judge } from '../support/oracle/judge.ts';
import { ServerHistory } from '../support/oracle/server-history.ts';
import { atScale } from '../support/scale.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { testSeed } from '../support/test-seed.ts';
import { until } from '../support/until.ts';
import { WorkerProcess } from '../support/worker-process.ts';

const TASKS = atScale(24, 400);
const KILLS = atScale(12, 200);
const KILL_EVERY_MS = 1_500;
const LIMIT_MS = atScale(240_000, 3_600_000);
const NAMES = ['a', 'b', 'c'];

let engine: PrivateEngine;
let server: GitServer;
let directory: TempDir;

beforeAll(async () => {
  engine = await PrivateEngine.start();
  await engine.importBusybox();
  server = await GitServer.start();
  directory = makeTempDir('kills');
});

afterAll(async () => {
  await server.stop();
  await engine.stop();
  directory.remove();
});

describe('workers killed at random', () => {
  it('lose nothing and do nothing twice', { timeout: LIMIT_MS + 180_000 }, async () => {
    const seed = testSeed();
    const random = new SeededRandom(seed);
    const repo = new TaskRepository(await server.createRepository('kills'));
    const truth = await ServerHistory.install(repo.path);
    const ids = Array.from({ length: TASKS }, (_, index) => `t${String(index).padStart(3, '0')}`);
    await repo.queue(Object.fromEntries(ids.map((id, index) => [id, { script: `sleep ${index % 4}; echo ${id}` }])));
    await using fleet = Fleet.start(NAMES, (name, onEntry) =>
      WorkerProcess.start({
        directory: directory.path,
        name,
        repoUrl: server.url('kills'),
        dockerHost: engine.host,
        onEntry,
        env: {
          LOG_LEVEL: 'debug',
          MAX_PARALLEL_TASKS: '2',
          HEARTBEAT_INTERVAL: '1',
          NODE_TTL: '6',
          // Being killed is no fault of the tasks here.
          MAX_TAKEOVERS: '1000',
        },
      }),
    );
    while (fleet.kills < KILLS && (await repo.queued()).length > 0) {
      await systemClock.sleep(random.below(2 * KILL_EVERY_MS));
      await fleet.killAndRestart(random.pick(NAMES), { onceReady: random.chance(0.5) });
    }
    await until(`all records (seed ${seed})`, async () => (await repo.queued()).length === 0, LIMIT_MS);
    await until('the refs to go', async () => (await repo.refs('refs/dgrid/tasks/')).length === 0, 30_000);
    await until('the containers to go', async () => (await engine.countLeftovers()) === 0, 30_000);
    expect(await fleet.stop(), `seed ${seed}`).toEqual(NAMES.map(() => 0));
    for (const id of ids) {
      expect(await repo.record(id), `seed ${seed}`).toMatchObject({
        task_id: id,
        status: 'success',
        stdout: `${id}\n`,
      });
    }
    const { violations, figures } = await judge(truth, fleet.history, { settled: true });
    expectNoViolations(violations, `seed ${seed}`);
    console.info(
      `random kills (seed ${seed}): ${fleet.kills} kills, ${figures.records} records of ${figures.tasks} tasks, ` +
        `${figures.starts} starts, ${figures.startedMoreThanOnce} tasks started more than once, ` +
        `${figures.takeovers} takeovers, ${figures.adoptions} containers taken up again, ` +
        `${figures.lateResultsRejected} late results rejected`,
    );
  });
});
