/**
 * When this worker records: enough results wait, or the oldest has waited long enough, and it is this worker's turn, or
 * those before it let theirs pass. Pure but for what it remembers.
 */
import type { Oid } from '../git/oid.ts';

export interface RecordingTurnOptions {
  batchSize: number;
  delayMs: number;
  /** How long each node in the order gives the one before it. */
  staggerMs: number;
  /** After the host refused: doubled each time, up to the maximum. */
  refusedBaseMs: number;
  refusedMaxMs: number;
  /** Before the next try on a branch that is kept locked. */
  lockedMs: number;
}

export class RecordingTurn {
  readonly #options: RecordingTurnOptions;
  #dueSinceMs: number | null = null;
  #dueTip: Oid | null = null;
  #nextLookAtMs = Number.NEGATIVE_INFINITY;
  #refusals = 0;
  #pausedUntilMs = Number.NEGATIVE_INFINITY;
  #heldUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: RecordingTurnOptions) {
    this.#options = options;
  }

  /** True while the host is believed not to let this worker record. */
  isRefused(nowMs: number): boolean {
    return nowMs < this.#pausedUntilMs;
  }

  /**
   * @param waiting results without a record; `oldestMs`: how long the oldest has been in sight.
   * @param hurry nothing else is left to do: neither a batch nor the delay is worth waiting for.
   */
  isDue(input: {
    waiting: number;
    oldestMs: number;
    rank: number;
    tip: Oid | null;
    hurry: boolean;
    nowMs: number;
  }): boolean {
    const { batchSize, delayMs, staggerMs } = this.#options;
    const due = input.waiting > 0 && (input.hurry || input.waiting >= batchSize || input.oldestMs >= delayMs);
    if (!due || this.isRefused(input.nowMs) || input.nowMs < this.#heldUntilMs) {
      this.#dueSinceMs = null;
      this.#nextLookAtMs = due
        ? Math.max(this.#pausedUntilMs, this.#heldUntilMs)
        : input.nowMs + Math.max(0, delayMs - input.oldestMs);
      return false;
    }
    if (this.#dueSinceMs === null || this.#dueTip !== input.tip) {
      // On a new tip the order is another one, and the results may be recorded already.
      this.#dueSinceMs = input.nowMs;
      this.#dueTip = input.tip;
    }
    this.#nextLookAtMs = this.#dueSinceMs + input.rank * staggerMs;
    return input.nowMs >= this.#nextLookAtMs;
  }

  /** How long until the last answer of `isDue` may change by itself. */
  nextLookMs(nowMs: number): number {
    return Math.max(0, this.#nextLookAtMs - nowMs);
  }

  /** The branch is locked for the moment: results wait, but nothing suggests that the host is against it. */
  held(nowMs: number): void {
    this.#heldUntilMs = nowMs + this.#options.lockedMs;
  }

  refused(nowMs: number): void {
    const pauseMs = Math.min(this.#options.refusedMaxMs, this.#options.refusedBaseMs * 2 ** this.#refusals);
    this.#refusals += 1;
    this.#pausedUntilMs = nowMs + pauseMs;
  }

  accepted(): void {
    this.#refusals = 0;
  }
}
