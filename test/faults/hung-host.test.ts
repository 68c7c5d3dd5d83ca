/** A Git host that accepts everything and never answers: the worker leaves within its bounds, and loses nothing by it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GitServer } from '../support/git-server.ts';
import { mustBeRight } from '../support/must-be-right.ts';
import { ServerHistory } from '../support/oracle/server-history.ts';
import { atScale } from '../support/scale.ts';
import { StubWorkerProcess } from '../support/stub-worker-process.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';
import type { WorkerProcess } from '../support/worker-process.ts';

const GRACE_S = 2;
/** What the README promises beyond the grace time. */
const LEAVING_LIMIT_MS = 120_000;
/** Whoever asks twice waits for the containers, and for the host a little. */
const HURRIED_LIMIT_MS = 45_000;

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

function start(grid: string, args: readonly string[] = []): WorkerProcess {
  const env = {
    MAX_PARALLEL_TASKS: '2',
    HEARTBEAT_INTERVAL: '1',
    SHUTDOWN_GRACE_SECONDS: String(GRACE_S),
    RECORD_DELAY: '1',
  };
  return StubWorkerProcess.start({ directory: directory.path, name: grid, repoUrl: server.url(grid), env, args });
}

/** @returns how long the worker took to leave, milliseconds */
async function leaves(grid: string, how: { signals: 1 | 2; limitMs: number }): Promise<number> {
  const repo = new TaskRepository(await server.createRepository(grid));
  const history = await ServerHistory.install(repo.path);
  await repo.queue({
    // Finishes while nobody answers: its result has nowhere to go but the outbox.
    ends: { script: 'sleep 6000' },
    // Is still running in the end: its claim cannot be handed back.
    runs: { script: 'sleep 15000' },
  });
  await using worker = start(grid);
  await until('both to run', () => worker.entries('task.started').length === 2, 40_000);
  server.onRequest = ({ path }) => (path.startsWith(`/${grid}.git/`) ? { kind: 'hang' } : undefined);
  await worker.logged('task.finished', ({ task }) => task === 'ends');
  const askedAtMs = performance.now();
  worker.child.kill('SIGTERM');
  await worker.logged('worker.stopping');
  if (how.signals === 2) worker.child.kill('SIGTERM');
  expect(await worker.exit()).toBe(0);
  const tookMs = performance.now() - askedAtMs;
  expect(tookMs).toBeLessThan(how.limitMs);
  expect(worker.entries('worker.summary')).toMatchObject([{ results_unpublished: 1, results_dropped: 0 }]);

  server.onRequest = null;
  const again = start(grid, ['--until-idle']);
  expect(await again.exit()).toBe(0);
  expect(again.entries('outbox.replayed')).toHaveLength(1);
  expect(await repo.record('ends')).toMatchObject({ attempt: 1, status: 'success' });
  expect(await repo.record('runs')).toMatchObject({ attempt: 2, status: 'success' });
  expect(await repo.queued()).toEqual([]);
  await mustBeRight(history, [worker, again]);
  return tookMs;
}

const ONCE = { grid: 'once', signals: 1, limitMs: GRACE_S * 1000 + LEAVING_LIMIT_MS } as const;
const TWICE = { grid: 'twice', signals: 2, limitMs: HURRIED_LIMIT_MS } as const;
// Who is asked once waits for the host as long as it may: minutes, in which nothing else happens.
const CASES = atScale(1, 2) === 1 ? [TWICE] : [TWICE, ONCE];

describe('a host that never answers', () => {
  it.each(CASES)('does not keep a worker that was asked to leave ($grid)', { timeout: 300_000 }, async (how) => {
    const tookMs = await leaves(how.grid, how);
    console.info(
      `hung host: asked ${how.grid}, left after ${(tookMs / 1000).toFixed(1)} s, 0 tasks lost, 0 rules broken`,
    );
  });
});
