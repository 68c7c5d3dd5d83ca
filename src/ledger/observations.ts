/**
 * When this observer first saw things, on its own monotonic clock: arrival of queue files, delays of waiting tasks, age of
 * results. No instant is ever compared with another machine's.
 */
import type { Oid } from '../git/oid.ts';
import type { TaskId } from '../task/id.ts';
import type { GridView } from './grid-view.ts';
import type { WaitingState } from './state-codec.ts';

export class Observations {
  #generation = 0;
  #tip: Oid | null = null;
  /** Which change of the branch brought the file: the smaller, the older. */
  readonly #arrivals = new Map<TaskId, number>();
  #statesSinceMs = new Map<Oid, number>();

  observe(view: GridView, nowMs: number): void {
    if (view.tip !== this.#tip) {
      this.#tip = view.tip;
      this.#generation += 1;
      for (const id of this.#arrivals.keys()) if (!view.queue.files.has(id)) this.#arrivals.delete(id);
      for (const id of view.queue.files.keys()) if (!this.#arrivals.has(id)) this.#arrivals.set(id, this.#generation);
    }
    const since = new Map<Oid, number>();
    for (const { oid } of view.tasks.values()) since.set(oid, this.#statesSinceMs.get(oid) ?? nowMs);
    this.#statesSinceMs = since;
  }

  arrivalOf(id: TaskId): number {
    return this.#arrivals.get(id) ?? this.#generation;
  }

  /** How long this state has been in sight; 0 for one never seen. */
  ageMs(oid: Oid, nowMs: number): number {
    return nowMs - (this.#statesSinceMs.get(oid) ?? nowMs);
  }

  delayIsOver(oid: Oid, state: WaitingState, nowMs: number): boolean {
    return this.ageMs(oid, nowMs) >= state.delayMs;
  }
}
