/**
 * Live output: publishes what tasks write while they run, for those who follow them from elsewhere.
 *
 * It comes last wherever something has to wait. Batches go along with pushes that are made anyway; a push of their own is
 * made every `intervalMs` at most, only when a task wrote something, and never of more than the spare part of the budget.
 * A batch that gets lost harms nothing: the result says all.
 */
import type { FollowOutput } from '../config/settings.ts';
import type { Run } from '../executor/executor.ts';
import type { HeldClaim } from '../ledger/claims.ts';
import type { Rider } from '../ledger/publisher.ts';
import { OutputTap, type OutputTapParts } from './output-tap.ts';

/** After failed pushes the pause doubles, up to this. */
const MAX_BACKOFF_MS = 60_000;
/** Of the time that the last own push took: while one is under way everything else waits, so on a slow host they are rarer. */
const PAUSE_PER_PUSH = 4;
/** A host that does not take such refs is asked again after this time. */
const REFUSED_AGAIN_MS = 3_600_000;
/** Of the interval: a task whose last batch is younger does not go along with others. */
const RIDE_SHARE = 0.5;

export interface OutputFeedParts extends Omit<OutputTapParts, 'onOutcome'> {
  mode: FollowOutput;
  /** Between two batches of a task. */
  intervalMs: number;
  /** For how long no push may be made for live output alone. */
  spareWaitMs: () => number;
  /** A ref may have been left. */
  onLeft: () => void;
}

export class OutputFeed {
  readonly #parts: OutputFeedParts;
  readonly #taps = new Set<OutputTap>();
  #isWorking = false;
  /** Ends the pause when no task is left to publish for. */
  #pause = new AbortController();
  #backoffMs = 0;
  #lastPushMs = 0;
  #refusedUntilMs = Number.NEGATIVE_INFINITY;

  constructor(parts: OutputFeedParts) {
    this.#parts = parts;
  }

  /**
   * Publishes what this run writes, where the operator allows it and the task, or the operator, wants it.
   * @returns to be called once when it has ended, whatever came of it
   */
  follow(claim: HeldClaim, run: Pick<Run, 'written'>): () => void {
    const { mode } = this.#parts;
    if (mode === 'never' || (mode === 'asked' && !claim.spec.follow)) return () => undefined;
    const tap = new OutputTap(claim, run, {
      ...this.#parts,
      onOutcome: (outcome, reason) => {
        if (outcome === 'published') this.#backoffMs = 0;
        if (outcome === 'delayed') this.#backOff();
        if (outcome === 'refused') this.#refused(reason);
      },
    });
    this.#taps.add(tap);
    if (!this.#isWorking) void this.#work();
    return () => void this.#end(tap);
  }

  /** What may go along with a push that is made now. */
  riders(): Rider[] {
    const { clock, intervalMs } = this.#parts;
    const youngest = clock.monotonicMs() - RIDE_SHARE * intervalMs;
    return this.#next([...this.#taps].filter(({ sentAtMs }) => sentAtMs <= youngest));
  }

  async #end(tap: OutputTap): Promise<void> {
    this.#taps.delete(tap);
    if (this.#taps.size === 0) this.#pause.abort();
    if (!(await tap.end())) this.#parts.onLeft();
  }

  async #work(): Promise<void> {
    this.#isWorking = true;
    // The first look comes after a pause too: most tasks are over by then, and their results say everything.
    while (this.#taps.size > 0) {
      await this.#wait();
      const { clock, push } = this.#parts;
      const startedMs = clock.monotonicMs();
      const sent = this.#next([...this.#taps]).map(({ request, settled }) =>
        push(request).then(settled, () => settled(null)),
      );
      await Promise.all(sent);
      if (sent.length > 0) this.#lastPushMs = clock.monotonicMs() - startedMs;
    }
    // In the same turn as the last look: a task that comes later must find nobody at work.
    this.#isWorking = false;
  }

  async #wait(): Promise<void> {
    const { clock, intervalMs, spareWaitMs } = this.#parts;
    if (this.#pause.signal.aborted) this.#pause = new AbortController();
    const { signal } = this.#pause;
    const slowMs = Math.min(MAX_BACKOFF_MS, PAUSE_PER_PUSH * this.#lastPushMs);
    await clock.sleep(Math.max(intervalMs, this.#backoffMs, slowMs), signal);
    for (let waitMs = spareWaitMs(); waitMs > 0 && !signal.aborted; waitMs = spareWaitMs()) {
      await clock.sleep(Math.min(waitMs, MAX_BACKOFF_MS), signal);
    }
  }

  #next(taps: readonly OutputTap[]): Rider[] {
    if (this.#parts.clock.monotonicMs() < this.#refusedUntilMs) return [];
    return taps.flatMap((tap) => tap.next() ?? []);
  }

  #backOff(): void {
    this.#backoffMs = Math.min(MAX_BACKOFF_MS, Math.max(this.#parts.intervalMs, 2 * this.#backoffMs));
  }

  #refused(reason: string | null): void {
    const now = this.#parts.clock.monotonicMs();
    if (now >= this.#refusedUntilMs) this.#parts.emit('output.refused', { reason, again_ms: REFUSED_AGAIN_MS });
    this.#refusedUntilMs = now + REFUSED_AGAIN_MS;
  }
}
