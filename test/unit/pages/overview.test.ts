import { describe, expect, it } from 'vitest';
import type { GridView } from '../../../src/ledger/grid-view.ts';
import { GridHistory } from '../../../src/pages/grid-history.ts';
import { GridPages, type WatchedGrid } from '../../../src/pages/grid-pages.ts';
import { MAX_RECENT_ROWS, MAX_TASK_ROWS } from '../../../src/pages/limits.ts';
import { overview as schema } from '../../../src/pages/model.ts';
import type { OwnTask } from '../../../src/pages/task-rows.ts';
import { nodeId, taskId } from '../../../src/task/id.ts';
import { alive, briefOf, claimed, finished, hex, viewOf } from '../../support/grid-views.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { MemoryRemote, MemoryRepository } from '../../support/memory-repository.ts';

class Watched {
  readonly clock = new ManualClock();
  readonly history = new GridHistory(this.clock);
  readonly pages: GridPages;
  view: GridView | null = null;
  own: OwnTask[] = [];
  info: Record<string, unknown> | null = null;

  constructor() {
    const repository = new MemoryRepository(new MemoryRemote());
    const grid: WatchedGrid = {
      repository: () => repository,
      history: this.history,
      briefOf,
      arrivalOf: () => 0,
      view: () => this.view,
      namespace: () => 'refs/dgrid',
      ownTasks: () => this.own,
      writtenOf: () => null,
      own: () => this.info && { nodeId: nodeId('box'), info: this.info },
    };
    this.pages = new GridPages({
      grid,
      source: 'worker',
      version: '1',
      repository: 'https://git.example.com/tasks',
      maxTaskBytes: 1024,
      clock: this.clock,
    });
  }

  see(view: GridView, gone: readonly string[] = []): void {
    this.view = view;
    this.history.observe(view, gone.map(taskId));
    this.pages.changed();
  }

  /** Checked against its description each time. */
  async overview() {
    return schema.parse(await this.pages.overview());
  }
}

describe('the overview', () => {
  it('is one also before anything was read, and says so', async () => {
    const watched = new Watched();
    expect(await watched.overview()).toMatchObject({ commit: null, problem: 'the repository has not been read yet' });
    watched.history.failed('the host is away');
    watched.pages.changed();
    expect((await watched.overview()).problem).toBe('the host is away');
    watched.see(viewOf({}));
    expect((await watched.overview()).problem).toBeNull();
  });

  it('shows what is in work, then what waits, then the queue in the order of claiming', async () => {
    const watched = new Watched();
    const waiting = claimed('low-w');
    watched.see(
      viewOf({
        queued: ['low-a', 'b', 'bad-x', 'critical-c', 'run', 'low-w', 'old', 'newer'],
        recorded: ['old'],
        tasks: {
          run: claimed('run'),
          'low-w':
            waiting.kind === 'state'
              ? { kind: 'state', state: { ...waiting.state, state: 'waiting', waitReason: 'retry', delayMs: 4_000 } }
              : null,
          newer: { kind: 'newer-format', format: 9 },
          gone: claimed('gone', 'nobody'),
        },
        nodes: { box: alive('box') },
      }),
    );
    const { problems, queue, tasks, tasks_left_out: leftOut } = await watched.overview();
    expect(tasks.map((row) => [row.task_id, row.state])).toEqual([
      ['gone', 'running'],
      ['run', 'running'],
      ['newer', 'unreadable'],
      ['low-w', 'waiting'],
      ['critical-c', 'queued'],
      ['b', 'queued'],
      ['low-a', 'queued'],
      ['bad-x', 'queued'],
    ]);
    expect(leftOut).toBe(0);
    expect(queue).toEqual({ pending: 4, invalid: 1, by_priority: { critical: 1, high: 0, medium: 1, low: 1 } });
    expect(tasks[0]?.note).toMatch(/its node is gone.*removed from the queue/);
    expect(tasks[3]?.note).toBe('to be tried again, 4 s after it was put back');
    expect(problems.map(({ path }) => path)).toEqual(['task newer', 'tasks/queue/old.json']);
  });

  it('of a hundred thousand tasks shows the first, and counts the rest', async () => {
    const watched = new Watched();
    const queued = Array.from(
      { length: 100_000 },
      (_, at) => `${at % 10 === 0 ? 'high' : 'low'}-${String(at).padStart(6, '0')}`,
    );
    const view = viewOf({ queued, nodes: { box: alive('box') } });
    watched.see(view);
    const first = await watched.overview();
    expect(first.tasks).toHaveLength(MAX_TASK_ROWS);
    expect(first.tasks.map((row) => row.task_id)).toEqual(
      queued.filter((id) => id.startsWith('high')).slice(0, MAX_TASK_ROWS),
    );
    expect(first.tasks_left_out).toBe(100_000 - MAX_TASK_ROWS);
    // Claims take the first ones away, more of them than were kept.
    const taken = queued.filter((id) => id.startsWith('high')).slice(0, 1_200);
    for (const id of taken) view.tasks.set(taskId(id), { oid: hex(1), state: null });
    watched.pages.changed();
    const { queue, tasks } = await watched.overview();
    expect(queue).toMatchObject({ pending: 98_800, by_priority: { high: 8_800 } });
    expect(tasks).toHaveLength(MAX_TASK_ROWS);
    const page = await watched.pages.tasks({ state: 'queued', limit: 2 });
    expect([page.total, page.tasks[0]?.task_id]).toEqual([98_800, 'high-012000']);
  });

  it('believes nothing of what nodes say but what it is told in the right shape and length', async () => {
    const watched = new Watched();
    const long = 'x'.repeat(100_000);
    const nodes = {
      a: alive('a', {
        name: long,
        version: { toString: 'no' },
        labels: [...Array.from({ length: 5_000 }, () => long), 7],
        slots: -1,
        running: [{ task: '../../etc' }, { task: 'fine' }, null, 5, 'text'],
        paused: [{ reason: 7 }, null, { reason: 'cpu', text: long }],
        refuses: 'nothing',
        cpu_percent: 1e300,
        memory_percent: '50',
        disk_percent: 12,
        quota_left: Number.NaN,
      }),
      b: alive('b', { labels: { length: 3 }, name: '\ud800half', running: { task: 'x' } }),
      c: { kind: 'unreadable', problem: 'damaged' } as const,
      d: null,
    };
    watched.see(viewOf({ nodes }));
    const rows = (await watched.overview()).nodes;
    expect(rows.map((row) => [row.node_id, row.state])).toEqual([
      ['a', 'alive'],
      ['b', 'alive'],
      ['d', 'alive'],
      ['c', 'unreadable'],
    ]);
    expect(JSON.stringify(rows).length).toBeLessThan(25_000);
    expect(rows[0]).toMatchObject({ version: null, slots: null, running: ['fine'], refuses: [], cpu_percent: null });
    expect(rows[0]).toMatchObject({ memory_percent: null, disk_percent: 12, quota_left: null });
    expect(rows[0]?.paused[0]).toEqual({ reason: 'unknown', text: '' });
    expect(rows[1]).toMatchObject({ name: '\ufffdhalf', labels: [], running: [] });
  });

  it('calls a node silent by what its looks showed, and not for want of a look', async () => {
    const watched = new Watched();
    const at = (beat: number): GridView => viewOf({ nodes: { box: alive('box', {}, 10_000) }, beat });
    watched.see(at(1));
    watched.clock.advance(60_000);
    // Nobody has looked for a minute: that says nothing of the node.
    watched.pages.changed();
    expect((await watched.overview()).nodes[0]).toMatchObject({ state: 'alive', seen_ms_ago: null });
    watched.see(at(2));
    watched.clock.advance(9_000);
    watched.see(at(2));
    expect((await watched.overview()).nodes[0]).toMatchObject({ state: 'alive', seen_ms_ago: 9_000 });
    watched.clock.advance(2_000);
    watched.see(at(2));
    expect((await watched.overview()).nodes[0]).toMatchObject({ state: 'silent', seen_ms_ago: 11_000 });
    watched.see(at(3));
    expect((await watched.overview()).nodes[0]).toMatchObject({ state: 'alive', seen_ms_ago: 0 });
  });

  it('remembers what an idle node said, of whose later signs of life nothing was read', async () => {
    const watched = new Watched();
    watched.see(viewOf({ nodes: { box: alive('box', { name: 'told' }) }, beat: 1 }));
    watched.see(viewOf({ nodes: { box: null }, beat: 2 }));
    expect((await watched.overview()).nodes[0]).toMatchObject({ name: 'told', ttl_ms: 60_000 });
    watched.see(viewOf({ nodes: {} }));
    watched.see(viewOf({ nodes: { box: null }, beat: 3 }));
    expect((await watched.overview()).nodes[0]?.name).toBeNull();
  });
});

describe('the revision', () => {
  it('stays while only time passes, and changes with everything else', async () => {
    const watched = new Watched();
    watched.info = { paused: [] };
    watched.own = [{ taskId: taskId('run'), claimedAtMs: 0, startedAtMs: 0, runMs: 5, image: 'busybox' }];
    const view = viewOf({ queued: ['run', 'q'], tasks: { run: claimed('run') }, nodes: { box: alive('box') } });
    watched.see(view);
    const revisions = [(await watched.overview()).revision];
    for (let minute = 0; minute < 3; minute += 1) {
      watched.clock.advance(60_000);
      watched.own = watched.own.map((task) => ({ ...task, runMs: (task.runMs ?? 0) + 60_000 }));
      watched.see(view);
      revisions.push((await watched.overview()).revision);
    }
    expect(new Set(revisions).size).toBe(1);
    expect((await watched.overview()).tasks[0]?.run_ms).toBe(180_005);

    const changes: (() => void)[] = [
      () => (watched.info = { paused: [{ reason: 'cpu', text: 'busy' }] }),
      () => view.tasks.set(taskId('run'), { oid: hex(5), state: finished('run', 'failed') }),
      () => watched.history.failed('away'),
      () => (watched.view = { ...view, tip: hex(12) }),
      () => view.nodes.clear(),
    ];
    for (const change of changes) {
      const before = (await watched.overview()).revision;
      change();
      watched.pages.changed();
      expect((await watched.overview()).revision).not.toBe(before);
    }
  });
});

describe('recent results', () => {
  it('are counted once, however long their refs stay, and are never more than fit', async () => {
    const watched = new Watched();
    watched.see(viewOf({}));
    const ids = Array.from({ length: 300 }, (_, at) => `t${at}`);
    const tasks = Object.fromEntries(ids.map((id) => [id, finished(id)]));
    watched.see(viewOf({ tasks }));
    watched.see(viewOf({ tasks }));
    watched.clock.advance(10_000);
    const { done_per_minute: rate, recent, series } = await watched.overview();
    expect(recent).toHaveLength(MAX_RECENT_ROWS);
    expect(recent[0]).toMatchObject({
      task_id: 't299',
      state: 'finished',
      status: 'success',
      finished_at: '1970-01-01T00:00:00.000Z',
    });
    expect(series.points.at(-1)).toMatchObject({ succeeded: 300, failed: 0 });
    expect(rate).toBeNull();
  });

  it('that were there at the first look are not taken for what happens now', async () => {
    const watched = new Watched();
    watched.see(viewOf({ tasks: { old: finished('old') } }));
    watched.clock.advance(10_000);
    const { recent, series } = await watched.overview();
    expect(recent).toHaveLength(1);
    expect(series.points).toMatchObject([{ succeeded: 0 }]);
  });
});
