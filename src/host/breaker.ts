/**
 * Leaves alone for a while what fails again and again, and tries it again with growing pauses. Pure but for the clock; one
 * breaker stands for one thing.
 *
 *     closed ──N failures in a row──▶ open ──the pause is over──▶ trial ──success──▶ closed
 *                                       ▲                           └──failure: a longer pause──▶ open
 *
 * Invariants: a success closes it, whenever it comes. Failures that come while it is open, of tries that began before,
 * neither lengthen the pause nor begin another.
 */
import type { Clock } from '../runtime.ts';

export interface BreakerLimits {
  /** Failures in a row that open it. */
  failures: number;
  firstPauseMs: number;
  /** Each pause is twice the one before, up to this. */
  longestPauseMs: number;
}

export type BreakerState = 'closed' | 'open' | 'trial';

export class Breaker {
  readonly #limits: BreakerLimits;
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  #failures = 0;
  /** How often it was opened since the last success. */
  #opened = 0;
  #openUntilMs = Number.NEGATIVE_INFINITY;
  #problem = '';

  constructor(limits: BreakerLimits, clock: Pick<Clock, 'monotonicMs'>) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** `trial`: the next try decides, so one at a time is enough. */
  get state(): BreakerState {
    if (this.#opened === 0) return 'closed';
    return this.#clock.monotonicMs() < this.#openUntilMs ? 'open' : 'trial';
  }

  /** Until the next try; 0 when it may be made now. */
  get pauseLeftMs(): number {
    return Math.max(0, this.#openUntilMs - this.#clock.monotonicMs());
  }

  /** In a row. */
  get failures(): number {
    return this.#failures;
  }

  /** The last one, in words. */
  get problem(): string {
    return this.#problem;
  }

  /** @returns true when that opened it. */
  failed(problem: string): boolean {
    this.#problem = problem;
    this.#failures += 1;
    if (this.state === 'open' || this.#failures < this.#limits.failures) return false;
    const { firstPauseMs, longestPauseMs } = this.#limits;
    this.#openUntilMs = this.#clock.monotonicMs() + Math.min(longestPauseMs, firstPauseMs * 2 ** this.#opened);
    this.#opened += 1;
    return true;
  }

  /** @returns true when that closed it. */
  succeeded(): boolean {
    const wasOpen = this.#opened > 0;
    this.#failures = 0;
    this.#opened = 0;
    this.#openUntilMs = Number.NEGATIVE_INFINITY;
    return wasOpen;
  }
}
