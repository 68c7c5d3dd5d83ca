/** Workers that would not look again for an hour are told that there is something to see: by a webhook, and by a signal. */
import { createHmac } from 'node:crypto';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { initBare } from '../support/git.ts';
import { StubWorkerProcess } from '../support/stub-worker-process.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';
import { WorkerProcess } from '../support/worker-process.ts';

const MAIN = join(import.meta.dirname, '../../src/cli/worker-main.ts');
/** From its source, so that nothing has to be built before. */
const SCRIPT = `import(${JSON.stringify(MAIN)}).then((program) => program.main(process.argv))`;
const SECRET = 'a secret of the tests';
const NEVER = '3600';

let directory: TempDir;

beforeAll(() => {
  directory = makeTempDir('nudges');
});

afterAll(() => directory.remove());

async function repository(name: string): Promise<TaskRepository> {
  const path = join(directory.path, `${name}.git`);
  await initBare(path);
  const repo = new TaskRepository(path);
  await repo.commit({ 'README.md': 'tasks\n' });
  return repo;
}

function looks(worker: WorkerProcess): number {
  return worker.entries('poll.skipped').length + worker.entries('poll.pulling').length;
}

async function nextLook(worker: WorkerProcess, after: number): Promise<void> {
  await until('a look', () => looks(worker) > after || worker.ended, 60_000);
  expect(worker.ended, worker.output).toBe(false);
}

async function call(port: number, secret = SECRET): Promise<unknown> {
  const body = JSON.stringify({ ref: 'refs/heads/main', after: 'f'.repeat(40) });
  const digest = createHmac('sha256', secret).update(body).digest('hex');
  const response = await fetch(`http://127.0.0.1:${port}/hooks/push`, {
    method: 'POST',
    body,
    headers: {
      'content-type': 'application/json',
      'x-github-event': 'push',
      'x-hub-signature-256': `sha256=${digest}`,
    },
  });
  return { code: response.status, ...((await response.json()) as object) };
}

describe('a worker that is told of something', () => {
  it('by a webhook claims at once, and by a signal', async () => {
    const repo = await repository('told');
    const port = await freePort();
    const secretFile = join(directory.path, 'webhook-secret');
    writeFileSync(secretFile, `${SECRET}\n`);
    chmodSync(secretFile, 0o600);
    const env = { PULL_INTERVAL: NEVER, HTTP_PORT: String(port), WEBHOOK_SECRET_FILE: secretFile };
    await using worker = StubWorkerProcess.start({ directory: directory.path, name: 'told', repoUrl: repo.path, env });
    await nextLook(worker, 0);
    expect((await worker.logged('http.listening'))['webhook']).toBe(true);

    await repo.queue({ hooked: { script: 'exit 0' } });
    expect(await call(port, 'another secret')).toEqual({ code: 401, status: 'refused' });
    expect(await call(port)).toEqual({ code: 202, status: 'looking' });
    await worker.logged('task.claimed', ({ task }) => task === 'hooked');
    await until('the record', async () => (await repo.record('hooked')) !== null, 60_000);

    await repo.queue({ signalled: { script: 'exit 0' } });
    worker.child.kill('SIGUSR2');
    await worker.logged('task.claimed', ({ task }) => task === 'signalled');
    await until('the other record', async () => (await repo.record('signalled')) !== null, 60_000);

    const health = (await (await fetch(`http://127.0.0.1:${port}/health`)).json()) as Record<string, unknown>;
    expect(health).toMatchObject({
      polling: { interval_ms: 3_600_000, interval_max_ms: 3_600_000, nudges: { webhook: 1, signal: 1 } },
      webhook: { accepted: 1, ignored: 0, refused: 1 },
    });
    expect(worker.entries('hook.refused')).toMatchObject([{ calls: 1, reason: 'wrong-signature' }]);
    expect(await worker.stop()).toBe(0);
    expect(worker.output).not.toContain(SECRET);
  });

  it('by a signal looks at once: the program itself, also when the signal comes too early to matter', async () => {
    const repo = await repository('signalled');
    await using worker = WorkerProcess.start({
      directory: directory.path,
      name: 'signalled',
      repoUrl: repo.path,
      dockerHost: 'unix:///nowhere',
      program: [process.execPath, '-e', SCRIPT, 'dgrid-worker', 'start'],
      env: { PULL_INTERVAL: NEVER, LOG_LEVEL: 'debug' },
    });
    await worker.logged('worker.started');
    worker.child.kill('SIGUSR2');
    await nextLook(worker, 0);
    // The engine is away, so a look is all that comes of it.
    const before = looks(worker);
    worker.child.kill('SIGUSR2');
    await worker.logged('poll.nudged', ({ source }) => source === 'signal');
    await nextLook(worker, before);
    expect(await worker.stop()).toBe(0);
  });
});
