/** What becomes of a container when its worker or its engine dies, on real engines. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { bootstrapInput } from '../../src/executor/docker/bootstrap.ts';
import { containerSpec } from '../../src/executor/docker/container-spec.ts';
import { DOCKER_QUIRKS } from '../../src/executor/docker/engine-quirks.ts';
import { LABEL } from '../../src/executor/docker/labels.ts';
import type { FoundRun } from '../../src/executor/executor.ts';
import { systemClock } from '../../src/runtime.ts';
import { dockerSettings, finish, TEST_GRID, TEST_NODE, testExecutor, testJob } from '../support/docker-jobs.ts';
import { PrivateEngine } from '../support/engine.ts';

const WORKER = fileURLToPath(new URL('../support/docker-worker.ts', import.meta.url));
const JOB = { timeoutMs: 60_000, image: 'busybox:stable' };

function only(found: FoundRun[]): FoundRun {
  expect(found).toHaveLength(1);
  return found[0] as FoundRun;
}

/** Creates a container as `start` would. @returns its id */
async function create(engine: PrivateEngine, changes: Record<string, string> = {}): Promise<string> {
  const context = {
    gridId: TEST_GRID,
    nonce: '0123456789abcdef',
    maxOutputBytes: 1000,
    engineCpus: null,
    imageId: 'busybox:stable',
    imageDigest: null,
    imageVolumes: [],
    networkMode: 'none',
    quirks: DOCKER_QUIRKS,
  };
  const spec = containerSpec(testJob('echo must not run; exit 0'), dockerSettings(engine.host), context);
  Object.assign(spec.Labels, changes);
  const { body } = await engine.api<{ Id: string }>('POST', '/containers/create', spec);
  return body.Id;
}

async function attach(engine: PrivateEngine, id: string): Promise<Duplex> {
  const sent = request({
    socketPath: engine.socketPath,
    method: 'POST',
    path: `/containers/${id}/attach?stream=1&stdin=1&stdout=1`,
    agent: false,
    headers: { Connection: 'Upgrade', Upgrade: 'tcp', 'Content-Length': 0 },
  });
  sent.end();
  const [, socket] = (await once(sent, 'upgrade')) as [unknown, Duplex];
  return socket;
}

const WHOLE_INPUT = bootstrapInput('echo must not run; exit 0\n#'.padEnd(5_000, 'x'));
describe('a worker that dies', () => {
  let engine: PrivateEngine;
  beforeAll(async () => {
    engine = await PrivateEngine.start();
    await engine.importBusybox();
  });
  afterEach(async () => {
    expect(await engine.countLeftovers()).toBe(0);
  });
  afterAll(async () => {
    await engine.stop();
  });

  /** Starts a script from a process of its own and kills that without warning. */
  async function startAndDie(script: string): Promise<void> {
    const imagesFile = join(engine.directory, 'images.json');
    const worker = spawn(process.execPath, [WORKER, engine.host, script, imagesFile], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(worker, 'exit');
    const [told] = (await once(worker.stdout, 'data')) as [Buffer];
    expect(told.toString()).toBe('started\n');
    worker.kill('SIGKILL');
    await exited;
  }

  it('leaves a running container, which is taken up with all of its output', async () => {
    await startAndDie('echo before; sleep 4; echo after; echo err >&2; exit 5');
    await using test = await testExecutor(engine.host);
    const found = only(await test.executor.findRuns(TEST_NODE));
    expect(found).toMatchObject({ attempt: 1, state: 'running', key: { incarnation: 'incarnation-1', epoch: 1 } });
    const end = await finish(found.resume(JOB));
    expect(end.verdict).toEqual({ kind: 'exited', exitCode: 5, outOfMemory: false });
    expect([end.stdout, end.stderr]).toEqual(['before\nafter\n', 'err\n']);
    expect(end.startedAtMs).not.toBeNull();
    expect(end.timingsMs.run).toBeGreaterThan(3500);
  });

  it('leaves a container that ends meanwhile, which is collected', async () => {
    await startAndDie('echo all; exit 4');
    await using test = await testExecutor(engine.host);
    const { body } = await engine.api<{ Id: string }[]>('GET', '/containers/json?all=true');
    await engine.api('POST', `/containers/${body[0]?.Id}/wait`);
    const found = only(await test.executor.findRuns(TEST_NODE));
    expect(found.state).toBe('ended');
    // It ended in its own time, however late somebody comes for it.
    const end = await finish(found.resume({ ...JOB, timeoutMs: 1 }));
    expect(end.verdict).toEqual({ kind: 'exited', exitCode: 4, outOfMemory: false });
    expect(end.stdout).toBe('all\n');
  });

  it('leaves the rest of the time limit to whoever takes the container up', async () => {
    await startAndDie('sleep 100');
    await using test = await testExecutor(engine.host);
    await systemClock.sleep(1_500); // the limit is about time that passes
    const end = await finish(only(await test.executor.findRuns(TEST_NODE)).resume({ ...JOB, timeoutMs: 3_000 }));
    expect(end.verdict).toMatchObject({ kind: 'stopped', reason: 'timeout' });
    expect(end.timingsMs.run).toBeGreaterThanOrEqual(2_900);
    expect(end.timingsMs.run).toBeLessThan(4_400);
  });

  it('leaves a container that somebody then kills: nothing is said of the task', async () => {
    await startAndDie('sleep 100');
    await using test = await testExecutor(engine.host);
    const { body } = await engine.api<{ Id: string }[]>('GET', '/containers/json');
    await engine.api('POST', `/containers/${body[0]?.Id}/kill`);
    const end = await finish(only(await test.executor.findRuns(TEST_NODE)).resume(JOB));
    expect(end.verdict).toMatchObject({ kind: 'vanished' });
  });

  it('leaves a container that can be thrown away', async () => {
    await startAndDie('sleep 100');
    await using test = await testExecutor(engine.host);
    await only(await test.executor.findRuns(TEST_NODE)).discard();
    expect(await test.executor.findRuns(TEST_NODE)).toEqual([]);
  });

  it.each([
    ['half of its script', WHOLE_INPUT.subarray(0, 2_000)],
    ['only a part of the length', WHOLE_INPUT.subarray(0, 2)],
    ['nothing', Buffer.alloc(0)],
  ])('and has sent %s: the script never runs', async (_what, part) => {
    const id = await create(engine);
    const socket = await attach(engine, id);
    await engine.api('POST', `/containers/${id}/start`);
    await new Promise<void>((resolve) => {
      socket.write(part, () => resolve());
    });
    socket.destroy();
    await engine.api('POST', `/containers/${id}/wait`);
    await using test = await testExecutor(engine.host);
    const end = await finish(only(await test.executor.findRuns(TEST_NODE)).resume(JOB));
    expect(end.verdict).toEqual({ kind: 'vanished', message: 'the container never got its whole script' });
    expect(end.stdout).toBe('');
  });

  it('leaves a container that was never started', async () => {
    await create(engine);
    await using test = await testExecutor(engine.host);
    const found = only(await test.executor.findRuns(TEST_NODE));
    expect(found.state).toBe('created');
    expect((await finish(found.resume(JOB))).verdict).toMatchObject({ kind: 'vanished' });
  });

  it('ignores what carries its label and is not its own', async () => {
    const foreign = [
      await create(engine, { [LABEL.grid]: 'another-grid' }),
      await create(engine, { [LABEL.epoch]: '1e3' }),
      await create(engine, { [LABEL.task]: '../etc' }),
    ];
    await create(engine, { [LABEL.node]: 'node-2' }).then((id) => foreign.push(id));
    await using test = await testExecutor(engine.host);
    expect(await test.executor.findRuns(TEST_NODE)).toEqual([]);
    expect(test.events.filter(({ name }) => name === 'container.foreign')).toHaveLength(3);
    await test.executor.clean({ kind: 'own-containers' });
    for (const id of foreign) {
      expect((await engine.api('DELETE', `/containers/${id}`)).status).toBe(204);
    }
  });
});

describe('a run whose container is removed by somebody else', () => {
  it('has vanished', async () => {
    const engine = await PrivateEngine.start();
    try {
      await engine.importBusybox();
      await using test = await testExecutor(engine.host);
      const run = await test.executor.start(testJob('echo x; sleep 100'));
      const { body } = await engine.api<{ Id: string }[]>('GET', '/containers/json');
      await engine.api('DELETE', `/containers/${body[0]?.Id}?force=true`);
      expect((await finish(run)).verdict).toMatchObject({ kind: 'vanished' });
    } finally {
      await engine.stop();
    }
  });
});

describe('an engine that is restarted', () => {
  async function withEngine(liveRestore: boolean, check: (engine: PrivateEngine) => Promise<void>): Promise<void> {
    const engine = await PrivateEngine.start({ liveRestore });
    try {
      await engine.importBusybox();
      await check(engine);
      expect(await engine.countLeftovers()).toBe(0);
    } finally {
      await engine.stop();
    }
  }

  it.each(['SIGKILL', 'SIGTERM'] as const)('by %s ends its containers: the task did not fail', async (signal) => {
    await withEngine(false, async (engine) => {
      await using test = await testExecutor(engine.host);
      const runs = await Promise.all([
        test.executor.start(testJob('sleep 100')),
        test.executor.start(testJob('trap "exit 0" TERM; while :; do sleep 0.1; done')),
      ]);
      await engine.restart(signal);
      for (const run of runs) expect((await finish(run)).verdict).toMatchObject({ kind: 'vanished' });
    });
  });

  it('with live-restore keeps them: nothing is lost', async () => {
    await withEngine(true, async (engine) => {
      await using test = await testExecutor(engine.host);
      const long = await test.executor.start(testJob('echo before; sleep 8; echo after; exit 4'));
      const short = await test.executor.start(testJob('echo short; sleep 1; exit 3'));
      await Promise.all([engine.printed(long.key.taskId, 'before'), engine.printed(short.key.taskId, 'short')]);
      await engine.kill();
      await engine.restart();
      const [longEnd, shortEnd] = await Promise.all([finish(long), finish(short)]);
      expect(longEnd.verdict).toEqual({ kind: 'exited', exitCode: 4, outOfMemory: false });
      expect(longEnd.stdout).toBe('before\nafter\n');
      expect(shortEnd.verdict).toEqual({ kind: 'exited', exitCode: 3, outOfMemory: false });
      expect(shortEnd.stdout).toBe('short\n');
    });
  });

  it('with live-restore, while a script is on its way, does not leave the task waiting for it', async () => {
    await withEngine(true, async (engine) => {
      const id = await create(engine);
      const socket = await attach(engine, id);
      await engine.api('POST', `/containers/${id}/start`);
      socket.on('error', () => {});
      await new Promise<void>((resolve) => {
        socket.write(WHOLE_INPUT.subarray(0, 2_000), () => resolve());
      });
      await engine.restart('SIGKILL');
      await using test = await testExecutor(engine.host);
      const end = await finish(only(await test.executor.findRuns(TEST_NODE)).resume(JOB));
      expect(end.verdict).toEqual({ kind: 'vanished', message: 'the container never got its whole script' });
      expect(end.stdout).toBe('');
    });
  });

  it('and stays away holds a run up to its deadline, and stops nobody from closing', async () => {
    await withEngine(false, async (engine) => {
      await using test = await testExecutor(engine.host);
      const run = await test.executor.start(testJob('sleep 100'));
      await engine.kill();
      const ended = run.ended.catch((error: unknown) => error);
      await test.executor.close();
      expect(await ended).toMatchObject({ name: 'ExecutorError', kind: 'engine-unavailable' });
      await expect(test.executor.start(testJob('true'))).rejects.toMatchObject({ kind: 'engine-unavailable' });
      await engine.restart();
      await using later = await testExecutor(engine.host);
      for (const found of await later.executor.findRuns(TEST_NODE)) await found.discard();
    });
  });
});
