/**
 * The documents of a grid that somebody watches: a worker, or a client. It looks at nothing by itself. Whoever watches says
 * when something may have changed; records and task files are read when a task is asked for, a few at a time.
 */
import type { Repository } from '../git/repository.ts';
import type { QueueFile } from '../ledger/found-files.ts';
import type { GridView } from '../ledger/grid-view.ts';
import type { Namespace } from '../ledger/names.ts';
import type { QueueIndex } from '../ledger/queue-index.ts';
import type { StreamOutput } from '../ledger/results.ts';
import type { TaskBrief } from '../ledger/spec-cache.ts';
import type { Clock } from '../runtime.ts';
import type { NodeId, TaskId } from '../task/id.ts';
import type { GridHistory } from './grid-history.ts';
import { MAX_NODE_ROWS } from './limits.ts';
import { LiveOutputs, type Written } from './live-outputs.ts';
import {
  type NodeList,
  type Overview,
  PAGES_SCHEMA_VERSION,
  type TaskDetail,
  type TaskList,
  type TaskRow,
} from './model.ts';
import { makeOverview, recentRows } from './overview.ts';
import { QueueCount } from './queue-count.ts';
import type { PagesSource } from './source.ts';
import { type DetailParts, type FoundDetail, readDetails, readStream } from './task-detail.ts';
import { listTasks, type TaskQuery } from './task-list.ts';
import { type OwnTask, openRows, queuedRow, type RowParts } from './task-rows.ts';
import { Turnstile } from './turnstile.ts';

/** Figures that the passing of time alone changes are never older than this. */
const MAX_AGE_MS = 5_000;
const READING = { atATime: 2, waiting: 16, deadlineMs: 15_000 };
/** Details that are read together. */
const DETAILS_BATCH = 20;

/** What is asked of whoever watches; everything is asked for at each document. */
export interface WatchedGrid {
  /** Asked for only where there is a view. */
  repository: () => Repository;
  history: GridHistory;
  /** null: not read yet. */
  briefOf: (file: QueueFile) => TaskBrief | null;
  arrivalOf: (id: TaskId) => number;
  /** null: nothing was read yet. */
  view: () => GridView | null;
  namespace: () => Namespace;
  ownTasks: () => readonly OwnTask[];
  /** null: it does not run here, or what would have to be masked in it is not known. */
  writtenOf: (id: TaskId, maxBytes: number) => Written | null;
  own: () => { nodeId: NodeId; info: Readonly<Record<string, unknown>> } | null;
}

export interface GridPagesParts {
  grid: WatchedGrid;
  source: Overview['source'];
  version: string;
  /** Without credentials. */
  repository: string;
  maxTaskBytes: number;
  clock: Clock;
}

export class GridPages implements PagesSource {
  readonly #parts: GridPagesParts;
  readonly #count: QueueCount;
  readonly #turnstile: Turnstile;
  readonly #live: LiveOutputs;
  readonly #listeners = new Set<() => void>();
  #made: { overview: Overview; atMs: number } | null = null;
  #recorded: { queue: QueueIndex; counts: Overview['recorded'] } | null = null;

  constructor(parts: GridPagesParts) {
    this.#parts = parts;
    this.#count = new QueueCount(parts.grid);
    this.#turnstile = new Turnstile(READING, parts.clock);
    this.#live = new LiveOutputs(parts.clock);
  }

  /** Whether somebody waits for changes. */
  get isWatched(): boolean {
    return this.#listeners.size > 0;
  }

  /** Something may have changed: the next document is made anew. */
  changed(): void {
    this.#made = null;
    for (const listener of this.#listeners) listener();
  }

  async overview(): Promise<Overview> {
    const { clock } = this.#parts;
    const nowMs = clock.monotonicMs();
    if (!this.#made || nowMs - this.#made.atMs > MAX_AGE_MS) this.#made = { overview: this.#make(), atMs: nowMs };
    return this.#made.overview;
  }

  async tasks(query: TaskQuery): Promise<TaskList> {
    const { grid } = this.#parts;
    const view = grid.view();
    if (!view) return listTasks(query, { open: [], queued: () => [], recent: [], queuedRow: this.#queuedRow });
    return listTasks(query, {
      open: openRows(this.#rowParts(view)),
      queued: () => this.#count.all(view),
      recent: recentRows(view, grid.history),
      queuedRow: this.#queuedRow,
    });
  }

  async nodes(): Promise<NodeList> {
    const { nodes, nodes_left_out: leftOut } = await this.overview();
    const more = leftOut === undefined ? {} : { nodes_left_out: leftOut };
    return { schema_version: PAGES_SCHEMA_VERSION, nodes: nodes.slice(0, MAX_NODE_ROWS), ...more };
  }

  async task(id: TaskId, signal: AbortSignal): Promise<TaskDetail | null> {
    return (await this.details([id], signal)).get(id) ?? null;
  }

  /** Tasks that there are not are absent. @throws GitError; BusyError */
  async details(ids: readonly TaskId[], signal: AbortSignal): Promise<Map<TaskId, TaskDetail>> {
    const view = this.#parts.grid.view();
    const details = new Map<TaskId, TaskDetail>();
    if (!view) return details;
    for (let at = 0; at < ids.length; at += DETAILS_BATCH) {
      const batch = ids.slice(at, at + DETAILS_BATCH);
      const found = await this.#turnstile.pass(signal, (limited) =>
        readDetails(batch, this.#detailParts(view, limited)),
      );
      for (const [id, one] of found) details.set(id, this.#learn(one));
    }
    return details;
  }

  async output(id: TaskId, stream: 'stdout' | 'stderr', signal: AbortSignal): Promise<StreamOutput | null> {
    const view = this.#parts.grid.view();
    if (!view) return null;
    return this.#turnstile.pass(signal, (limited) => readStream(id, stream, this.#detailParts(view, limited)));
  }

  onChange(listener: () => void): () => void {
    // Each has a place of its own, also when one listens twice.
    const own = (): void => listener();
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  readonly #queuedRow = (file: QueueFile): TaskRow => queuedRow(file, this.#parts.grid);

  /** A record that was read for one page makes the rows of others whole. */
  #learn({ detail, record }: FoundDetail): TaskDetail {
    const { history } = this.#parts.grid;
    if (record && history.recent.has(record.task_id)) history.result(record);
    return detail;
  }

  #make(): Overview {
    const { clock, grid, repository, source, version } = this.#parts;
    const view = grid.view();
    const own = grid.own();
    const { history } = grid;
    return makeOverview({
      source,
      version,
      repository,
      thisNode: own?.nodeId ?? null,
      view,
      problem: history.problem ?? (view ? null : 'the repository has not been read yet'),
      history,
      count: this.#count,
      recorded: view ? this.#recordedOf(view.queue) : { completed: 0, failed: 0 },
      briefOf: grid.briefOf,
      ownTasks: this.#ownTasks(),
      own,
      wallMs: clock.wallMs(),
    });
  }

  #recordedOf(queue: QueueIndex): Overview['recorded'] {
    if (this.#recorded?.queue !== queue) this.#recorded = { queue, counts: queue.countRecords() };
    return this.#recorded.counts;
  }

  #ownTasks(): Map<TaskId, OwnTask> {
    return new Map(this.#parts.grid.ownTasks().map((task) => [task.taskId, task]));
  }

  #rowParts(view: GridView): RowParts {
    return { view, briefOf: this.#parts.grid.briefOf, own: this.#ownTasks() };
  }

  #detailParts(view: GridView, signal: AbortSignal): DetailParts {
    const { grid, maxTaskBytes } = this.#parts;
    const repository = grid.repository();
    const namespace = grid.namespace();
    const reader = { repository, signal, format: repository.objectFormat() };
    const live = { reader: { ...reader, namespace }, view, writtenOf: grid.writtenOf };
    return {
      ...this.#rowParts(view),
      reader,
      namespace,
      maxTaskBytes,
      recentOf: (id) => grid.history.recent.get(id),
      readLive: (running) => this.#live.read(running, live),
    };
  }
}
