import { describe, expect, it } from 'vitest';
import type { GridClientParts } from '../../../src/client/grid-client.ts';
import { GridWatcher } from '../../../src/client/grid-watcher.ts';
import { GitError } from '../../../src/git/errors.ts';
import { MAX_RECENT_ROWS } from '../../../src/pages/limits.ts';
import { nodeId, taskId } from '../../../src/task/id.ts';
import type { ResultRecord } from '../../../src/task/result.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { memoryClient } from '../../support/memory-client.ts';
import { MemoryGrid } from '../../support/memory-grid.ts';
import { until } from '../../support/until.ts';

const NOW_MS = Date.parse('2026-03-01T12:00:00.000Z');

function record(id: string, agoMs: number): string {
  const finishedAt = new Date(NOW_MS - agoMs).toISOString();
  const whole: ResultRecord = {
    schema_version: 1,
    task_id: taskId(id),
    node_id: nodeId('box'),
    attempt: 1,
    status: 'success',
    reason: null,
    message: '',
    exit_code: 0,
    stdout: '',
    stderr: '',
    stdout_bytes: 0,
    stderr_bytes: 0,
    stdout_truncated: false,
    stderr_truncated: false,
    timestamp: finishedAt,
    claimed_at: null,
    started_at: null,
    finished_at: finishedAt,
    timings_ms: { claim: 1, pull: 0, start: 1, run: 20, collect: 1 },
    usage: { cpu_seconds: null, peak_memory_bytes: null },
    image: { name: 'busybox', digest: null },
    task: { task_id: id },
    spec_blob: '0'.repeat(40),
  };
  return JSON.stringify(whole);
}

function watch(grid: MemoryGrid, recentMessages?: GridClientParts['recentMessages']) {
  const clock = new ManualClock(NOW_MS);
  const ended = new AbortController();
  const { client, repository } = memoryClient(grid.remote, {
    clock,
    signal: ended.signal,
    ...(recentMessages ? { recentMessages } : {}),
  });
  const watcher = new GridWatcher({
    client,
    source: 'client',
    version: '1',
    repository: 'memory',
    maxTaskBytes: 1024,
    intervalMs: 1_000,
  });
  return { clock, ended, repository, watcher };
}

const recentIds = async ({ pages }: GridWatcher): Promise<string[]> =>
  (await pages.overview()).recent.map((row) => row.task_id);

describe('whoever watches a grid', () => {
  it('begins with the latest results by the time of their end, and goes on with those that are new', async () => {
    const grid = new MemoryGrid('/nowhere');
    const files = Array.from({ length: 300 }, (_, at) => [`tasks/completed/t${at}.json`, record(`t${at}`, at * 1_000)]);
    await grid.commit({ ...Object.fromEntries(files), 'tasks/failed/odd.json': '{}' });
    const { watcher } = watch(grid);
    await watcher.look();
    const first = await recentIds(watcher);
    expect(first).toHaveLength(MAX_RECENT_ROWS);
    expect(first.slice(0, 3)).toEqual(['t0', 't1', 't2']);
    const { series } = await watcher.pages.overview();
    expect(series.points.reduce((sum, { succeeded }) => sum + succeeded, 0)).toBe(300);

    await grid.commit({ 'tasks/completed/late.json': record('late', -1_000), 'tasks/failed/odder.json': '{"x":1}' });
    await watcher.look();
    await watcher.look();
    const { recent, recorded } = await watcher.pages.overview();
    expect(recent.slice(0, 2).map((row) => row.task_id)).toEqual(['late', 'odder']);
    expect(recent[1]).toMatchObject({ status: 'failed', message: expect.stringMatching(/record is not valid/) });
    expect(recent[0]).toMatchObject({ state: 'recorded', run_ms: 20, image: 'busybox' });
    expect(recorded).toEqual({ completed: 301, failed: 2 });
  });

  it('of very many results reads those that the past of the branch names, and none where there is no past', async () => {
    const grid = new MemoryGrid('/nowhere');
    const old = Array.from({ length: 10_001 }, (_, at) => [`tasks/completed/t${at}.json`, '{}']);
    const named = { 'tasks/completed/t7.json': record('t7', 5_000), 'tasks/completed/t8.json': record('t8', 3_000) };
    await grid.commit({ ...Object.fromEntries(old), ...named });
    const asked: unknown[] = [];
    const messages = [
      'Record 2 results: t8, t7\n\nt8: success on box\nnobody: success on box\n',
      'Add: something\nt7: success on box\n../x: y',
    ];
    const { watcher } = watch(grid, async (ref, depth) => {
      asked.push([ref, depth]);
      return messages;
    });
    await watcher.look();
    await watcher.look();
    expect(await recentIds(watcher)).toEqual(['t8', 't7']);
    expect(asked).toEqual([['refs/heads/main', 100]]);
    expect((await watcher.pages.overview()).recorded.completed).toBe(10_001);

    const { watcher: other } = watch(grid, async () => {
      throw new GitError('network', 'fetch', 'the line broke');
    });
    await other.look();
    expect(await recentIds(other)).toEqual([]);
    await grid.commit({ 'tasks/completed/late.json': record('late', 0) });
    await other.look();
    expect(await recentIds(other)).toEqual(['late']);
  });

  it('of many results reads all where the past names too few of them to show', async () => {
    const grid = new MemoryGrid('/nowhere');
    const files = Array.from({ length: 1_500 }, (_, at) => [
      `tasks/completed/t${at}.json`,
      record(`t${at}`, at * 1_000),
    ]);
    await grid.commit(Object.fromEntries(files));
    const names = (count: number): string =>
      Array.from({ length: count }, (_, at) => `t${900 + at}: success on box`).join('\n');
    const few = watch(grid, async () => [names(199)]).watcher;
    await few.look();
    expect((await recentIds(few)).slice(0, 2)).toEqual(['t0', 't1']);
    const enough = watch(grid, async () => [names(200)]).watcher;
    await enough.look();
    expect((await recentIds(enough)).slice(0, 2)).toEqual(['t900', 't901']);
  });

  it('looks less often while nobody asks, and at once when somebody does again', async () => {
    const grid = new MemoryGrid('/nowhere');
    await grid.commit({ 'README.md': 'x' });
    const { clock, ended, repository, watcher } = watch(grid);
    await watcher.look();
    const watching = watcher.watch();
    const after = async (ms: number): Promise<number> => {
      const before = repository.lists;
      for (let passed = 0; passed < ms; passed += 1_000) {
        await until('it waits', () => clock.sleeping === 1);
        clock.advance(1_000);
        // A look takes several turns of the event loop, and none of time.
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      return repository.lists - before;
    };
    expect(await after(30_000)).toBeGreaterThanOrEqual(28);
    await after(40_000);
    expect(await after(60_000)).toBeLessThanOrEqual(5);
    const before = repository.lists;
    watcher.asked();
    await until('it looks', () => repository.lists > before);
    const leave = watcher.pages.onChange(() => undefined);
    await after(70_000);
    expect(await after(30_000)).toBeGreaterThanOrEqual(28);
    leave();
    ended.abort();
    await watching;
  });

  it('says why it could not look, and goes on', async () => {
    const grid = new MemoryGrid('/nowhere');
    await grid.commit({ 'tasks/completed/a.json': record('a', 0) });
    const { clock, ended, repository, watcher } = watch(grid);
    await watcher.look();
    const watching = watcher.watch();
    repository.onList = () => {
      throw new GitError('auth', 'ls-remote', 'the token has expired');
    };
    const problem = async (): Promise<string | null> => (await watcher.pages.overview()).problem;
    await until('it fails', async () => {
      clock.advance(1_000);
      return (await problem()) !== null;
    });
    expect(await problem()).toBe('the token has expired');
    expect(await recentIds(watcher)).toEqual(['a']);
    repository.onList = () => undefined;
    await until('it looks again', async () => {
      clock.advance(5_000);
      return (await problem()) === null;
    });
    ended.abort();
    await watching;
  });
});
