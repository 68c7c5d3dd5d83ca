/**
 * A grid that is watched over time: after each look, which tasks there are in the order in which their turn comes, since when
 * each was seen as it is, and which got their results meanwhile. What was before the first look is not known here, so
 * durations are lower bounds, and say so.
 */
import type { QueueFile } from '../ledger/found-files.ts';
import type { GridView } from '../ledger/grid-view.ts';
import type { QueueIndex } from '../ledger/queue-index.ts';
import { readResults } from '../ledger/results.ts';
import { Sightings } from '../ledger/sightings.ts';
import { standingOf, statusOf } from '../ledger/task-standing.ts';
import type { TaskId } from '../task/id.ts';
import { PRIORITIES, type Priority } from '../task/task-schema.ts';
import type { GridClient } from './grid-client.ts';
import { doneOf, type GridSummaries, type GridSummary } from './grid-summary.ts';
import { Throughput } from './throughput.ts';

/** Results, the newest first. */
export const MAX_RECENT = 200;
/** Records read at one look; of the others only success or failure is told. */
const MAX_READ_RECORDS = 50;

export interface WatchedTask {
  task_id: TaskId;
  state: 'running' | 'waiting' | 'queued' | 'success' | 'failed' | 'unreadable';
  /** null: its file is not there, or no task. */
  priority: Priority | null;
  node_id: string | null;
  attempt: number;
  /** Monotonic; when it was first seen as it is. null for what is only queued. */
  sinceMs: number | null;
  /** Whether it became so before the eyes of the watcher; else `sinceMs` is when the watching began. */
  seen: boolean;
  /** Of a result whose record was read. */
  run_ms: number | null;
  note: string;
}

export interface GridPicture {
  atMs: number;
  summary: GridSummary;
  /** What runs, waits, is queued, in this order. */
  tasks: readonly WatchedTask[];
  recent: readonly WatchedTask[];
  sightings: Sightings;
  throughput: Throughput;
}

export class GridWatch {
  readonly #client: GridClient;
  readonly #summaries: GridSummaries;
  readonly #sightings = new Sightings();
  readonly #throughput = new Throughput();
  #since = new Map<TaskId, { key: string; sinceMs: number; seen: boolean }>();
  #recent: WatchedTask[] = [];
  #before: { tasks: ReadonlySet<TaskId>; queue: QueueIndex } | null = null;
  #order: { queue: QueueIndex; complete: boolean; tasks: WatchedTask[] } | null = null;

  constructor(client: GridClient, summaries: GridSummaries) {
    this.#client = client;
    this.#summaries = summaries;
  }

  /** One look. @throws GitError */
  async look(): Promise<GridPicture> {
    const view = await this.#client.refresh({ nodes: 'all' });
    const summary = await this.#summaries.of(view);
    const nowMs = this.#client.clock.monotonicMs();
    this.#sightings.observe(
      [...view.nodes].map(([id, { oid }]) => [id, oid] as const),
      doneOf(summary),
      nowMs,
    );
    this.#throughput.observe(doneOf(summary), nowMs);
    await this.#noteResults(view, nowMs);
    const active = this.#active(summary, view, nowMs);
    const tasks = [...active, ...this.#queued(view)];
    this.#before = { tasks: new Set(view.tasks.keys()), queue: view.queue };
    const { recent, sightings, throughput } = {
      recent: this.#recent,
      sightings: this.#sightings,
      throughput: this.#throughput,
    };
    return { atMs: nowMs, summary, tasks, recent, sightings, throughput };
  }

  #active(summary: GridSummary, view: GridView, nowMs: number): WatchedTask[] {
    const since = new Map<TaskId, { key: string; sinceMs: number; seen: boolean }>();
    const priorityOf = (id: TaskId): Priority | null => this.#priority(view.queue.files.get(id));
    const timed = (id: TaskId, key: string): { sinceMs: number; seen: boolean } => {
      const known = this.#since.get(id);
      const found = known?.key === key ? known : { key, sinceMs: nowMs, seen: this.#before !== null };
      since.set(id, found);
      return { sinceMs: found.sinceMs, seen: found.seen };
    };
    const byTurn = (a: WatchedTask, b: WatchedTask): number => (a.sinceMs ?? 0) - (b.sinceMs ?? 0);
    const running = summary.in_work.map(
      (task): WatchedTask => ({
        task_id: task.task_id,
        state: 'running',
        priority: priorityOf(task.task_id),
        node_id: task.node_id,
        attempt: task.attempt,
        ...timed(task.task_id, `${task.epoch}`),
        run_ms: null,
        note: [task.owner_gone ? 'its node is gone' : '', task.withdrawn ? 'its file was removed' : '']
          .filter(Boolean)
          .join(', '),
      }),
    );
    const waiting = summary.waiting.map(
      (task): WatchedTask => ({
        task_id: task.task_id,
        state: 'waiting',
        priority: priorityOf(task.task_id),
        node_id: null,
        attempt: task.attempt,
        ...timed(task.task_id, `waiting ${task.attempt}`),
        run_ms: null,
        note: task.reason === 'retry' ? 'to be tried again' : 'handed back',
      }),
    );
    this.#since = since;
    return [...running.sort(byTurn), ...waiting.sort(byTurn)];
  }

  /** In the order of claiming, as far as it can be told from here; sorted anew only when the queue is another one. */
  #queued(view: GridView): WatchedTask[] {
    const { queue, tasks } = view;
    if (this.#order?.queue !== queue || !this.#order.complete) {
      let complete = true;
      const rows = [...queue.files.values()].map((file): WatchedTask => {
        const brief = this.#summaries.briefOf(file);
        complete &&= brief !== null;
        return {
          task_id: file.taskId,
          state: 'queued',
          priority: brief?.ok ? brief.priority : null,
          node_id: null,
          attempt: 0,
          sinceMs: null,
          seen: false,
          run_ms: null,
          note: brief?.ok === false ? 'no task: it will get a record that says why' : '',
        };
      });
      this.#order = { queue, complete, tasks: rows.sort(byPriorityAndId) };
    }
    return this.#order.tasks.filter(({ task_id: id }) => !tasks.has(id) && !queue.alreadyRecorded.has(id));
  }

  #priority(file: QueueFile | undefined): Priority | null {
    const brief = file ? this.#summaries.briefOf(file) : null;
    return brief?.ok ? brief.priority : null;
  }

  async #noteResults(view: GridView, nowMs: number): Promise<void> {
    const known = new Set(this.#recent.map(({ task_id: id }) => id));
    const ended = new Set<TaskId>();
    for (const id of [...view.tasks.keys(), ...this.#gone(view)]) {
      if (!known.has(id) && statusOf(standingOf(view, id)) !== null) ended.add(id);
    }
    if (ended.size === 0) return;
    const newest = [...ended].slice(-MAX_RECENT);
    const records = await readResults(this.#client, view, newest.slice(-MAX_READ_RECORDS));
    const rows = newest.map((id): WatchedTask => {
      const found = records.get(id);
      const record = found?.ok ? found.record : null;
      const failed = record?.reason ?? (found && !found.ok ? found.problem : '');
      return {
        task_id: id,
        state: statusOf(standingOf(view, id)) ?? 'failed',
        priority: null,
        node_id: record?.node_id ?? null,
        attempt: record?.attempt ?? 0,
        sinceMs: nowMs,
        seen: this.#before !== null,
        run_ms: record?.timings_ms.run ?? null,
        note:
          record?.status === 'success'
            ? firstLine(record.stdout)
            : [failed, record?.message ?? ''].filter(Boolean).join(': '),
      };
    });
    this.#recent = [...rows.toReversed(), ...this.#recent].slice(0, MAX_RECENT);
  }

  /** What was in work or queued at the last look, and is not any more. */
  #gone(view: GridView): TaskId[] {
    if (this.#before === null) return [];
    const { tasks, queue } = this.#before;
    const gone = [...tasks].filter((id) => !view.tasks.has(id));
    if (queue !== view.queue) for (const id of queue.files.keys()) if (!view.queue.files.has(id)) gone.push(id);
    return gone;
  }
}

function byPriorityAndId(a: WatchedTask, b: WatchedTask): number {
  const place = ({ priority }: WatchedTask): number =>
    priority === null ? PRIORITIES.length : PRIORITIES.indexOf(priority);
  return place(a) - place(b) || (a.task_id < b.task_id ? -1 : 1);
}

function firstLine(text: string): string {
  return text.split('\n').find((line) => line.trim() !== '') ?? '';
}
