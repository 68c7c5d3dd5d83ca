/** `dgrid` in front of a real worker and a real container engine; and the demo. */
import { once } from 'node:events';
import { mkdirSync, readdirSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runClient, startClient } from '../support/client-program.ts';
import { PrivateEngine } from '../support/engine.ts';
import { GitServer } from '../support/git-server.ts';
import { processesWith } from '../support/processes.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';
import { WorkerProcess } from '../support/worker-process.ts';

let engine: PrivateEngine;
let server: GitServer;
let directory: TempDir;

beforeAll(async () => {
  engine = await PrivateEngine.start();
  await engine.importBusybox();
  server = await GitServer.start();
  directory = makeTempDir('e2e-client');
});

afterAll(async () => {
  await server.stop();
  const leftovers = await engine.countLeftovers();
  await engine.stop();
  directory.remove();
  expect(leftovers).toBe(0);
});

function homeOf(name: string): { home: string; temp: string } {
  const home = directory.sub(name);
  const temp = directory.sub(name, 'tmp');
  mkdirSync(temp, { recursive: true });
  return { home, temp };
}

it('submits, follows, waits and cancels', async () => {
  await server.createRepository('client');
  const url = server.url('client');
  const { home } = homeOf('user');
  const dgrid = (...args: string[]) => runClient(args, { home, env: { DGRID_REPO_URL: url } });
  expect((await dgrid('init', url)).code).toBe(0);
  await using worker = WorkerProcess.start({
    directory: directory.path,
    name: 'box',
    repoUrl: url,
    dockerHost: engine.host,
    env: { PULL_INTERVAL: '0.3', HEARTBEAT_INTERVAL: '1' },
  });
  const good = await dgrid('submit', '--script', 'echo out; echo err >&2', '--id', 'good', '--wait');
  expect(good).toMatchObject({ code: 0, out: expect.stringMatching(/^good +success +0 +1 .* out$/m) });
  expect((await dgrid('submit', '--script', 'exit 5', '--id', 'bad', '--wait')).code).toBe(3);
  expect(await dgrid('logs', 'good')).toEqual({ code: 0, out: 'out\n', err: 'err\n' });

  await dgrid('submit', '--script', 'i=0; while [ $i -lt 4000 ]; do echo "line $i"; i=$((i+1)); done', '--id', 'long');
  const followed = await dgrid('logs', 'long', '--follow');
  expect(followed.code).toBe(0);
  expect(followed.out.split('\n')).toHaveLength(4_001);
  expect(followed.out).toContain('\nline 2000\n');

  await dgrid('submit', '--script', 'sleep 60', '--id', 'sleepy');
  await worker.logged('task.started', ({ task }) => task === 'sleepy');
  const status = JSON.parse((await dgrid('status', '--json')).out) as Record<string, unknown>;
  expect(status).toMatchObject({
    in_work: [{ task_id: 'sleepy', node_id: 'box' }],
    nodes: [{ node_id: 'box', state: 'alive', slots: 1 }],
  });
  expect((await dgrid('cancel', 'sleepy')).code).toBe(0);
  await until('the container is gone', async () => (await engine.countLeftovers()) === 0);
  expect((await dgrid('wait', 'sleepy')).code).toBe(3);
  expect(await worker.stop()).toBe(0);
});

it('shows every kind of task in the demo, and leaves nothing behind', async () => {
  const { home, temp } = homeOf('demo');
  const env = { DOCKER_HOST: engine.host, TMPDIR: temp };
  const { code, out, err } = await runClient(['demo', '--json'], { home, env });
  expect([code, err]).toEqual([0, '']);
  const { tasks } = JSON.parse(out) as { tasks: { task_id: string; reason: string | null }[] };
  expect(tasks.map(({ reason }) => reason)).toEqual([
    null,
    null,
    null,
    'exit-code',
    'timeout',
    'out-of-memory',
    'rejected',
    'invalid-task',
  ]);
  expect(readdirSync(temp)).toEqual([]);
});

it('cleans up a demo that is interrupted', async () => {
  const { home, temp } = homeOf('interrupted');
  const child = startClient(['demo'], { home, env: { DOCKER_HOST: engine.host, TMPDIR: temp } });
  let out = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    out += chunk.toString();
  });
  const closed = once(child, 'close') as Promise<[number | null]>;
  await until('a task runs', () => out.includes('in work'), 30_000);
  const [dir = ''] = readdirSync(temp);
  child.kill('SIGINT');
  const [code] = await closed;
  expect(code).toBe(130);
  expect(readdirSync(temp)).toEqual([]);
  expect(processesWith(dir)).toEqual([]);
  expect(await engine.countLeftovers()).toBe(0);
});

it('says what to do where no engine answers', async () => {
  const { home, temp } = homeOf('no-engine');
  const env = { DOCKER_HOST: `unix://${home}/none.sock`, TMPDIR: temp };
  const { code, err } = await runClient(['demo'], { home, env });
  expect([code, err]).toEqual([1, expect.stringContaining('no container engine answers')]);
  expect(err).toContain('DOCKER_HOST');
  expect(readdirSync(temp)).toEqual([]);
});
