/** A picture of a grid for what draws `dgrid top`, with as much of everything as is asked for. */
import type { GridSummary, NodeSummary } from '../../src/client/grid-summary.ts';
import type { GridPicture, WatchedTask } from '../../src/client/grid-watch.ts';
import { Throughput } from '../../src/client/throughput.ts';
import type { Oid } from '../../src/git/oid.ts';
import { Sightings } from '../../src/ledger/sightings.ts';
import { type NodeId, nodeId, type TaskId } from '../../src/task/id.ts';

export const SAMPLE_NOW_MS = 600_000;

export function sampleTask(id: string, more: Partial<WatchedTask> = {}): WatchedTask {
  return {
    task_id: id as TaskId,
    state: 'queued',
    priority: 'medium',
    node_id: null,
    attempt: 0,
    sinceMs: null,
    seen: false,
    run_ms: null,
    note: '',
    ...more,
  };
}

export function sampleNode(id: string, more: Partial<NodeSummary> = {}): NodeSummary {
  return {
    node_id: nodeId(id),
    state: 'alive',
    name: id,
    version: '0.1.0',
    labels: [],
    running: [],
    slots: 4,
    paused: [],
    refuses: [],
    heartbeat_interval_seconds: 10,
    ttl_seconds: 50,
    last_beat_by_its_clock: '2030-01-01T00:00:00.000Z',
    fenced_by: null,
    info: {},
    ...more,
  };
}

export function samplePicture(parts: {
  tasks?: readonly WatchedTask[];
  recent?: readonly WatchedTask[];
  nodes?: readonly NodeSummary[];
  summary?: Partial<GridSummary>;
  /** Of each step, how many tasks were done in it. */
  series?: readonly number[];
}): GridPicture {
  const { tasks = [], recent = [], nodes = [], series = [] } = parts;
  const queued = tasks.filter(({ state }) => state === 'queued');
  const by = (priority: string): number => queued.filter((task) => task.priority === priority).length;
  const sightings = new Sightings();
  const throughput = new Throughput();
  let done = 0;
  series.forEach((count, at) => {
    done += count;
    const atMs = SAMPLE_NOW_MS - (series.length - 1 - at) * 5_000;
    throughput.observe(done, atMs);
    sightings.observe(
      nodes.map(({ node_id: id }) => [id, `${at}${'0'.repeat(40)}`.slice(0, 40) as Oid] as const),
      done,
      atMs - 3_000,
    );
  });
  return {
    atMs: SAMPLE_NOW_MS - 400,
    summary: {
      branch: 'main',
      commit: 'c0ffee00'.repeat(5),
      queue: {
        pending: queued.length,
        by_priority: { critical: by('critical'), high: by('high'), medium: by('medium'), low: by('low') },
        invalid: 0,
      },
      waiting: [],
      in_work: tasks
        .filter(({ state }) => state === 'running')
        .map((task) => ({
          task_id: task.task_id,
          node_id: (task.node_id ?? 'box') as NodeId,
          attempt: 1,
          epoch: 1,
          owner_gone: false,
          withdrawn: false,
        })),
      finished_unrecorded: [],
      recorded: { completed: done, failed: 0 },
      problems: [],
      nodes: [...nodes],
      ...parts.summary,
    },
    tasks,
    recent,
    sightings,
    throughput,
  };
}
