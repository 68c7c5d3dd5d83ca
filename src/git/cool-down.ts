/**
 * Keeps away from a host that asked for a pause (`Retry-After`): whatever wants to speak with it waits until the pause is
 * over, not only the operation that was told.
 */
import { MAX_RETRY_AFTER_MS } from '../retry.ts';
import type { Clock } from '../runtime.ts';
import { GitError } from './errors.ts';

export class CoolDown {
  readonly #clock: Clock;
  #untilMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Runs what speaks with the host, when it may. @throws GitError (`aborted`) for a wait that was cut short. */
  async run<T>(operation: string, action: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    for (let waitMs = this.#leftMs(); waitMs > 0; waitMs = this.#leftMs()) {
      await this.#clock.sleep(waitMs, signal);
      if (signal?.aborted) throw new GitError('aborted', operation, `git ${operation} was aborted`);
    }
    try {
      return await action();
    } catch (error) {
      const askedMs = error instanceof GitError ? (error.retryAfterMs ?? 0) : 0;
      const untilMs = this.#clock.monotonicMs() + Math.min(askedMs, MAX_RETRY_AFTER_MS);
      if (askedMs > 0) this.#untilMs = Math.max(this.#untilMs, untilMs);
      throw error;
    }
  }

  #leftMs(): number {
    return this.#untilMs - this.#clock.monotonicMs();
  }
}
