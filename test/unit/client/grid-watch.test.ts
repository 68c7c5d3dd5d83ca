import { describe, expect, it } from 'vitest';
import { cancel } from '../../../src/client/cancel.ts';
import { GridSummaries } from '../../../src/client/grid-summary.ts';
import { GridWatch } from '../../../src/client/grid-watch.ts';
import { Throughput } from '../../../src/client/throughput.ts';
import { taskId } from '../../../src/task/id.ts';
import { goodRecord } from '../../support/hostile-samples.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { memoryClient } from '../../support/memory-client.ts';
import { MemoryGrid } from '../../support/memory-grid.ts';

const task = (id: string, more: object = {}): string => JSON.stringify({ task_id: id, script: 'true', ...more });

async function watched(files: Readonly<Record<string, string>>) {
  const grid = new MemoryGrid('/nowhere');
  await grid.commit(files);
  const clock = new ManualClock();
  const { client } = memoryClient(grid.remote, { clock });
  return { grid, clock, client, watch: new GridWatch(client, new GridSummaries(client, { maxTaskBytes: 10_000 })) };
}

describe('watching a grid', () => {
  it('lists the queue in the order of claiming, and looks at it anew when it changes', async () => {
    const { grid, watch } = await watched({
      'tasks/queue/b.json': task('b'),
      'tasks/queue/z.json': task('z', { priority: 'critical' }),
      'tasks/queue/a.json': task('a', { priority: 'low' }),
      'tasks/queue/bad.json': '{}',
    });
    const ids = async (): Promise<string[]> => (await watch.look()).tasks.map(({ task_id: id }) => id);
    expect(await ids()).toEqual(['z', 'b', 'a', 'bad']);
    await grid.commit({ 'tasks/queue/c.json': task('c', { priority: 'high' }) });
    expect(await ids()).toEqual(['z', 'c', 'b', 'a', 'bad']);
    expect((await watch.look()).tasks.at(-1)).toMatchObject({
      priority: null,
      note: expect.stringContaining('no task') as string,
    });
  });

  it('tells results that came, the newest first, whichever way they went', async () => {
    const { client, clock, watch } = await watched({
      'tasks/queue/a.json': task('a'),
      'tasks/queue/b.json': task('b'),
    });
    expect((await watch.look()).recent).toEqual([]);
    for (const id of ['a', 'b'].map(taskId)) {
      clock.advance(1_000);
      await cancel(client, [id]);
      await watch.look();
    }
    const { recent, summary, tasks } = await watch.look();
    expect(recent).toMatchObject([
      { task_id: 'b', state: 'failed', seen: true, note: expect.stringContaining('cancelled') as string },
      { task_id: 'a', state: 'failed' },
    ]);
    expect([tasks, summary.finished_unrecorded.length]).toEqual([[], 2]);
  });

  it('tells a result also when it is recorded before anybody saw the task in work', async () => {
    const { grid, watch } = await watched({ 'tasks/queue/a.json': task('a'), 'tasks/queue/b.json': task('b') });
    await watch.look();
    await grid.commit({
      'tasks/queue/a.json': null,
      'tasks/completed/a.json': JSON.stringify({ ...goodRecord('a', 'all well\n'), status: 'success', reason: null }),
      'tasks/queue/b.json': null,
    });
    // What was only removed has no result.
    expect((await watch.look()).recent).toMatchObject([{ task_id: 'a', state: 'success', note: 'all well' }]);
  });
});

describe('throughput', () => {
  it('counts for each step what came in it', () => {
    const throughput = new Throughput();
    for (const [atMs, done] of [
      [0, 7],
      [1_000, 8],
      [5_000, 10],
      [12_000, 10],
      [16_000, 4],
      [17_000, 6],
    ] as const)
      throughput.observe(done, atMs);
    expect(throughput.series(10, 17_000)).toEqual([1, 2, 0, 2]);
    expect(throughput.series(2, 17_000)).toEqual([0, 2]);
    expect(throughput.series(3, 24_000)).toEqual([0, 2, 0]);
    expect(throughput.series(0, 17_000)).toEqual([]);
    expect(new Throughput().series(5, 0)).toEqual([]);
  });
});
