/**
 * An engine that accepts calls and never answers: by a socket in front of it that swallows everything, and by a daemon that
 * is stopped. The worker goes on with what needs no engine, and what its tasks did meanwhile counts when it is back.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LABEL } from '../../src/executor/docker/labels.ts';
import { PrivateEngine } from '../support/engine.ts';
import { EngineProxy } from '../support/engine-proxy.ts';
import { freePort } from '../support/free-port.ts';
import { git } from '../support/git.ts';
import { GitServer } from '../support/git-server.ts';
import { mustBeRight } from '../support/must-be-right.ts';
import { ServerHistory } from '../support/oracle/server-history.ts';
import { atScale } from '../support/scale.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';
import { WorkerProcess } from '../support/worker-process.ts';

const HANG_MS = 8_000;
/** So many heartbeats and polls show that both go on, in less than a call to the engine may take. */
const GOES_ON = 4;
const GOES_ON_LIMIT_MS = 20_000;
const GRACE_S = 1;
/** What the README promises beyond the grace time. */
const LEAVING_LIMIT_MS = 120_000;

let engine: PrivateEngine;
let server: GitServer;
let directory: TempDir;
const figures = { hangs: 0, heartbeats: 0, polls: 0, swallowed: 0, slowestVerdictMs: 0, leavingMs: [] as number[] };

beforeAll(async () => {
  engine = await PrivateEngine.start();
  await engine.importBusybox();
  server = await GitServer.start();
  directory = makeTempDir('hung');
});

afterAll(async () => {
  await server.stop();
  const left = [...(await engine.remains())];
  await engine.stop();
  directory.remove();
  expect(left).toEqual([]);
  const { hangs, heartbeats, polls, swallowed, slowestVerdictMs, leavingMs } = figures;
  console.info(
    `hung engine: ${hangs} hangs of ${HANG_MS / 1000} s and more, ${swallowed} calls swallowed, ${heartbeats} heartbeats and ${polls} polls meanwhile, ` +
      `slowest verdict ${(slowestVerdictMs / 1000).toFixed(1)} s after the return, ` +
      `leaving took ${leavingMs.map((ms) => (ms / 1000).toFixed(1)).join(', ')} s, 0 containers left`,
  );
});

function startWorker(name: string, dockerHost: string, env: Record<string, string> = {}): WorkerProcess {
  return WorkerProcess.start({
    directory: directory.path,
    name,
    repoUrl: server.url(name),
    dockerHost,
    env: {
      MAX_PARALLEL_TASKS: '4',
      HEARTBEAT_INTERVAL: '1',
      NODE_TTL: '30',
      HEALTH_CHECK_EVERY: '1',
      ENGINE_CALL_TIMEOUT: '2',
      LOG_LEVEL: 'debug',
      ...env,
    },
  });
}

interface Hang {
  name: string;
  begin: () => void;
  end: () => void;
  host: string;
  callTimeoutS: number;
}

/** Lets an engine hang while tasks run, end, and pass their limits; then lets it come back. */
async function hangsAndReturns({ name, begin, end, host, callTimeoutS }: Hang): Promise<void> {
  const repo = new TaskRepository(await server.createRepository(name));
  const history = await ServerHistory.install(repo.path);
  await repo.queue({
    fails: { script: 'echo begin; sleep 3; echo end; exit 3' },
    outlives: { script: 'echo begin; sleep 14; echo end' },
    // Its limit passes while nobody can be asked, but it ends long before.
    'in-time': { script: 'echo begin; sleep 3; echo end', timeout_seconds: 7 },
    late: { script: 'echo begin; sleep 1000', timeout_seconds: 7 },
  });
  const port = await freePort();
  await using worker = startWorker(name, host, {
    HTTP_PORT: String(port),
    ENGINE_CALL_TIMEOUT: String(callTimeoutS),
  });
  await until('four to run', () => worker.entries('task.started').length === 4, 60_000);

  begin();
  figures.hangs += 1;
  const since = worker.log.length;
  const during = (event: string) => worker.log.slice(since).filter((entry) => entry.event === event);
  const endAtMs = performance.now() + HANG_MS;
  await repo.queue({ later: { script: 'echo later' } });
  const notReady = async () => {
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`);
    const text = await answer.text();
    return answer.status === 503 && /"reason":"engine","text":"[^"]*(did not answer|takes long to answer)/.test(text);
  };
  await until('/readyz to tell', notReady, 30_000);
  await until('the hang to last', () => performance.now() >= endAtMs, 2 * HANG_MS);
  const beats = () => during('node.heartbeat').length;
  const polls = () => during('poll.skipped').length + during('poll.pulling').length;
  await until('heartbeats and polls to go on', () => beats() >= GOES_ON && polls() >= GOES_ON, GOES_ON_LIMIT_MS);
  figures.heartbeats += beats();
  figures.polls += polls();
  expect(during('task.claimed')).toEqual([]);
  expect((await fetch(`http://127.0.0.1:${port}/livez`)).status).toBe(200);

  end();
  const backAtMs = performance.now();
  await worker.logged('engine.ready', ({ time }) => time > (worker.log[since]?.time ?? ''));
  await until(
    'those that ended',
    async () => (await repo.record('fails')) !== null && (await repo.record('in-time')) !== null,
    60_000,
  );
  figures.slowestVerdictMs = Math.max(figures.slowestVerdictMs, performance.now() - backAtMs);
  await until('all records', async () => (await repo.queued()).length === 0, 40_000);
  const both = { attempt: 1, stdout: 'begin\nend\n' };
  expect(await repo.record('fails')).toMatchObject({ ...both, reason: 'exit-code', exit_code: 3 });
  expect(await repo.record('outlives')).toMatchObject({ ...both, status: 'success' });
  expect(await repo.record('in-time')).toMatchObject({ ...both, status: 'success' });
  expect(await repo.record('late')).toMatchObject({ attempt: 1, reason: 'timeout', stdout: 'begin\n' });
  expect(await repo.record('later')).toMatchObject({ status: 'success', stdout: 'later\n' });
  const started = worker.entries('task.started').map(({ task }) => task);
  expect(started.toSorted((a, b) => String(a).localeCompare(String(b)))).toEqual([
    'fails',
    'in-time',
    'late',
    'later',
    'outlives',
  ]);
  expect(await worker.stop()).toBe(0);
  expect(worker.entries('worker.summary')[0]).toMatchObject({ results_dropped: 0 });
  await mustBeRight(history, [worker]);
}

async function containersOf(node: string): Promise<number> {
  const filters = encodeURIComponent(JSON.stringify({ label: [`${LABEL.node}=${node}`] }));
  return (await engine.api<unknown[]>('GET', `/containers/json?all=true&filters=${filters}`)).body.length;
}

async function proxyNamed(name: string): Promise<EngineProxy> {
  return await EngineProxy.start(`${engine.directory}/proxy-${name}`, engine.socketPath);
}

const ROUNDS = atScale(1, 5);
const ROUND_LIMIT_MS = 120_000;

describe('an engine that accepts and never answers', () => {
  it.concurrent('and goes on where it stopped, or has lost its streams with or without a sign, loses no verdict', {
    timeout: ROUNDS * ROUND_LIMIT_MS,
  }, async () => {
    const [holding, cutting, forgetting] = [await proxyNamed('h'), await proxyNamed('c'), await proxyNamed('f')];
    for (let round = 0; round < ROUNDS; round += 1) {
      const holds: Hang = {
        name: `holds-${round}`,
        host: holding.host,
        callTimeoutS: 2,
        begin: () => holding.swallow(),
        end: () => holding.release(),
      };
      const cuts: Hang = {
        name: `cuts-${round}`,
        host: cutting.host,
        callTimeoutS: 30,
        begin: () => cutting.swallow(),
        end: () => {
          cutting.release();
          cutting.cut();
        },
      };
      const forgets: Hang = {
        name: `forgets-${round}`,
        host: forgetting.host,
        callTimeoutS: 2,
        begin: () => forgetting.swallow(),
        end: () => forgetting.forget(),
      };
      const hangs = [holds, cuts, forgets];
      await Promise.all(hangs.map(hangsAndReturns));
      for (const { name } of hangs) expect(await containersOf(name)).toBe(0);
    }
    figures.swallowed += holding.swallowedCalls + cutting.swallowedCalls + forgetting.swallowedCalls;
    await Promise.all([holding.stop(), cutting.stop(), forgetting.stop()]);
  });

  it.concurrent('does not keep the worker from leaving, nor from publishing what is finished', {
    timeout: 240_000,
  }, async () => {
    const repo = new TaskRepository(await server.createRepository('leaving'));
    const proxy = await proxyNamed('l');
    await repo.queue({ stuck: { script: 'sleep 1000' }, done: { script: 'sleep 2; echo done' } });
    const worker = startWorker('leaving', proxy.host, {
      RECORD_DELAY: '60',
      SHUTDOWN_GRACE_SECONDS: String(GRACE_S),
    });
    // From the moment on in which the result is safe and its container is to go.
    const removing = Promise.withResolvers<void>();
    proxy.onCall = ({ method }) => {
      if (method !== 'DELETE') return;
      proxy.onCall = null;
      proxy.swallow();
      removing.resolve();
    };
    await until('both to run', () => worker.entries('task.started').length === 2, 60_000);
    await removing.promise;
    const askedAtMs = performance.now();
    expect(await worker.stop()).toBe(0);
    const tookMs = performance.now() - askedAtMs;
    figures.leavingMs.push(tookMs);
    expect(tookMs).toBeLessThan(GRACE_S * 1000 + LEAVING_LIMIT_MS);
    expect(worker.entries('worker.summary')[0]).toMatchObject({ results_unpublished: 0, results_dropped: 0 });
    expect(await repo.record('done')).toMatchObject({ attempt: 1, status: 'success', stdout: 'done\n' });
    const message = await git(repo.path, ['log', '-1', '--format=%B', 'refs/dgrid/tasks/stuck']);
    expect(message).toContain('DGrid-State: waiting');
    expect(message).toContain('DGrid-Attempt: 1');
    expect(await containersOf('leaving')).toBe(2);

    proxy.release();
    await using again = startWorker('leaving', proxy.host);
    // What was left is gone before anything is started in its place.
    await again.logged('task.started');
    const [leftovers, started] = [again.entries('container.leftover'), again.entries('task.started')];
    expect(leftovers.map(({ task }) => String(task)).toSorted((a, b) => a.localeCompare(b))).toEqual(['done', 'stuck']);
    expect(started).toMatchObject([{ task: 'stuck', attempt: 2 }]);
    expect(await containersOf('leaving')).toBe(1);
    again.child.kill('SIGTERM');
    await again.logged('worker.stopping');
    expect(await again.stop()).toBe(0);
    expect(await containersOf('leaving')).toBe(0);
    await proxy.stop();
  });

  it('because its daemon is stopped loses no verdict either', { timeout: ROUNDS * ROUND_LIMIT_MS }, async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      await hangsAndReturns({
        name: `stopped-${round}`,
        host: engine.host,
        callTimeoutS: 2,
        begin: () => engine.pause(),
        end: () => engine.resume(),
      });
      expect(await engine.countLeftovers()).toBe(0);
    }
  });
});
