/** Two workers, one after the other on one state directory and one port, the second of which does not wait for the first to end. */
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { freePort } from '../../support/free-port.ts';
import { GitServer } from '../../support/git-server.ts';
import { TaskRepository } from '../../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../../support/temp.ts';
import { WorkerProcess } from '../../support/worker-process.ts';

let directory: TempDir;
let server: GitServer;
let httpPort: string;

beforeAll(async () => {
  directory = makeTempDir('lock-wait');
  server = await GitServer.start();
  await new TaskRepository(await server.createRepository('r')).commit({ 'README.md': 'x' });
  httpPort = String(await freePort());
});
afterAll(async () => {
  await server.stop();
  directory.remove();
});

function start(env: Record<string, string> = {}): WorkerProcess {
  const worker = WorkerProcess.start({
    directory: directory.path,
    name: 'box',
    repoUrl: server.url('r'),
    // It runs no task, and does without one.
    dockerHost: 'unix:///nowhere',
    env: { HTTP_PORT: httpPort, ...env },
  });
  onTestFinished(async () => void (await worker.stop('SIGKILL')));
  return worker;
}

it('begins when the one before it has ended, with the same pages', async () => {
  const first = start();
  await first.logged('worker.ready');
  const second = start({ LOCK_WAIT_SECONDS: '60' });
  await second.logged('worker.waiting', ({ holder_pid: holder }) => holder === first.pid);
  expect(await first.stop()).toBe(0);
  await second.logged('worker.ready');
  expect(second.entries('http.unavailable')).toEqual([]);
  expect((await fetch(`http://127.0.0.1:${httpPort}/startupz`)).status).toBe(200);
  expect(await second.stop()).toBe(0);
});

it('ends at once when it is stopped while it waits, and leaves the one before it alone', async () => {
  const first = start();
  await first.logged('worker.ready');
  const second = start({ LOCK_WAIT_SECONDS: '3600' });
  await second.logged('worker.waiting');
  expect(await second.stop()).toBe(0);
  expect(first.ended).toBe(false);
  expect(await first.stop()).toBe(0);
});
