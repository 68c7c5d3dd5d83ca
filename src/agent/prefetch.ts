/**
 * How many claims a worker takes beyond what it can start at once, so that its slots need not wait for the next push, and not
 * every task that ends costs a push of its own. Nothing for long tasks; more where pushes are rationed.
 */

/** Claims held back by one worker are tasks that nobody else can run. */
export const MAX_PREFETCH = 1_000;
/** What the slots get through while so many claims could be on their way, one after the other, is held ahead. */
const CLAIMS_AHEAD = 4;
/** How much of an average the newest figure makes. */
const WEIGHT = 0.1;
const MIN_SAMPLES = 8;
const MINUTE_MS = 60_000;

export class Prefetch {
  readonly #slots: number;
  readonly #pushesPerMinute: number;
  #taskMs: number | null = null;
  #claimMs: number | null = null;
  #samples = 0;

  /** @param parts.pushesPerMinute 0: as many as one likes. */
  constructor(parts: { slots: number; pushesPerMinute: number }) {
    this.#slots = parts.slots;
    this.#pushesPerMinute = parts.pushesPerMinute;
  }

  get isRationed(): boolean {
    return this.#pushesPerMinute > 0;
  }

  /** A task held a slot for so long. */
  ran(ms: number): void {
    this.#taskMs = averaged(this.#taskMs, ms);
    this.#samples += 1;
  }

  /** It took so long from choosing tasks until they could be started. */
  claimed(ms: number): void {
    this.#claimMs = averaged(this.#claimMs, ms);
  }

  /**
   * @param share what of the queue is this worker's, if all live ones take alike.
   * @returns how many claims to hold beyond the slots.
   */
  extra(share: number): number {
    if (this.#taskMs === null || this.#claimMs === null || this.#samples < MIN_SAMPLES) return 0;
    const pauseMs = this.#pushesPerMinute > 0 ? MINUTE_MS / this.#pushesPerMinute : 0;
    const ended = (this.#slots * Math.max(CLAIMS_AHEAD * this.#claimMs, pauseMs)) / Math.max(1, this.#taskMs);
    return Math.max(0, Math.min(MAX_PREFETCH, Math.floor(ended), Math.floor(share) - this.#slots));
  }
}

/**
 * While there is something to start, a push is worth it for half of what may be held ahead: each costs the host as much as
 * many claims in one.
 * @param room how many could be claimed now. @param waiting claims that wait for a slot.
 */
export function isWorthAPush({ extra, room, waiting }: { extra: number; room: number; waiting: number }): boolean {
  return room > 0 && (waiting === 0 || room >= extra / 2);
}

function averaged(before: number | null, ms: number): number {
  return before === null ? ms : before + WEIGHT * (ms - before);
}
