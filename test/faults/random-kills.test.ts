/** Workers that are killed at random, again and again: every task gets its one record, and nothing is left behind. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/runtime.ts';
import { PrivateEngine } from '../support/engine.ts';
import { git } from '../support/git.ts';
import { GitServer } from '../support/git-server.ts';
import { seeded } from '../support/seeded.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';
import { WorkerProcess } from '../support/worker-process.ts';

const TASKS = 24;
const KILLS = 12;
const KILL_EVERY_MS = 1_500;

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
  it('lose nothing and do nothing twice', { timeout: 240_000 }, async () => {
    const seed = 1 + Math.floor(Math.random() * 1_000_000);
    const random = seeded(seed);
    const repo = new TaskRepository(await server.createRepository('kills'));
    const ids = Array.from({ length: TASKS }, (_, index) => `t${String(index).padStart(2, '0')}`);
    await repo.queue(Object.fromEntries(ids.map((id, index) => [id, { script: `sleep ${index % 4}; echo ${id}` }])));
    const start = (name: string): WorkerProcess =>
      WorkerProcess.start({
        directory: directory.path,
        name,
        repoUrl: server.url('kills'),
        dockerHost: engine.host,
        env: { MAX_PARALLEL_TASKS: '2', HEARTBEAT_INTERVAL: '1', NODE_TTL: '6' },
      });
    const names = ['a', 'b', 'c'];
    const workers = names.map(start);
    for (let kill = 0; kill < KILLS; kill += 1) {
      await systemClock.sleep(random(2 * KILL_EVERY_MS));
      const victim = random(workers.length);
      await workers[victim]?.stop('SIGKILL');
      workers[victim] = start(names[victim] as string);
    }
    await until(`all records (seed ${seed})`, async () => (await repo.queued()).length === 0, 120_000);
    await until('the refs to go', async () => (await repo.refs('refs/dgrid/tasks/')).length === 0, 30_000);
    await until('the containers to go', async () => (await engine.countLeftovers()) === 0, 30_000);
    for (const id of ids) {
      expect(await repo.record(id), `seed ${seed}`).toMatchObject({
        task_id: id,
        status: 'success',
        stdout: `${id}\n`,
      });
    }
    // One record each, brought by the very commit that took the task out of the queue.
    const added = await git(repo.path, [
      'log',
      '--format=',
      '--name-status',
      '--diff-filter=A',
      'main',
      '--',
      'tasks/completed',
      'tasks/failed',
    ]);
    const records = added.split('\n').filter((line) => line.endsWith('.json'));
    expect(records).toHaveLength(TASKS);
    for (const worker of workers) {
      await worker.logged('worker.ready');
      expect(await worker.stop()).toBe(0);
    }
  });
});
