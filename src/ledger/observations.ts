/**
 * When this observer first saw things, on its own monotonic clock: arrival of queue files, delays of waiting tasks, age of
 * results. No instant is ever compared with another machine's.
 */
import type { Oid } from '../git/oid.ts';
import type { TaskId } from '../task/id.ts';
import type { GridView } from './grid-view.ts';
import type { WaitingState } from './state-codec.ts';

/** Told of each view, after it was taken in. @param gone tasks whose files have left the queue since the view before */
export type OnObserved = (view: GridView, gone: readonly TaskId[]) => void;

export class Observations {
  readonly #onObserved: OnObserved;
  #generation = 0;
  #tip: Oid | null = null;
  /** Which change of the branch brought the file: the smaller, the older. */
  readonly #arrivals = new Map<TaskId, number>();
  #statesSinceMs = new Map<Oid, number>();

  constructor(onObserved: OnObserved = () => undefined) {
    this.#onObserved = onObserved;
  }

  observe(view: GridView, nowMs: number): void {
    const gone: TaskId[] = [];
    if (view.tip !== this.#tip) {
      this.#tip = view.tip;
      this.#generation += 1;
      for (const id of this.#arrivals.keys()) {
        if (view.queue.files.has(id)) continue;
        this.#arrivals.delete(id);
        gone.push(id);
      }
      for (const id of view.queue.files.keys()) if (!this.#arrivals.has(id)) this.#arrivals.set(id, this.#generation);
    }
    const since = new Map<Oid, number>();
    for (const { oid } of view.tasks.values()) since.set(oid, this.#statesSinceMs.get(oid) ?? nowMs);
    this.#statesSinceMs = since;
    this.#onObserved(view, gone);
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
