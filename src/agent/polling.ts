/**
 * When this worker looks at the repository: at an interval that grows while nothing happens, earlier when something falls
 * due by itself, and at once when somebody says that there is something to see.
 *
 * Invariants:
 * - All time is this machine's monotonic clock. A machine that was suspended goes on with the wait that it was in.
 * - A look that failed says nothing about the grid: the next one comes at the set interval, however quiet it was before.
 */
import type { Emit } from '../observe/events.ts';
import type { Clock, RandomHex } from '../runtime.ts';
import { Loop } from './loop.ts';
import { type NudgeSource, Nudges } from './nudges.ts';
import { intervalAfter, isAdaptive, type PaceLimits, spread } from './pace.ts';

const MIN_WAIT_MS = 50;
const TELL_EVERY_MS = 3_600_000;
/** A pace that changes to and fro is told no more often; and a rate over less would say little. */
const TELL_PAUSE_MS = 60_000;
const HOUR_MS = 3_600_000;
const RANDOM_BYTES = 4;

export interface Look {
  /** Nothing was there, and nothing had changed, that concerns this worker. */
  quiet: boolean;
  /** When something falls due by itself; null when nothing does. */
  nextLookMs: number | null;
}

export interface PollingParts extends PaceLimits {
  look: (signal: AbortSignal) => Promise<Look>;
  onError: (error: unknown) => void;
  /** How much has been asked of the host so far. */
  requests: () => number;
  clock: Clock;
  randomHex: RandomHex;
  emit: Emit;
}

export class Polling {
  readonly #parts: PollingParts;
  readonly #loop: Loop;
  readonly #nudges: Nudges;
  #busyAtMs: number;
  #failed = false;
  #nextLookMs: number | null = null;
  #told: { intervalMs: number; atMs: number; requests: number } | null = null;

  constructor(parts: PollingParts) {
    this.#parts = parts;
    this.#busyAtMs = parts.clock.monotonicMs();
    this.#loop = new Loop({
      intervalMs: () => this.#waitMs(),
      clock: parts.clock,
      run: (signal) => this.#run(signal),
      onError: (error) => {
        this.#failed = true;
        this.#nextLookMs = null;
        parts.onError(error);
        this.#tellPace();
      },
    });
    this.#nudges = new Nudges(parts.clock, () => this.#loop.nudge());
  }

  /** Of this moment, without its spread. */
  get intervalMs(): number {
    if (this.#failed) return this.#parts.intervalMs;
    return intervalAfter(this.#parts.clock.monotonicMs() - this.#busyAtMs, this.#parts);
  }

  get nudges(): Readonly<Record<NudgeSource, number>> {
    return this.#nudges.counts;
  }

  /** Begins with a look at once. */
  start(): void {
    this.#tellPace();
    this.#loop.start();
  }

  async stop(): Promise<void> {
    this.#nudges.stop();
    await this.#loop.stop();
  }

  /** Something has changed here: look at once, or once more after the look under way. */
  nudge(): void {
    this.#loop.nudge();
  }

  /**
   * Somebody says that there is something to see. A host may tell of a push before it shows it: so this counts as something
   * that was seen, and the next looks come at the set interval.
   */
  lookNow(source: NudgeSource): void {
    this.#busyAtMs = this.#parts.clock.monotonicMs();
    this.#parts.emit('poll.nudged', { source });
    this.#nudges.take(source);
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { quiet, nextLookMs } = await this.#parts.look(signal);
    this.#failed = false;
    this.#nextLookMs = nextLookMs;
    if (!quiet) this.#busyAtMs = this.#parts.clock.monotonicMs();
    this.#tellPace();
  }

  #waitMs(): number {
    const interval = this.intervalMs;
    const waitMs = isAdaptive(this.#parts) ? spread(interval, this.#fraction()) : interval;
    return this.#nextLookMs === null ? waitMs : Math.min(waitMs, Math.max(MIN_WAIT_MS, this.#nextLookMs));
  }

  #fraction(): number {
    return Number.parseInt(this.#parts.randomHex(RANDOM_BYTES), 16) / 2 ** (8 * RANDOM_BYTES);
  }

  #tellPace(): void {
    const { clock, emit, intervalMs, maxIntervalMs } = this.#parts;
    const nowMs = clock.monotonicMs();
    const told = this.#told;
    const interval = this.intervalMs;
    const periodMs = nowMs - (told?.atMs ?? nowMs);
    if (told && (periodMs < TELL_PAUSE_MS || (told.intervalMs === interval && periodMs < TELL_EVERY_MS))) return;
    const requests = this.#parts.requests();
    this.#told = { intervalMs: interval, atMs: nowMs, requests };
    const sent = requests - (told?.requests ?? 0);
    emit('poll.pace', {
      interval_ms: interval,
      interval_max_ms: Math.max(intervalMs, maxIntervalMs),
      // Counted over the time since the last such entry; the first one has nothing to tell of.
      ...(told
        ? {
            period_ms: Math.round(periodMs),
            requests: sent,
            requests_per_hour: Math.round((sent * HOUR_MS) / periodMs),
          }
        : {}),
    });
  }
}
