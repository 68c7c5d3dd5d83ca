/**
 * Requests from outside to look at once: from a webhook, or a signal. Anybody who knows a secret can send as many as they
 * like, so they are merged: each leads to one look that begins after it, and there are no more such looks than one in
 * MIN_PAUSE_MS.
 *
 * States: free (none lately) → paused (one was let through less than MIN_PAUSE_MS ago) → waiting (another came meanwhile).
 */
import type { Clock } from '../runtime.ts';

export const NUDGE_SOURCES = ['webhook', 'signal'] as const;
export type NudgeSource = (typeof NUDGE_SOURCES)[number];

export const MIN_PAUSE_MS = 1_000;

export class Nudges {
  readonly #clock: Clock;
  readonly #look: () => void;
  readonly #stopping = new AbortController();
  readonly #counts: Record<NudgeSource, number> = { webhook: 0, signal: 0 };
  #lastMs = Number.NEGATIVE_INFINITY;
  #isWaiting = false;

  /** @param look makes a look begin, or follow the one under way. */
  constructor(clock: Clock, look: () => void) {
    this.#clock = clock;
    this.#look = look;
  }

  get counts(): Readonly<Record<NudgeSource, number>> {
    return { ...this.#counts };
  }

  take(source: NudgeSource): void {
    this.#counts[source] += 1;
    if (this.#isWaiting || this.#stopping.signal.aborted) return;
    const pauseMs = this.#lastMs + MIN_PAUSE_MS - this.#clock.monotonicMs();
    if (pauseMs <= 0) this.#letThrough();
    else {
      this.#isWaiting = true;
      void this.#clock.sleep(pauseMs, this.#stopping.signal).then(() => {
        this.#isWaiting = false;
        if (!this.#stopping.signal.aborted) this.#letThrough();
      });
    }
  }

  stop(): void {
    this.#stopping.abort();
  }

  #letThrough(): void {
    this.#lastMs = this.#clock.monotonicMs();
    this.#look();
  }
}
