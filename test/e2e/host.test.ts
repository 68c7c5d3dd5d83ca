/** The machine runs short of CPU, memory or disk: claiming pauses, heartbeats go on, cleaning happens, work resumes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { statfs, truncate, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { gridIdOf } from '../../src/executor/docker/grid-id.ts';
import { writeLabels } from '../../src/executor/docker/labels.ts';
import { nodeId, taskId } from '../../src/task/id.ts';
import { PrivateEngine } from '../support/engine.ts';
import { git } from '../support/git.ts';
import { GitServer } from '../support/git-server.ts';
import { smallExt4 } from '../support/small-file-system.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';
import { WorkerProcess } from '../support/worker-process.ts';

let server: GitServer;
let directory: TempDir;

beforeAll(async () => {
  server = await GitServer.start();
  directory = makeTempDir('host');
});

afterAll(async () => {
  await server.stop();
  directory.remove();
});

function hog(command: string, args: readonly string[]): ChildProcess {
  const child = spawn(command, args, { stdio: 'ignore' });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

describe('a machine that runs short', () => {
  let engine: PrivateEngine;

  beforeAll(async () => {
    engine = await PrivateEngine.start();
    await engine.importBusybox();
  });

  afterAll(async () => {
    await engine.stop();
  });

  async function pausesAndResumes(
    resource: 'cpu' | 'cpu-pressure' | 'memory',
    env: Record<string, string>,
    hogs: () => ChildProcess[],
  ): Promise<void> {
    const repo = new TaskRepository(await server.createRepository(resource));
    await repo.commit({ 'README.md': 'x' }, 'begin');
    await using worker = WorkerProcess.start({
      directory: directory.path,
      name: resource,
      repoUrl: server.url(resource),
      dockerHost: engine.host,
      env: { HEALTH_CHECK_EVERY: '1', ...env },
    });
    await worker.logged('worker.ready');
    const running = hogs();
    const exceeded = await worker.logged('limit.resources', (entry) => entry['resource'] === resource, 60_000);
    expect(exceeded.msg).toBe('Resource threshold exceeded');
    await repo.queue({ task: { script: 'true' } });
    const nodeRef = `refs/dgrid/nodes/${resource}`;
    const beat = await git(repo.path, ['rev-parse', nodeRef]);
    await until('heartbeats to go on', async () => (await git(repo.path, ['rev-parse', nodeRef])) !== beat);
    const checks = worker.entries('health.passed').length;
    await until('some checks', () => worker.entries('health.passed').length >= checks + 4, 60_000);
    expect(worker.entries('task.claimed')).toEqual([]);
    expect(await git(repo.path, ['log', '-1', '--format=%B', nodeRef])).toContain(`"reason":"${resource}"`);
    for (const child of running) child.kill('SIGKILL');
    await worker.logged('limit.resources-cleared', (entry) => entry['resource'] === resource, 60_000);
    await worker.logged('result.recorded');
    expect(await worker.stop()).toBe(0);
  }

  it('of CPU pauses and resumes', async () => {
    const burn = (): ChildProcess => hog('sh', ['-c', 'while :; do :; done']);
    await pausesAndResumes('cpu', { MAX_CPU_PERCENT: '95' }, () => [burn(), burn(), burn(), burn()]);
  });

  it.skipIf(!existsSync('/proc/pressure/cpu'))('of time on its processors pauses and resumes', async () => {
    const burn = (): ChildProcess => hog('sh', ['-c', 'while :; do :; done']);
    const hogs = Array.from({ length: 4 * cpus().length }, () => burn);
    await pausesAndResumes('cpu-pressure', { MAX_CPU_PRESSURE: '90' }, () => hogs.map((start) => start()));
  });

  it('of memory pauses and resumes', async () => {
    const used = 100 * (1 - memoryKibibytes('MemAvailable') / memoryKibibytes('MemTotal'));
    const max = Math.ceil(used) + 15;
    const bytes = Math.ceil(0.2 * memoryKibibytes('MemTotal') * 1024);
    const script = `const held = Buffer.alloc(${bytes}, 1); setInterval(() => { held[0] += 1; }, 1000);`;
    await pausesAndResumes('memory', { MAX_MEMORY_PERCENT: String(max) }, () => [
      hog(process.execPath, ['-e', script]),
    ]);
  });
});

describe('a disk that is nearly full', () => {
  it('is freed of what is ours and no more, while ten bystanders and their images stay', async () => {
    const disk = await smallExt4(256);
    const engine = await PrivateEngine.start({ dataRoot: join(disk, 'engine') });
    onTestFinished(() => engine.stop());
    await engine.importBusybox();
    const repo = new TaskRepository(await server.createRepository('disk'));
    await repo.commit({ 'README.md': 'x' }, 'begin');
    const bystanders = await makeBystanders(engine, 10);
    await using worker = WorkerProcess.start({
      directory: directory.path,
      name: 'disk',
      repoUrl: server.url('disk'),
      dockerHost: engine.host,
      env: { HEALTH_CHECK_EVERY: '1', MAX_DISK_PERCENT: '75' },
    });
    // At its start it looks for what earlier lives left, and this is to come after that.
    await until('it to have looked around', () => worker.entries('poll.skipped').length >= 3, 30_000);
    // What a crash leaves: an ended container of this node that nobody waits for, with 60 MB written into it.
    const labels = writeLabels({
      gridId: gridIdOf(server.url('disk')),
      key: { nodeId: nodeId('disk'), incarnation: 'dead', taskId: taskId('old'), epoch: 1 },
      attempt: 1,
      program: 'script',
      nonce: '0123456789abcdef',
    });
    const write = ['sh', '-c', 'dd if=/dev/zero of=/x bs=1M count=60'];
    const leftover = await createContainer(engine, 'busybox:stable', write, labels);
    await engine.api('POST', `/containers/${leftover}/start`);
    await engine.api('POST', `/containers/${leftover}/wait`);
    await writeFile(
      join(disk, 'ballast'),
      Buffer.alloc(Math.floor((await freeBytes(disk)) - 0.17 * (await sizeBytes(disk)))),
    );
    await repo.queue({ task: { script: 'true' } });

    const exceeded = await worker.logged('limit.resources', (entry) => entry['resource'] === 'disk');
    expect(exceeded['path']).toBe(engine.dataRoot);
    const cleaned = await worker.logged('cleanup.completed', (entry) => entry['step'] === 'own-containers');
    expect(cleaned.msg).toBe('Docker cleanup completed');
    expect(cleaned['removed']).toBe(1);
    expect(cleaned['freed_bytes']).toBeGreaterThan(50_000_000);
    await worker.logged('limit.resources-cleared', (entry) => entry['resource'] === 'disk');
    await worker.logged('result.recorded');
    expect((await repo.record('task'))?.status).toBe('success');
    // Enough was free after the first step: nothing further was touched, and of the others' nothing at all.
    expect(worker.entries('cleanup.completed')).toHaveLength(1);
    expect(await missing(engine, bystanders)).toEqual([]);
    expect(await worker.stop()).toBe(0);
  });

  it('that cleaning cannot help pauses the worker until somebody else makes room', async () => {
    const disk = await smallExt4(256);
    const engine = await PrivateEngine.start({ dataRoot: join(disk, 'engine') });
    onTestFinished(() => engine.stop());
    await engine.importBusybox();
    const bystanders = await makeBystanders(engine, 2);
    const repo = new TaskRepository(await server.createRepository('full'));
    const ballast = join(disk, 'ballast');
    await writeFile(ballast, Buffer.alloc(Math.floor((await freeBytes(disk)) - 0.1 * (await sizeBytes(disk)))));
    await repo.queue({ task: { script: 'true' } });
    await using worker = WorkerProcess.start({
      directory: directory.path,
      name: 'full',
      repoUrl: server.url('full'),
      dockerHost: engine.host,
      env: { HEALTH_CHECK_EVERY: '1', MAX_DISK_PERCENT: '75' },
    });
    await worker.logged('cleanup.ended', (entry) => entry['outcome'] === 'nothing-left');
    await worker.logged('worker.ready');
    await until('some polls', () => worker.entries('poll.skipped').length >= 3, 20_000);
    expect(worker.entries('task.claimed')).toEqual([]);
    await truncate(ballast, 0);
    await worker.logged('limit.resources-cleared', (entry) => entry['resource'] === 'disk');
    await worker.logged('result.recorded');
    expect(await missing(engine, bystanders)).toEqual([]);
    expect(await worker.stop()).toBe(0);
  });
});

/** Containers and images of somebody else: half of them run, half have ended. */
async function makeBystanders(engine: PrivateEngine, count: number): Promise<{ container: string; image: string }[]> {
  const made: { container: string; image: string }[] = [];
  for (let number = 0; number < count; number += 1) {
    const image = `bystander:${number}`;
    const { status } = await engine.api('POST', `/images/busybox:stable/tag?repo=bystander&tag=${number}`);
    expect(status).toBe(201);
    const command = number % 2 === 0 ? ['sleep', '600'] : ['true'];
    const container = await createContainer(engine, image, command, { owner: 'somebody else' });
    await engine.api('POST', `/containers/${container}/start`);
    made.push({ container, image });
  }
  return made;
}

async function createContainer(
  engine: PrivateEngine,
  image: string,
  command: readonly string[],
  labels: Record<string, string>,
): Promise<string> {
  const body = { Image: image, Cmd: command, Labels: labels, HostConfig: { NetworkMode: 'none' } };
  const answer = await engine.api<{ Id: string }>('POST', '/containers/create', body);
  expect(answer.status).toBe(201);
  return answer.body.Id;
}

async function missing(
  engine: PrivateEngine,
  made: readonly { container: string; image: string }[],
): Promise<string[]> {
  const gone: string[] = [];
  for (const { container, image } of made) {
    if ((await engine.api('GET', `/containers/${container}/json`)).status !== 200) gone.push(container);
    if ((await engine.api('GET', `/images/${image}/json`)).status !== 200) gone.push(image);
  }
  return gone;
}

async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}

async function sizeBytes(path: string): Promise<number> {
  const { blocks, bsize } = await statfs(path);
  return blocks * bsize;
}

function memoryKibibytes(field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(readFileSync('/proc/meminfo', 'utf8'))?.[1]);
}
