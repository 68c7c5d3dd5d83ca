/**
 * What somebody who watches a grid has seen pass by: results, signs of life, figures over time, and what each node last
 * said of itself. Kept from the beginning, for a page that is opened later; it reads nothing and asks nobody.
 *
 * Bounds: so many results, a ring of figures, one entry for each node of the last view.
 */
import type { GridView } from '../ledger/grid-view.ts';
import { COMPLETED_DIR } from '../ledger/names.ts';
import { type BeatSighting, Sightings } from '../ledger/sightings.ts';
import type { Decoded, FinishedState, NodeState } from '../ledger/state-codec.ts';
import type { Clock } from '../runtime.ts';
import type { NodeId, TaskId } from '../task/id.ts';
import type { ResultRecord } from '../task/result.ts';
import { calendarTime } from './foreign.ts';
import { bareResult, type RecentResult, RecentResults, recentOf } from './recent-results.ts';
import { type Gauges, Series } from './series.ts';

export class GridHistory {
  readonly recent = new RecentResults();
  readonly series: Series;
  readonly #clock: Clock;
  readonly #sightings = new Sightings();
  /** The last of each node that was read: of nodes that hold nothing a worker reads no more than their ids. */
  #nodes = new Map<NodeId, Decoded<NodeState>>();
  /** Tasks of the last view that had their result: counted once, however long their refs stay. */
  #finished = new Set<TaskId>();
  #looks = 0;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #results = 0;
  #problem: string | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.series = new Series(clock);
  }

  /** Why the last look failed; null: it did not. */
  get problem(): string | null {
    return this.#problem;
  }

  /** The repository could not be read. */
  failed(problem: string): void {
    this.#problem = problem;
  }

  /**
   * @param gone tasks whose files have left the queue since the look before.
   * @param load of the machine that looks, where that is a worker's.
   */
  observe(view: GridView, gone: readonly TaskId[], load: Partial<Gauges> = {}): void {
    this.#problem = null;
    const nodes = new Map<NodeId, Decoded<NodeState>>();
    for (const [id, { state }] of view.nodes) {
      const known = state ?? this.#nodes.get(id);
      if (known) nodes.set(id, known);
    }
    this.#nodes = nodes;
    const finished = new Set<TaskId>();
    let running = 0;
    let unqueued = 0;
    for (const [id, { state }] of view.tasks) {
      if (!view.queue.files.has(id)) unqueued += 1;
      if (state?.kind !== 'state') continue;
      if (state.state.state === 'claimed') running += 1;
      if (state.state.state !== 'finished') continue;
      finished.add(id);
      if (!this.#finished.has(id)) this.add(fromState(state.state, state.writtenAtSeconds));
    }
    for (const id of gone) {
      const record = this.#finished.has(id) ? null : view.queue.recordOf(id);
      if (record) this.add(fromPlace(id, record.path));
    }
    this.#finished = finished;
    this.#looks += 1;
    const { alreadyRecorded, files } = view.queue;
    const pending = Math.max(0, files.size - alreadyRecorded.size - (view.tasks.size - unqueued));
    const { cpuPercent = null, memoryPercent = null } = load;
    this.series.stand({ pending, running, cpuPercent, memoryPercent });
    const beats = [...view.nodes].map(([id, { oid }]) => [id, oid] as const);
    this.#lookedAtMs = this.#clock.monotonicMs();
    this.#sightings.observe(beats, this.#results, this.#lookedAtMs);
  }

  /** A result whose record is at hand. */
  result(record: ResultRecord): void {
    this.add(recentOf(record));
  }

  add(result: RecentResult): void {
    // What the first look shows came before it, nobody knows when.
    if (!this.recent.add(result) || this.#looks === 0) return;
    this.#results += 1;
    this.series.result(result.status, result.runMs);
  }

  /** What the node said last; null: nothing of it was ever read. */
  nodeState(id: NodeId): Decoded<NodeState> | null {
    return this.#nodes.get(id) ?? null;
  }

  beatOf(id: NodeId): BeatSighting | null {
    return this.#sightings.beatOf(id, this.#clock.monotonicMs());
  }

  /** For how long the node showed the same sign of life when it was last looked at; null: it was not there. */
  silentMs(id: NodeId): number | null {
    return this.#sightings.beatOf(id, this.#lookedAtMs)?.agoMs ?? null;
  }

  /** null before there is anything to compare. */
  donePerMinute(): number | null {
    return this.#sightings.donePerMinute();
  }
}

function fromState(state: FinishedState, writtenAtSeconds: number | null | undefined): RecentResult {
  return {
    ...bareResult(state.taskId, state.status),
    reason: state.reason,
    nodeId: state.nodeId,
    attempt: state.attempt,
    finishedAt: calendarTime(writtenAtSeconds),
  };
}

function fromPlace(taskId: TaskId, path: string): RecentResult {
  return bareResult(taskId, path.startsWith(`${COMPLETED_DIR}/`) ? 'success' : 'failed');
}
