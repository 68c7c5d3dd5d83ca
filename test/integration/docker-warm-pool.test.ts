/** The life of containers that wait for a task, and what becomes of them when something dies, on real engines. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LABEL } from '../../src/executor/docker/labels.ts';
import type { FoundRun } from '../../src/executor/executor.ts';
import { nodeId } from '../../src/task/id.ts';
import { finish, TEST_NODE, type TestExecutor, testExecutor, testJob } from '../support/docker-jobs.ts';
import { PrivateEngine } from '../support/engine.ts';
import { EngineProxy } from '../support/engine-proxy.ts';
import { until } from '../support/until.ts';
import { runWarm, statsOf, untilWaiting, WARM_LIMITS } from '../support/warm-pool.ts';

const WORKER = fileURLToPath(new URL('../support/warm-worker.ts', import.meta.url));
const JOB = { timeoutMs: 60_000, image: 'busybox:stable' };
const BOUND_MS = 60_000;

interface Listed {
  Id: string;
  Names: string[];
  Labels: Record<string, string>;
  State: string;
}

let engine: PrivateEngine;
let state: string;
let lives = 0;

beforeAll(async () => {
  engine = await PrivateEngine.start();
  await engine.importBusybox();
  await engine.importWithoutShell('no-shell:latest', 'echo');
});

beforeEach(async () => {
  lives += 1;
  state = join(engine.directory, `state-${lives}`);
  await mkdir(state);
});

afterEach(async () => {
  expect(await engine.countLeftovers()).toBe(0);
  expect(await notes()).toEqual([]);
});

afterAll(async () => {
  await engine.stop();
});

/** With the state directory of this test, as after a restart of the worker. */
async function live(
  changes: Parameters<typeof testExecutor>[1] = {},
  options: Parameters<typeof testExecutor>[2] = {},
): Promise<TestExecutor> {
  const settings = { warmPoolSize: 2, allowedImages: ['*'], ...WARM_LIMITS, ...changes };
  return await testExecutor(engine.host, settings, { ownedImagesFile: join(state, 'images.json'), ...options });
}

async function containers(): Promise<Listed[]> {
  const filters = encodeURIComponent(JSON.stringify({ label: [LABEL.grid] }));
  return (await engine.api<Listed[]>('GET', `/containers/json?all=true&filters=${filters}`)).body;
}

async function notes(): Promise<string[]> {
  return await readdir(join(state, 'hand-overs')).catch(() => []);
}

function only(found: FoundRun[]): FoundRun {
  expect(found).toHaveLength(1);
  return found[0] as FoundRun;
}

/** A process of its own that is killed when it has said a word. */
async function liveAndDie(word: 'waiting' | 'started', script?: string): Promise<void> {
  const args = [WORKER, engine.host, join(state, 'images.json'), ...(script === undefined ? [] : [script])];
  const worker = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(worker, 'exit');
  let said = '';
  worker.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  await until(`the process to say ${word}`, () => said.includes(word), BOUND_MS);
  worker.kill('SIGKILL');
  await exited;
}

function told(test: TestExecutor, name: string): number {
  return test.events.filter((event) => event.name === name).length;
}

describe('a pool', () => {
  it('makes nothing before it is told to, and never more than its limit', async () => {
    await using test = await live();
    const cold = await test.executor.start(testJob('echo cold'));
    expect(cold.isWarm).toBe(false);
    await finish(cold);
    expect(await containers()).toEqual([]);
    test.executor.prepare('hold');
    expect(statsOf(test.executor)).toMatchObject({ limit: 2, waiting: 0, hits: 0, misses: 1 });
    test.executor.prepare('fill');
    await untilWaiting(test.executor, 2);
    for (let job = 0; job < 3; job += 1) await runWarm(test.executor, testJob('echo hit'));
    await untilWaiting(test.executor, 2);
    expect((await containers()).map(({ State, Names }) => [State, Names[0]?.slice(0, 12)])).toEqual([
      ['running', '/dgrid-warm-'],
      ['running', '/dgrid-warm-'],
    ]);
    expect(statsOf(test.executor)).toMatchObject({ hits: 3, misses: 1, died: 0 });
  });

  it('makes nothing at all with a limit of none', async () => {
    await using test = await live({ warmPoolSize: 0 });
    test.executor.prepare('fill');
    expect((await finish(await test.executor.start(testJob('echo x')))).stdout).toBe('x\n');
    expect(test.executor.poolStats()).toBeNull();
    expect(told(test, 'pool.filled')).toBe(0);
  });

  it('follows what is used, and forgets what is not', async () => {
    await using test = await live({ warmPoolIdleMs: 4_000 });
    test.executor.prepare('fill');
    await untilWaiting(test.executor, 2);
    const other = { memoryBytes: 32 * 1024 * 1024, timeoutMs: 1_000 };
    for (let use = 0; use < 2; use += 1) await finish(await test.executor.start(testJob('true', other)));
    const kinds = () => statsOf(test.executor).kinds.map(({ memory_bytes, waiting }) => [memory_bytes, waiting]);
    await until(
      'one of the other kind',
      () => kinds().some(([bytes, n]) => bytes === other.memoryBytes && n === 1),
      BOUND_MS,
    );
    await until('nothing to wait', () => statsOf(test.executor).waiting === 0, BOUND_MS);
    await until('nothing to be there', async () => (await containers()).length === 0, BOUND_MS);
    await until('nothing to be remembered', () => kinds().length === 0, BOUND_MS);
  });

  it('holds what it has and adds nothing, or keeps nothing, when it is told so', async () => {
    await using test = await live();
    test.executor.prepare('fill');
    await untilWaiting(test.executor, 2);
    test.executor.prepare('hold');
    await runWarm(test.executor, testJob('true'));
    expect(statsOf(test.executor).waiting).toBe(1);
    test.executor.prepare('empty');
    await until('nothing to be there', async () => (await containers()).length === 0, BOUND_MS);
    test.executor.prepare('fill');
    await untilWaiting(test.executor, 2);
  });

  it('lets go of images that have to go, and of one that was exchanged', async () => {
    await engine.importBusybox('app:1');
    const id = async () => (await engine.api<{ Id: string }>('GET', '/images/app:1/json')).body.Id;
    await using test = await live({ image: 'app:1' });
    test.executor.prepare('fill');
    await untilWaiting(test.executor, 2);
    const waiting = (await test.executor.reclaimable()).map(({ step }) => step.kind);
    expect(waiting).toEqual(['waiting-containers']);
    expect((await test.executor.clean({ kind: 'waiting-containers' })).removed).toHaveLength(2);
    expect(await containers()).toEqual([]);
    expect(await test.executor.reclaimable()).toEqual([]);
    test.executor.prepare('fill');
    await untilWaiting(test.executor, 2);
    const former = await id();
    await engine.importBusybox('app:1', ['ENV VERSION=2']);
    const end = await finish(await test.executor.start(testJob('echo $VERSION', { image: 'app:1' })));
    expect(end.stdout).toBe('2\n');
    await until('the former to go', async () => (await containers()).length === 1, BOUND_MS);
    const again = await runWarm(test.executor, testJob('echo $VERSION', { image: 'app:1' }));
    expect(again.stdout).toBe('2\n');
    expect(await id()).not.toBe(former);
  });

  it('finds out that an image cannot wait, and leaves it at that', async () => {
    await using test = await live();
    test.executor.prepare('fill');
    await untilWaiting(test.executor, 2);
    const job = testJob('echo x', { image: 'no-shell' });
    expect((await finish(await test.executor.start(job))).verdict).toMatchObject({ kind: 'unstartable' });
    await until('one try', () => told(test, 'pool.unable') === 1, BOUND_MS);
    expect((await finish(await test.executor.start(job))).verdict).toMatchObject({ kind: 'unstartable' });
    await runWarm(test.executor, testJob('echo hit'));
    expect(told(test, 'pool.unable')).toBe(1);
  });

  it('gives a task a container of its own when it cannot write down which it got', async () => {
    await using test = await live();
    test.executor.prepare('fill');
    await untilWaiting(test.executor, 2);
    await writeFile(join(state, 'hand-overs'), '');
    const end = await finish(await test.executor.start(testJob('echo x')));
    expect([end.stdout, told(test, 'pool.failed')]).toEqual(['x\n', 1]);
    await rm(join(state, 'hand-overs'));
  });

  it('leaves nothing when it is closed, also of what is being made', async () => {
    const test = await live({ warmPoolSize: 4 });
    test.executor.prepare('fill');
    await untilWaiting(test.executor, 1);
    await test[Symbol.asyncDispose]();
    expect(await containers()).toEqual([]);
  });

  it('of two nodes on one engine keep out of each other’s way', async () => {
    await using one = await live({}, { nodeId: nodeId('node-2') });
    one.executor.prepare('fill');
    await untilWaiting(one.executor, 2);
    await using two = await live();
    two.executor.prepare('fill');
    await untilWaiting(two.executor, 2);
    await two.executor.clean({ kind: 'own-containers' });
    expect(await two.executor.findRuns(TEST_NODE)).toEqual([]);
    expect(await one.executor.findRuns(nodeId('node-2'))).toEqual([]);
    expect(await containers()).toHaveLength(4);
    expect([statsOf(one.executor).died, statsOf(two.executor).died]).toEqual([0, 0]);
  });
});

describe('a container that dies while it waits', () => {
  it('is replaced, after a pause that grows, and nobody gets it', async () => {
    await using test = await live({ warmPoolSize: 1 });
    test.executor.prepare('fill');
    for (let death = 1; death <= 3; death += 1) {
      await untilWaiting(test.executor, 1);
      const [victim] = await containers();
      await engine.api('POST', `/containers/${victim?.Id}/kill`);
      await until('its death to be seen', () => told(test, 'pool.died') === death, BOUND_MS);
    }
    const pauses = test.events.filter(({ name }) => name === 'pool.died').map(({ fields }) => fields['pause_ms']);
    expect(pauses.map((pause) => Math.ceil(Number(pause) / 1_000))).toEqual([1, 2, 4]);
    const end = await finish(await test.executor.start(testJob('echo x')));
    expect(end.stdout).toBe('x\n');
    expect(statsOf(test.executor)).toMatchObject({ hits: 0, died: 3 });
  });

  it('with its engine is replaced when that is back', async () => {
    await using test = await live();
    test.executor.prepare('fill');
    await untilWaiting(test.executor, 2);
    await engine.restart('SIGKILL');
    await until('both to be given up', () => statsOf(test.executor).died === 2, BOUND_MS);
    await untilWaiting(test.executor, 2);
    expect((await runWarm(test.executor, testJob('echo x'))).stdout).toBe('x\n');
    await untilWaiting(test.executor, 2);
    await until('what was left to go', async () => (await containers()).length === 2, BOUND_MS);
  });

  it('after it was given its task, as with any other container, says nothing of the task', async () => {
    await using test = await live();
    test.executor.prepare('fill');
    await untilWaiting(test.executor, 2);
    const run = await test.executor.start(testJob('echo begin; sleep 1000'));
    expect(await notes()).toHaveLength(1);
    await engine.restart('SIGKILL');
    expect((await finish(run)).verdict).toMatchObject({ kind: 'vanished' });
  });
});

describe('an engine that hangs', () => {
  it('while one is being made does not hold up the end, and has nothing left when it is back', async () => {
    const proxy = await EngineProxy.start(join(engine.directory, `proxy-${lives}`), engine.socketPath);
    try {
      const test = await live({ host: proxy.host, warmPoolSize: 3 });
      test.executor.prepare('fill');
      await untilWaiting(test.executor, 1);
      proxy.swallow();
      await test[Symbol.asyncDispose]();
      proxy.release();
      await using next = await live({ warmPoolSize: 0 });
      await until(
        'those that waited to end by themselves',
        async () => {
          const there = await containers();
          return there.every(({ State }) => State !== 'running');
        },
        BOUND_MS,
      );
      expect(await next.executor.findRuns(TEST_NODE)).toEqual([]);
      next.executor.prepare('fill');
      await until('all to be removed', async () => (await containers()).length === 0, BOUND_MS);
    } finally {
      await proxy.stop();
    }
  });
});

describe('a connection that died without a sign', () => {
  it.each([
    ['is noticed', 60_000],
    ['is not taken for a task that took too long', 2_000],
  ])('while a container waited %s: nothing is said of the task', { timeout: 120_000 }, async (_what, timeoutMs) => {
    const proxy = await EngineProxy.start(join(engine.directory, `proxy-${lives}`), engine.socketPath);
    try {
      await using test = await live({ host: proxy.host, warmPoolSize: 1 });
      test.executor.prepare('fill');
      await untilWaiting(test.executor, 1);
      proxy.forget();
      const run = await test.executor.start(testJob('echo no', { timeoutMs }));
      expect(statsOf(test.executor).hits).toBe(1);
      expect((await finish(run)).verdict).toEqual({
        kind: 'vanished',
        message: 'the container never got its whole script',
      });
    } finally {
      await proxy.stop();
    }
  });
});

describe('a worker that dies', () => {
  it('takes containers along that wait; what is left of them is no run, and goes', async () => {
    await liveAndDie('waiting');
    await until(
      'it to end by itself',
      async () => (await containers()).every(({ State }) => State === 'exited'),
      BOUND_MS,
    );
    await using test = await live();
    expect(await test.executor.findRuns(TEST_NODE)).toEqual([]);
    expect(told(test, 'container.foreign')).toBe(0);
    await test.executor.clean({ kind: 'own-containers' });
    expect(await containers()).toHaveLength(1);
    test.executor.prepare('fill');
    await until('it to be removed', () => told(test, 'container.leftover') === 1, BOUND_MS);
    await untilWaiting(test.executor, 2);
    expect(await containers()).toHaveLength(2);
  });

  it('and makes none ahead in its next life removes it all the same', async () => {
    await liveAndDie('waiting');
    await using test = await live({ warmPoolSize: 0 });
    test.executor.prepare('fill');
    await until('it to be removed', () => told(test, 'container.leftover') === 1, BOUND_MS);
  });

  it('leaves a task in a container that had waited for it, which is taken up with all of its output', async () => {
    await liveAndDie('started', 'echo before $DGRID_TASK_ID; sleep 4; echo after; echo err >&2; exit 5');
    await using test = await live();
    test.executor.prepare('fill');
    await untilWaiting(test.executor, 2);
    const found = only(await test.executor.findRuns(TEST_NODE));
    expect(found).toMatchObject({ attempt: 1, state: 'running', key: { incarnation: 'incarnation-1', epoch: 1 } });
    const end = await finish(found.resume(JOB));
    expect(end.verdict).toEqual({ kind: 'exited', exitCode: 5, outOfMemory: false });
    expect([end.stdout, end.stderr]).toEqual([`before ${found.key.taskId}\nafter\n`, 'err\n']);
    expect(end.timingsMs.run).toBeGreaterThan(3_500);
    expect(end.startedAtMs).not.toBeNull();
  });

  it('leaves one that ends meanwhile, which is collected, or cleaned up when nobody needs it', async () => {
    await liveAndDie('started', 'echo all; exit 4');
    await until('it to end', async () => (await containers()).every(({ State }) => State === 'exited'), BOUND_MS);
    await using test = await live({}, { isLive: () => true });
    await test.executor.clean({ kind: 'own-containers' });
    const end = await only(await test.executor.findRuns(TEST_NODE)).resume({ ...JOB, timeoutMs: 1 }).ended;
    expect(end.verdict).toEqual({ kind: 'exited', exitCode: 4, outOfMemory: false });
    expect(Buffer.from(end.stdout.bytes).toString()).toBe('all\n');
    await using next = await live();
    expect(await next.executor.clean({ kind: 'own-containers' })).toMatchObject({
      removed: [expect.stringMatching(/^dgrid-warm-/)],
    });
    expect(await notes()).toHaveLength(1);
    next.executor.prepare('fill');
    await until('the note to go', async () => (await notes()).length === 0, BOUND_MS);
  });

  it('leaves a task that nobody wants to take up', async () => {
    await liveAndDie('started', 'sleep 1000');
    await using test = await live();
    await only(await test.executor.findRuns(TEST_NODE)).discard();
    await until('the note to go', async () => (await notes()).length === 0, BOUND_MS);
    expect(await test.executor.findRuns(TEST_NODE)).toEqual([]);
  });

  it('and loses its state directory leaves a container of which nobody knows the task: it goes', async () => {
    await liveAndDie('started', 'sleep 1000');
    await rm(join(state, 'hand-overs'), { recursive: true });
    await using test = await live();
    expect(await test.executor.findRuns(TEST_NODE)).toEqual([]);
    test.executor.prepare('fill');
    await until('it to be removed', () => told(test, 'container.leftover') === 1, BOUND_MS);
  });
});
