/** Two stub workers share a queue over HTTP: the stand-in for containers does what the other fault tests expect of it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GitServer } from '../support/git-server.ts';
import { StubWorkerProcess } from '../support/stub-worker-process.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';

let server: GitServer;
let directory: TempDir;

beforeAll(async () => {
  server = await GitServer.start();
  directory = makeTempDir('stubs');
});

afterAll(async () => {
  await server.stop();
  directory.remove();
});

describe('stub workers', () => {
  it('share a queue, and tell every swap', async () => {
    const repo = new TaskRepository(await server.createRepository('stubs'));
    await repo.queue({ good: { script: 'exit 0' }, bad: { script: 'exit 3' }, slow: { script: 'sleep 500' } });
    const workers = ['a', 'b'].map((name) =>
      StubWorkerProcess.start({ directory: directory.path, name, repoUrl: server.url('stubs') }),
    );
    await until('all records', async () => (await repo.queued()).length === 0, 60_000);
    expect(await repo.record('bad')).toMatchObject({ status: 'failed', reason: 'exit-code', exit_code: 3 });
    expect(await repo.record('slow')).toMatchObject({ status: 'success', attempt: 1 });
    for (const worker of workers) expect(await worker.stop()).toBe(0);
    const results = workers
      .flatMap((worker) => worker.entries('swap.settled'))
      .filter(({ outcome }) => outcome === 'won');
    expect(results.length).toBeGreaterThan(6);
  });
});
