/** A worker without rights on the engine's socket, and the filter as another process: whole tasks, on a real engine. */
import { chownSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { LABEL } from '../../src/executor/docker/labels.ts';
import { PrivateEngine } from '../support/engine.ts';
import { GitServer } from '../support/git-server.ts';
import { tryProgram } from '../support/programs.ts';
import { rawRequest, sendRaw } from '../support/raw-http.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { hermeticEnv, makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';
import { WorkerProcess } from '../support/worker-process.ts';

const PROGRAM = join(import.meta.dirname, '../../bin/dgrid-worker');
/** Numbers that no account has: rights need none. */
const WORKER = 64_001;
const AS_WORKER = ['setpriv', `--reuid=${WORKER}`, `--regid=${WORKER}`, '--clear-groups'];
const NAME = 'box';

let directory: TempDir;
let engine: PrivateEngine;
let server: GitServer;
let socketPath: string;
let filter: WorkerProcess;

beforeAll(async () => {
  directory = makeTempDir('filtered');
  engine = await PrivateEngine.start();
  await engine.importBusybox();
  server = await GitServer.start();
  mkdirSync(directory.sub('run'));
  for (const path of [directory.path, directory.sub('run')]) chownSync(path, 0, WORKER);
  await tryProgram('chmod', ['750', directory.path, directory.sub('run')]);
  socketPath = directory.sub('run', 's');
  filter = await startFilter();
});

afterAll(async () => {
  await filter?.stop();
  await server?.stop();
  await engine?.stop();
  directory.remove();
});

async function startFilter(): Promise<WorkerProcess> {
  const started = WorkerProcess.start({
    directory: directory.sub('filter'),
    name: NAME,
    repoUrl: server.url('tasks'),
    // As in a file that both read.
    dockerHost: `unix://${socketPath}`,
    program: [PROGRAM, 'engine-filter', '--listen', socketPath, '--group', String(WORKER), '--engine', engine.host],
    // Of the worker's business, and not readable for the filter.
    env: { GIT_TOKEN_FILE: '/nowhere/token' },
  });
  await started.logged('filter.listening');
  return started;
}

function startWorker(): WorkerProcess {
  const home = directory.sub('worker');
  mkdirSync(join(home, NAME), { recursive: true });
  for (const path of [home, join(home, NAME)]) chownSync(path, WORKER, WORKER);
  return WorkerProcess.start({
    directory: home,
    name: NAME,
    repoUrl: server.url('tasks'),
    dockerHost: `unix://${socketPath}`,
    program: [...AS_WORKER, PROGRAM, 'start'],
    // So that it notices an engine that is gone while nothing else asks for it.
    env: { WARM_POOL_SIZE: '1', HEALTH_CHECK_EVERY: '1' },
  });
}

it('listens for its group alone', () => {
  const { mode, gid } = statSync(socketPath);
  expect([(mode & 0o777).toString(8), gid]).toEqual(['660', WORKER]);
});

it('is the only way to the engine, and enough for doctor', async () => {
  const repo = new TaskRepository(await server.createRepository('tasks'));
  await repo.queue({ looked: { script: 'true' } });
  const check = async (host: string): Promise<Record<string, string>> => {
    const home = directory.sub('worker', 'doctor');
    mkdirSync(home, { recursive: true });
    chownSync(home, WORKER, WORKER);
    const env = hermeticEnv(home, {
      DGRID_REPO_URL: server.url('tasks'),
      DGRID_STATE_DIR: home,
      NODE_ID: NAME,
      DOCKER_HOST: host,
      DOCKER_MEMORY: '64m',
      DOCKER_WORK_SIZE: '16m',
    });
    const [command, ...args] = [...AS_WORKER, PROGRAM, 'doctor', '--json'];
    const { stdout, stderr } = await tryProgram(command, args, { cwd: home, env });
    const { checks } = JSON.parse(stdout || `{"checks":[]}`) as { checks: { check: string; outcome: string }[] };
    expect(checks, stderr).not.toEqual([]);
    return Object.fromEntries(checks.map(({ check: name, outcome }) => [name, outcome]));
  };
  expect(await check(engine.host)).toMatchObject({ 'container engine': 'broken' });
  expect(await check(`unix://${socketPath}`)).toMatchObject({ 'container engine': 'ok', limits: 'ok', image: 'ok' });
});

it('carries tasks through, across the end of the filter and of the worker', async () => {
  const repo = new TaskRepository(join(server.root, 'tasks.git'));
  await using worker = startWorker();
  await worker.logged('worker.ready');
  await until('the first record', async () => (await repo.record('looked')) !== null, 30_000);
  await repo.queue({ long: { script: 'echo begun; sleep 6; echo done' } });
  await worker.logged('task.started', (entry) => entry['task'] === 'long');
  await filter.stop('SIGKILL');
  await worker.logged('engine.unavailable');
  // The socket that it left is taken over.
  filter = await startFilter();
  await until('the record', async () => (await repo.record('long')) !== null, 60_000);
  expect(await repo.record('long')).toMatchObject({ status: 'success', attempt: 1, stdout: 'begun\ndone\n' });
  await repo.queue({ longer: { script: 'echo begun; sleep 6; echo done' } });
  await worker.logged('task.started', (entry) => entry['task'] === 'longer');
  await worker.stop('SIGKILL');
  await using again = startWorker();
  await again.logged('task.adopted');
  await until('the record', async () => (await repo.record('longer')) !== null, 60_000);
  expect(await repo.record('longer')).toMatchObject({ status: 'success', attempt: 1, stdout: 'begun\ndone\n' });
  expect(await again.stop()).toBe(0);
  expect(await engine.countLeftovers()).toBe(0);
  expect(filter.entries('filter.refused')).toEqual([]);
});

it('tells of each refusal, and stops in order', async () => {
  await sendRaw(socketPath, rawRequest('POST', '/build'));
  const refusal = await filter.logged('filter.refused');
  expect(refusal).toMatchObject({ level: expect.anything(), method: 'POST', target: '/build', status: 403 });
  const filters = encodeURIComponent(JSON.stringify({ label: [LABEL.task] }));
  await sendRaw(socketPath, rawRequest('GET', `/containers/json?all=true&filters=${filters}`));
  expect(filter.entries('filter.refused')).toHaveLength(1);
  expect(await filter.stop()).toBe(0);
  await filter.logged('filter.stopping');
});

it('says what is wrong with its socket, and ends with 2', async () => {
  const start = async (listen: string, ...more: string[]): Promise<{ code: number | null; stderr: string }> => {
    const env = hermeticEnv(directory.path, { DGRID_REPO_URL: server.url('tasks'), NODE_ID: NAME });
    return await tryProgram(PROGRAM, ['engine-filter', '--listen', listen, ...more], { cwd: directory.path, env });
  };
  filter = await startFilter();
  expect(await start(socketPath)).toMatchObject({ code: 2, stderr: expect.stringContaining('somebody listens') });
  expect(await start('s')).toMatchObject({ code: 2, stderr: expect.stringContaining('whole path') });
  expect(await start(directory.sub('nowhere', 's'))).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('no directory'),
  });
  const listen = directory.sub('t');
  expect(await start(listen, '--engine', `unix://${listen}`)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("filter's own socket"),
  });
  expect(await start(listen, '--group', 'no-such-group')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('no-such-group'),
  });
  expect(await start(directory.sub('filter'))).toMatchObject({ code: 2, stderr: expect.stringContaining('no socket') });
});
