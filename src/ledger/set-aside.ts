/**
 * Tasks whose ref the remote would not move although nobody else moved it: a lock file that a crash left, a hook that
 * objects to this one. They are left alone for a while, longer each time, so that they do not take the place of others.
 */
import type { TaskId } from '../task/id.ts';

const FIRST_PAUSE_MS = 5_000;
const MAX_PAUSE_MS = 300_000;
/** Beyond this the oldest are tried again sooner than need be. */
const MAX_TASKS = 1_000;

export class SetAside {
  readonly #tasks = new Map<TaskId, { untilMs: number; pauseMs: number }>();

  add(id: TaskId, nowMs: number): void {
    const pauseMs = Math.min(MAX_PAUSE_MS, 2 * (this.#tasks.get(id)?.pauseMs ?? FIRST_PAUSE_MS / 2));
    this.#tasks.delete(id);
    this.#tasks.set(id, { untilMs: nowMs + pauseMs, pauseMs });
    for (const oldest of this.#tasks.keys()) {
      if (this.#tasks.size <= MAX_TASKS) return;
      this.#tasks.delete(oldest);
    }
  }

  has(id: TaskId, nowMs: number): boolean {
    return nowMs < (this.#tasks.get(id)?.untilMs ?? Number.NEGATIVE_INFINITY);
  }

  /** Its ref has moved. */
  forget(id: TaskId): void {
    this.#tasks.delete(id);
  }
}
