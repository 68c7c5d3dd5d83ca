/**
 * A thing that is done again and again: at an interval, or at once when nudged.
 *
 * Invariants: one run at a time; a nudge during a run causes exactly one more right after it; an error of a run is told
 * and never ends the loop; `stop` resolves when the run under way has ended.
 */
import type { Clock } from '../runtime.ts';

export interface LoopParts {
  /** Asked after each run. */
  intervalMs: () => number;
  clock: Clock;
  run: (signal: AbortSignal) => Promise<void>;
  onError: (error: unknown) => void;
}

export class Loop {
  readonly #parts: LoopParts;
  readonly #stopping = new AbortController();
  #wake = new AbortController();
  #nudged = false;
  #done: Promise<void> | null = null;

  constructor(parts: LoopParts) {
    this.#parts = parts;
  }

  /** Starts with a run at once. */
  start(): void {
    this.#done ??= this.#go();
  }

  nudge(): void {
    this.#nudged = true;
    this.#wake.abort();
  }

  /** @param hard aborts the signal of the run under way too. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wake.abort();
    await this.#done;
  }

  async #go(): Promise<void> {
    const { clock, intervalMs, run, onError } = this.#parts;
    while (!this.#stopping.signal.aborted) {
      this.#nudged = false;
      try {
        await run(this.#stopping.signal);
      } catch (error) {
        if (!this.#stopping.signal.aborted) onError(error);
      }
      if (this.#stopping.signal.aborted) return;
      this.#wake = new AbortController();
      if (!this.#nudged) await clock.sleep(intervalMs(), this.#wake.signal);
    }
  }
}
