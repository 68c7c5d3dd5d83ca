/** Listings that show the past, as a cache in front of the host or a replica behind it may: they prove nothing. */
import { describe, expect, it } from 'vitest';
import { type Oid, type RefName, refName } from '../../../src/git/oid.ts';
import { MemoryGrid, type TestWorker } from '../../support/memory-grid.ts';
import type { MemoryRepository } from '../../support/memory-repository.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { until } from '../../support/until.ts';

const NODE = refName('refs/dgrid/nodes/a');
const TASK = refName('refs/dgrid/tasks/t');

type Refs = ReadonlyMap<RefName, Oid>;

/** Lets a worker see the refs that `past` answers; null: as they are. Counts the listings that were not true. */
function lag(repository: MemoryRepository, past: () => Refs | null): { lists: number } {
  const count = { lists: 0 };
  const now = repository.listRefs.bind(repository);
  repository.listRefs = async (prefixes) => {
    const refs = past();
    if (!refs) return now(prefixes);
    count.lists += 1;
    const wanted = [...refs].filter(([ref]) => prefixes.some((prefix) => ref.startsWith(prefix)));
    return { refs: new Map(wanted), headBranch: repository.remote.headBranch };
  };
  return count;
}

async function stop(worker: TestWorker): Promise<void> {
  worker.agent.requestStop();
  await worker.done;
}

async function grid(tasks: Record<string, object>): Promise<MemoryGrid> {
  const g = new MemoryGrid(await temporaryDirectory());
  await g.queue(tasks);
  return g;
}

/** A worker whose heartbeats do not show by themselves that a listing is old. */
const QUIET = { heartbeatIntervalMs: 60_000, nodeTtlMs: 300_000 };

describe('a listing from before', () => {
  it('the claim does not end a running task', async () => {
    const g = await grid({ t: { script: 'sleep 400' } });
    let past: Refs | null = null;
    const worker = await g.startWorker('a', { settings: QUIET });
    const count = lag(worker.repository, () => past);
    await until('the task to run', () => worker.engine.starts.length === 1);
    const before = new Map(g.remote.refs);
    before.delete(TASK);
    past = before;
    await until('the worker to see the past', () => count.lists >= 4);
    past = null;
    await until('the record', async () => (await g.record('t')) !== null);
    expect(worker.engine.starts).toHaveLength(1);
    expect(worker.events.named('task.fenced')).toEqual([]);
    expect(await g.record('t')).toMatchObject({ attempt: 1, status: 'success' });
    await stop(worker);
  });

  it('the claim that was claimed from does not end a running task', async () => {
    const g = await grid({ t: { script: 'sleep 1500' } });
    const first = await g.startWorker('b', { settings: { shutdownGraceMs: 0 } });
    await until('the first start', () => first.engine.starts.length === 1);
    const before = new Map(g.remote.refs);
    await stop(first);
    let past: Refs | null = null;
    const worker = await g.startWorker('a', { settings: QUIET });
    const count = lag(worker.repository, () => past);
    await until('the second start', () => worker.engine.starts.length === 1);
    const now = new Map(g.remote.refs);
    // Of the node nothing shows: its ref did not move meanwhile.
    past = new Map([...before, [NODE, now.get(NODE) as Oid]]);
    await until('the worker to see the past', () => count.lists >= 4);
    past = null;
    await until('the record', async () => (await g.record('t')) !== null);
    expect(worker.engine.starts).toHaveLength(1);
    expect(worker.events.named('task.fenced')).toEqual([]);
    expect(await g.record('t')).toMatchObject({ node_id: 'a', status: 'success' });
    await stop(worker);
  });

  it('the claim does not make its result be dropped', async () => {
    const g = await grid({ t: { script: 'sleep 100' } });
    let past: Refs | null = null;
    let before: Refs = new Map();
    const worker = await g.startWorker('a', { settings: QUIET });
    const count = lag(worker.repository, () => past);
    await until('the task to run', () => worker.engine.starts.length === 1);
    worker.repository.onPush = (swaps) => {
      if (past === null && count.lists === 0 && swaps.some(({ ref }) => ref === TASK)) {
        before = new Map([...g.remote.refs].filter(([ref]) => ref !== TASK));
        past = before;
        return 'lost-request';
      }
      return 'none';
    };
    // What a push compares with is old as well, so that both channels agree.
    const swap = g.remote.swap.bind(g.remote);
    g.remote.swap = (wanted) => (past === null || wanted.ref !== TASK) && swap(wanted);
    await until('the worker to have read back', () => count.lists >= 4);
    past = null;
    await until('the record', async () => (await g.record('t')) !== null);
    expect(worker.engine.starts).toHaveLength(1);
    expect(worker.events.named('task.fenced')).toEqual([]);
    expect(worker.book.resultsDropped).toBe(0);
    await stop(worker);
  });

  it('the hand-back of a claim does not bring the claim back', async () => {
    const g = await grid({ t: { script: 'vanish' } });
    let past: Refs | null = null;
    const worker = await g.startWorker('a', { settings: QUIET });
    let claimed: Refs = new Map();
    worker.repository.onPush = () => {
      const refs = new Map(g.remote.refs);
      if (refs.has(TASK) && claimed.size === 0) claimed = refs;
      return 'none';
    };
    const count = lag(worker.repository, () => past);
    await until('the task to be handed back', () => worker.events.named('task.handed-back').length === 1);
    await until('that to be known', () => worker.book.held.size === 0);
    past = claimed;
    await until('the worker to see the past', () => count.lists >= 6);
    expect(worker.engine.starts).toHaveLength(1);
    past = null;
    await stop(worker);
  });

  it('the result, answered after it, does not make the worker reach for the claim again', async () => {
    const g = await grid({ t: { script: 'sleep 50' } });
    const worker = await g.startWorker('a', { settings: { ...QUIET, recordDelayMs: 600 } });
    await until('the task to run', () => worker.engine.starts.length === 1);
    const now = worker.repository.listRefs.bind(worker.repository);
    worker.repository.listRefs = async (prefixes) => {
      const listing = await now(prefixes);
      await until('the result', () => worker.events.named('result.acknowledged').length === 1);
      return listing;
    };
    await until('the record', async () => (await g.record('t')) !== null);
    expect(worker.events.named('task.claimed')).toHaveLength(1);
    expect(worker.events.named('task.fenced')).toEqual([]);
    expect(worker.events.named('swap.settled').filter(({ outcome }) => outcome !== 'won')).toEqual([]);
    await stop(worker);
  });

  it('its registration does not make a node believe that it was declared dead', async () => {
    const g = await grid({ t: { script: 'sleep 600' } });
    let past: Refs | null = null;
    const worker = await g.startWorker('a');
    const count = lag(worker.repository, () => past);
    await until('the task to run', () => worker.engine.starts.length === 1);
    worker.repository.onPush = (swaps) => {
      if (!swaps.some(({ ref }) => ref === NODE) || count.lists > 0) return 'none';
      past = new Map([...g.remote.refs].filter(([ref]) => ref !== NODE));
      return 'lost-reply';
    };
    await until('the heartbeat to be read back', () => count.lists > 0);
    past = null;
    await until('the record', async () => (await g.record('t')) !== null);
    expect(worker.events.named('node.fenced')).toEqual([]);
    expect(worker.events.named('node.registered')).toHaveLength(1);
    expect(worker.engine.starts).toHaveLength(1);
    await stop(worker);
  });

  it('its registration does not make it look for another place, nor leave', async () => {
    const g = await grid({ t: { script: 'exit 0' } });
    let lagging = true;
    const worker = await g.startWorker('a', {
      prepare: (repository) => {
        const swap = repository.swapRefs.bind(repository);
        // An earlier life of this worker moved its ref a moment ago, and what pushes compare with is old.
        repository.swapRefs = async (swaps, objects) =>
          lagging
            ? new Map(swaps.map(({ ref }) => [ref, { kind: 'rejected', reason: 'stale info' }]))
            : swap(swaps, objects);
      },
    });
    await until('it to have been rejected', () => worker.repository.lists > 12);
    lagging = false;
    await until('the record', async () => (await g.record('t')) !== null);
    expect(worker.events.named('namespace.fallback')).toEqual([]);
    expect([...g.remote.refs.keys()].filter((ref) => ref.startsWith('refs/heads/dgrid/'))).toEqual([]);
    await stop(worker);
  });
});
