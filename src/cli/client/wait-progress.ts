/** What stands beside the bar while tasks are waited for: what they do, how many failed, and how long it may still take. */

import type { GridView } from '../../ledger/grid-view.ts';
import { standingOf, statusOf } from '../../ledger/task-standing.ts';
import type { TaskId } from '../../task/id.ts';
import { duration } from '../figures.ts';

/** Before so many have come nobody can tell how fast they come. */
const MIN_SAMPLE = 2;

export class WaitProgress {
  readonly #ids: readonly TaskId[];
  #first: { done: number; atMs: number } | null = null;

  constructor(ids: readonly TaskId[]) {
    this.#ids = ids;
  }

  label(view: GridView, nowMs: number): string {
    const counts = { done: 0, failed: 0, running: 0 };
    for (const id of this.#ids) {
      const standing = standingOf(view, id);
      const status = statusOf(standing);
      if (status !== null) counts.done += 1;
      if (status === 'failed') counts.failed += 1;
      if (standing.kind === 'claimed') counts.running += 1;
    }
    this.#first ??= { done: counts.done, atMs: nowMs };
    const [only, ...others] = this.#ids;
    if (only !== undefined && others.length === 0) return this.#single(view, only, nowMs);
    return [
      'done',
      ...(counts.failed > 0 ? [`${counts.failed} failed`] : []),
      ...(counts.running > 0 ? [`${counts.running} in work`] : []),
      ...this.#pace(counts.done, nowMs),
    ].join(', ');
  }

  #single(view: GridView, id: TaskId, nowMs: number): string {
    const standing = standingOf(view, id);
    const since = duration(nowMs - (this.#first?.atMs ?? nowMs));
    if (standing.kind === 'claimed') return `${id} in work on ${standing.state.nodeId}, waited ${since}`;
    const waits = standing.kind === 'queued' || standing.kind === 'waiting';
    return waits ? `${id} ${standing.kind}, waited ${since}` : id;
  }

  /** By what came since the waiting began: what was done before tells nothing of the speed. */
  #pace(done: number, nowMs: number): string[] {
    const { done: before, atMs } = this.#first ?? { done, atMs: nowMs };
    const came = done - before;
    const tookMs = nowMs - atMs;
    if (came < MIN_SAMPLE || tookMs <= 0) return [];
    const leftMs = ((this.#ids.length - done) * tookMs) / came;
    return [
      `${((came / tookMs) * 60_000).toFixed(1)} a minute`,
      ...(leftMs > 0 ? [`about ${duration(leftMs)} left`] : []),
    ];
  }
}
