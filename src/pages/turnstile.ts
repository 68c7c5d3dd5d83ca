/**
 * Lets a few readings of the repository in at a time, each for so long: whoever looks at pages must not take a worker's
 * time, nor its connection to the host.
 */
import type { Clock } from '../runtime.ts';

export interface TurnstileLimits {
  atATime: number;
  /** More than so many that wait are sent away. */
  waiting: number;
  deadlineMs: number;
}

/** Not the reading's fault: ask again later. */
export class BusyError extends Error {
  override readonly name = 'BusyError';
}

export class Turnstile {
  readonly #limits: TurnstileLimits;
  readonly #clock: Clock;
  #inside = 0;
  readonly #queue: (() => void)[] = [];

  constructor(limits: TurnstileLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /**
   * @param read given a signal that aborts with `signal`, or when its time is over.
   * @throws BusyError when too many wait, or the time was over; what `read` throws
   */
  async pass<T>(signal: AbortSignal, read: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#inside >= this.#limits.atATime) {
      if (this.#queue.length >= this.#limits.waiting)
        throw new BusyError('too many readings are asked for: try again later');
      await new Promise<void>((resolve) => this.#queue.push(resolve));
    } else this.#inside += 1;
    const done = new AbortController();
    const late = new AbortController();
    const both = AbortSignal.any([signal, late.signal]);
    const expiry = this.#clock.sleep(this.#limits.deadlineMs, done.signal).then(() => {
      if (done.signal.aborted) return;
      late.abort();
      throw new BusyError('the repository did not answer in time: try again later');
    });
    try {
      return await Promise.race([read(both), expiry.then(() => new Promise<never>(() => {}))]);
    } finally {
      done.abort();
      const next = this.#queue.shift();
      // Whoever comes next takes the place.
      if (next) next();
      else this.#inside -= 1;
    }
  }
}
