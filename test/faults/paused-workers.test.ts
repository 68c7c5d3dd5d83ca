/**
 * Workers that are stopped for longer than their time-to-live and then go on, as after a suspend: what they finish too late
 * bounces, and what they missed makes them declare nobody dead.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LABEL } from '../../src/executor/docker/labels.ts';
import { systemClock } from '../../src/runtime.ts';
import { PrivateEngine } from '../support/engine.ts';
import { git } from '../support/git.ts';
import { GitServer } from '../support/git-server.ts';
import { mustBeRight } from '../support/must-be-right.ts';
import { ServerHistory } from '../support/oracle/server-history.ts';
import { allProcesses } from '../support/processes.ts';
import { atScale } from '../support/scale.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';
import type { LogEntry } from '../support/worker-process.ts';
import { WorkerProcess } from '../support/worker-process.ts';

const TTL_S = 6;
const PAUSES = atScale(3, 50);
/** Rounds in grids of their own, side by side: most of a round is waiting. */
const SIDE_BY_SIDE = 3;
const ROUND_LIMIT_MS = 120_000;
/** The owner's tasks that run until somebody stops them would run so long. */
const ENDLESS_S = 90;
/** Work that goes on while the observer is stopped, and longer than any pause. */
const WORK_S = 25;

let engine: PrivateEngine;
let server: GitServer;
let directory: TempDir;

beforeAll(async () => {
  engine = await PrivateEngine.start();
  await engine.importBusybox();
  server = await GitServer.start();
  directory = makeTempDir('paused');
});

afterAll(async () => {
  await server.stop();
  const left = [await engine.countLeftovers(), ...(await engine.remains())];
  await engine.stop();
  directory.remove();
  expect(left).toEqual([0]);
});

function startWorker(grid: string, name: string, env: Readonly<Record<string, string>> = {}): WorkerProcess {
  return WorkerProcess.start({
    directory: directory.sub(grid),
    name,
    repoUrl: server.url(grid),
    dockerHost: engine.host,
    env: { MAX_PARALLEL_TASKS: '2', HEARTBEAT_INTERVAL: '1', NODE_TTL: String(TTL_S), LOG_LEVEL: 'debug', ...env },
  });
}

/** A process and all that come from it. */
function treeOf(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const { pid: each } of allProcesses()) {
    try {
      parents.set(each, Number(/\) \S (\d+)/.exec(readFileSync(`/proc/${each}/stat`, 'utf8'))?.[1]));
    } catch {
      // It has ended since.
    }
  }
  const tree = [pid];
  for (const parent of tree) for (const [each, its] of parents) if (its === parent) tree.push(each);
  return tree;
}

function signalAll(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // It has ended since.
    }
  }
}

interface Manner {
  /** With the git processes that it has just then, or alone, so that they end while it is stopped. */
  whom: 'tree' | 'worker';
  /** Just then, or in the middle of a certain git command. */
  when: 'now' | 'push' | 'ls-remote';
}

const MANNERS: readonly Manner[] = [
  { whom: 'worker', when: 'now' },
  { whom: 'tree', when: 'push' },
  { whom: 'worker', when: 'ls-remote' },
  { whom: 'worker', when: 'push' },
  { whom: 'tree', when: 'now' },
  { whom: 'tree', when: 'ls-remote' },
];

/** A moment of a git process can only be met where there is one. */
function transportFor({ when }: Manner): Record<string, string> {
  return when === 'now' ? {} : { GIT_TRANSPORT: 'command' };
}

/** @returns what lets it go on */
async function pause(worker: WorkerProcess, { whom, when }: Manner): Promise<() => void> {
  let tree: number[] = [];
  const reached = (): boolean => {
    tree = treeOf(worker.pid);
    if (when === 'now') return true;
    const lines = allProcesses().filter(({ pid }) => tree.includes(pid));
    return lines.some(({ commandLine }) => commandLine.includes(` ${when} `));
  };
  await until(`a moment to stop ${worker.name}`, reached, 20_000);
  const stopped = whom === 'tree' ? tree : [worker.pid];
  signalAll(stopped, 'SIGSTOP');
  return () => signalAll(stopped, 'SIGCONT');
}

async function containersOf(node: string, labels: readonly string[] = []): Promise<string[]> {
  const filters = encodeURIComponent(JSON.stringify({ label: [`${LABEL.node}=${node}`, ...labels] }));
  const { body } = await engine.api<{ Id: string }[]>('GET', `/containers/json?all=true&filters=${filters}`);
  return body.map(({ Id }) => Id);
}

/** Lets a task end that waits for a word, and waits until it has. */
async function end(node: string, task: string): Promise<void> {
  const [id] = await containersOf(node, [`${LABEL.task}=${task}`]);
  expect((await engine.api('POST', `/containers/${id}/kill?signal=USR1`)).status).toBe(204);
  await engine.api('POST', `/containers/${id}/wait`);
}

async function recordsAdded(repo: TaskRepository): Promise<number> {
  const added = [
    'log',
    '--format=',
    '--name-status',
    '--diff-filter=A',
    'main',
    '--',
    'tasks/completed',
    'tasks/failed',
  ];
  return (await git(repo.path, added)).split('\n').filter((line) => line.endsWith('.json')).length;
}

const after = (entries: readonly LogEntry[], timeMs: number) =>
  entries.filter(({ time }) => Date.parse(time) >= timeMs);

async function inTurns(rounds: number, play: (round: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < rounds) {
      const round = next;
      next += 1;
      await play(round);
    }
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, lane));
}

describe('a worker that is stopped and goes on', () => {
  it('after its tasks were taken over gets nothing accepted any more', {
    timeout: PAUSES * ROUND_LIMIT_MS,
  }, async () => {
    const figures = { tried: 0, withLateResult: 0, runningOn: 0, slowestMs: 0, records: 0 };

    async function play(round: number): Promise<void> {
      const [grid, owner, other] = [`owner-${round}`, `o${round}`, `p${round}`];
      const repo = new TaskRepository(await server.createRepository(grid));
      const history = await ServerHistory.install(repo.path);
      await repo.queue({
        // Ends while its owner is stopped: its result is made too late.
        ends: {
          script: `trap 'echo $DGRID_NODE_ID; exit 0' USR1; [ $DGRID_NODE_ID = ${owner} ] || exit 0; while :; do sleep 0.1; done`,
        },
        // Runs still when its owner goes on.
        runs: { script: `if [ "$DGRID_NODE_ID" = ${owner} ]; then sleep ${ENDLESS_S}; fi; echo $DGRID_NODE_ID` },
      });
      const manner = MANNERS[round % MANNERS.length] as Manner;
      await using first = startWorker(grid, owner, transportFor(manner));
      await until('both to run', () => first.entries('task.started').length === 2, 40_000);
      await using second = startWorker(grid, other);
      await second.logged('worker.ready');
      const goOn = await pause(first, manner);
      const pausedAtMs = performance.now();
      await end(owner, 'ends');
      await until('both to be taken over', () => second.entries('task.taken-over').length === 2, 60_000).catch(
        (error: unknown) => {
          throw new Error(`${String(error)}\n${second.output}`, { cause: error });
        },
      );
      // In some rounds the other has everything done and recorded by then, in some it has just begun.
      if (round % 2 === 1) await until('the records', async () => (await repo.queued()).length === 0, 60_000);
      const onAtMs = Date.now();
      const { length: containersThen } = await containersOf(owner);
      goOn();
      await first.logged('node.registered', ({ time }) => Date.parse(time) >= onAtMs, 40_000);
      await until('the records', async () => (await repo.queued()).length === 0, 60_000);
      figures.slowestMs = Math.max(figures.slowestMs, performance.now() - pausedAtMs);
      await until('its containers to go', async () => (await containersOf(owner)).length === 0, 30_000);
      await until('the refs to go', async () => (await repo.refs('refs/dgrid/tasks/')).length === 0, 30_000);
      for (const id of ['ends', 'runs']) {
        expect(await repo.record(id)).toMatchObject({ node_id: other, attempt: 2, status: 'success' });
      }
      expect(await recordsAdded(repo)).toBe(2);
      const [before, now] = first.entries('node.registered').map(({ incarnation }) => incarnation);
      expect(now).not.toBe(before);
      expect(first.entries('node.fenced')).toHaveLength(1);
      expect(second.entries('node.dead')).toMatchObject([{ dead_node: owner }]);
      // Both containers were there when it went on: one ended, one running.
      expect(containersThen).toBe(2);
      const exits = await Promise.all([first.stop(), second.stop()]);
      expect(exits).toEqual([0, 0]);
      const late = after(first.entries('swap.settled'), onAtMs).filter(
        ({ ref, outcome }) => ref === 'refs/dgrid/tasks/ends' && outcome === 'lost',
      );
      const [summary] = first.entries('worker.summary');
      expect(summary?.['results_dropped']).toBe(late.length);
      expect(after(first.entries('task.fenced'), onAtMs).length).toBeGreaterThanOrEqual(1);
      figures.tried += late.length;
      figures.withLateResult += late.length > 0 ? 1 : 0;
      figures.runningOn += containersThen - 1;
      figures.records += 2;
      await mustBeRight(history, [first, second]);
    }

    await inTurns(PAUSES, play);
    console.info(
      `sigstop owner: ${PAUSES} pauses longer than the time-to-live, ${figures.withLateResult} late results made and sent, ` +
        `${figures.tried} rejected, 0 accepted, ${figures.runningOn} containers that still ran stopped, 0 containers left, ` +
        `${figures.records} tasks with 1 record each, 0 rules broken, ` +
        `slowest recovery ${(figures.slowestMs / 1000 / TTL_S).toFixed(1)} x TTL`,
    );
    expect(figures.withLateResult).toBeGreaterThan(PAUSES / 2);
  });

  it('declares nobody dead who worked on meanwhile', { timeout: PAUSES * ROUND_LIMIT_MS }, async () => {
    const figures = { deaths: 0, takeovers: 0, longestMs: 0, tasks: 0 };

    async function play(round: number): Promise<void> {
      const [grid, owner, observer] = [`observer-${round}`, `w${round}`, `v${round}`];
      const repo = new TaskRepository(await server.createRepository(grid));
      const history = await ServerHistory.install(repo.path);
      await repo.queue({ long: { script: `sleep ${WORK_S}; echo $DGRID_NODE_ID` }, 'a-short': { script: 'sleep 2' } });
      await using first = startWorker(grid, owner);
      await until('both to run', () => first.entries('task.started').length === 2, 40_000);
      const manner = MANNERS[round % MANNERS.length] as Manner;
      await using second = startWorker(grid, observer, transportFor(manner));
      const looks = () => [...second.entries('poll.skipped'), ...second.entries('poll.pulling')];
      await until('it to have looked', () => looks().length >= 2, 40_000).catch((error: unknown) => {
        throw new Error(`${String(error)}\n${second.output}`, { cause: error });
      });
      const goOn = await pause(second, manner);
      // From a little more than the time-to-live to more than any gap that an observer may have.
      const pauseMs = TTL_S * 1000 * (1.2 + (round % 5) * 0.5);
      await systemClock.sleep(pauseMs);
      const onAtMs = Date.now();
      goOn();
      figures.longestMs = Math.max(figures.longestMs, pauseMs);
      await until('it to have looked often enough to judge', () => after(looks(), onAtMs).length >= 6, 60_000);
      await until('the records', async () => (await repo.queued()).length === 0, 60_000);
      await until('the refs to go', async () => (await repo.refs('refs/dgrid/tasks/')).length === 0, 30_000);
      expect(await repo.record('long')).toMatchObject({ node_id: owner, attempt: 1, status: 'success' });
      figures.deaths += second.entries('node.dead').length;
      figures.takeovers += second.entries('task.taken-over').length;
      figures.tasks += 2;
      expect(first.entries('node.fenced')).toEqual([]);
      expect(await Promise.all([first.stop(), second.stop()])).toEqual([0, 0]);
      expect(first.entries('worker.summary')[0]).toMatchObject({ results_dropped: 0 });
      await mustBeRight(history, [first, second]);
    }

    await inTurns(PAUSES, play);
    console.info(
      `sigstop observer: ${PAUSES} pauses of ${(TTL_S * 1.2).toFixed(1)} to ${(figures.longestMs / 1000).toFixed(1)} s, ` +
        `${figures.deaths} nodes declared dead, ${figures.takeovers} false takeovers, ` +
        `${figures.tasks} tasks with 1 record each, 0 rules broken`,
    );
    expect([figures.deaths, figures.takeovers]).toEqual([0, 0]);
  });
});
