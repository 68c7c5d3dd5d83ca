/**
 * The one queue through which all pushes of a worker go.
 *
 * States of a request: waiting → in the push under way → settled (won, lost, refused) or failed (nothing is known).
 * Invariants:
 * - One push at a time; what gathers meanwhile goes together into the next one, and after a large one a moment longer.
 *   A ref occurs at most once in a push.
 * - Results go before recordings, these before claims, heartbeats, deletions, and all of these before live output.
 * - The branch is pushed alone: a hook that protects it must not take results and heartbeats down with it.
 * - With a budget, at most that many pushes start within any minute; what waits is merged, nothing is dropped. The more
 *   of it is used up, the longer the pause before the next one, so that a burst is not followed by a minute of silence.
 * - A request is settled only by what is certain (`settle.ts`).
 * - What can wait for others (`riders`) goes along with a push that is made anyway, as it is at that moment.
 */

import { GitError } from '../git/errors.ts';
import type { GitObject } from '../git/objects.ts';
import type { RefName } from '../git/oid.ts';
import { tellsOfLock } from '../git/push-report.ts';
import type { RefSwap, Repository, SwapVerdict } from '../git/repository.ts';
import type { Emit } from '../observe/events.ts';
import type { Clock } from '../runtime.ts';
import { durably, type SwapStep } from '../steps.ts';
import { type SwapOutcome, settleSwaps } from './settle.ts';

const PUSH_PRIORITIES = ['result', 'branch', 'claim', 'heartbeat', 'delete', 'output'] as const;
type PushPriority = (typeof PUSH_PRIORITIES)[number];

/** How much each swap matters when several wait. */
const PRIORITY_OF: Readonly<Record<SwapStep, PushPriority>> = {
  'swap.result': 'result',
  'swap.put-back': 'result',
  'swap.release': 'result',
  'swap.settle': 'result',
  'swap.cancel': 'result',
  'swap.record': 'branch',
  'swap.submit': 'branch',
  'swap.lay-out': 'branch',
  'swap.claim': 'claim',
  'swap.adopt': 'claim',
  'swap.fence': 'claim',
  'swap.register': 'heartbeat',
  'swap.beat': 'heartbeat',
  'swap.goodbye': 'heartbeat',
  'swap.give-up': 'delete',
  'swap.delete': 'delete',
  'swap.output-delete': 'delete',
  'swap.output': 'output',
};

export const MAX_SWAPS_PER_PUSH = 2_000;
const MAX_BYTES_PER_PUSH = 32 * 1024 * 1024;
/** After a push of so many swaps more of their kind are on their way: the next one gives them a moment. */
const LINGER_FROM_SWAPS = 16;
/** Of the time that the last push took. */
const LINGER_SHARE = 0.1;
const MAX_LINGER_MS = 20;
/** After so many pushes within a second, a small one waits for company: for the host it costs as much as a large one. */
const BUSY_PUSHES = 4;
const BUSY_WITHIN_MS = 1_000;
const BUSY_LINGER_MS = 100;
/** Nobody waits for a deletion, and it costs least in company. */
const DELETION_PATIENCE_MS = 250;
/** A minute, and a second for pushes that are longer on their way than others: the host counts what arrives. */
const BUDGET_WINDOW_MS = 61_000;
/** Of the budget, what pushes may take that are made for nothing but live output, at even distances. */
const OUTPUT_SHARE = 1 / 2;
/** Of the budget, what is left to all else when such a push is made. */
const OUTPUT_RESERVE = 1 / 3;

/** Runs `attempt` by the retry policy of the house; `attempt` gets the number of the try, starting with 1. */
export type Retry = <T>(
  operation: string,
  attempt: (tryNumber: number) => Promise<T>,
  signal?: AbortSignal,
) => Promise<T>;

export interface PushRequest {
  swap: RefSwap;
  /** New objects behind `swap.to`, unless they are in the local store already. */
  objects: readonly GitObject[];
  /** What it is for; decides how much it matters. */
  step: SwapStep;
}

/** A request that waits for a push which is made anyway. */
export interface Rider {
  request: PushRequest;
  /** null: nothing certain is known. */
  settled: (outcome: SwapOutcome | null) => void;
}

interface Pending extends PushRequest {
  /** Monotonic instant at which it was asked for. */
  sinceMs: number;
  resolve: (outcome: SwapOutcome) => void;
  reject: (error: unknown) => void;
}

export class Publisher {
  readonly #repository: Repository;
  readonly #clock: Clock;
  readonly #retry: Retry;
  readonly #emit: Emit;
  readonly #pushesPerMinute: number;
  readonly #signal: AbortSignal;
  readonly #onSettled: (request: PushRequest, outcome: SwapOutcome) => void;
  readonly #onFailed: (error: unknown) => void;
  readonly #riders: () => readonly Rider[];
  #pending: Pending[] = [];
  #running: Promise<void> | null = null;
  /** Monotonic starts of the pushes within the last minute. */
  #recentPushesMs: number[] = [];
  /** Refs whose lock was told of. */
  readonly #locked = new Set<RefName>();
  /** For how long the next push lets more gather. */
  #lingerMs = 0;
  /** Monotonic starts of the latest pushes. */
  #startsMs: number[] = [];
  /** Monotonic start of the last push that was made for nothing but live output. */
  #outputAtMs = Number.NEGATIVE_INFINITY;
  /** Aborted when something comes that does not like to wait; set while nothing else is there. */
  #patience: AbortController | null = null;
  failedPushes = 0;
  /** `waitedMs`: for how long what waited most of it had waited before it was sent. */
  lastPush: { swaps: number; waitedMs: number; ms: number } | null = null;

  /** @param parts.signal aborts everything, also what is under way: only for the last second of a shutdown. */
  constructor(parts: {
    repository: Repository;
    clock: Clock;
    retry: Retry;
    emit: Emit;
    pushesPerMinute: number;
    signal: AbortSignal;
    onSettled: (request: PushRequest, outcome: SwapOutcome) => void;
    onFailed: (error: unknown) => void;
    /** Asked for each push but those of the branch. */
    riders?: () => readonly Rider[];
  }) {
    this.#repository = parts.repository;
    this.#clock = parts.clock;
    this.#retry = parts.retry;
    this.#emit = parts.emit;
    this.#pushesPerMinute = parts.pushesPerMinute;
    this.#signal = parts.signal;
    this.#onSettled = parts.onSettled;
    this.#onFailed = parts.onFailed;
    this.#riders = parts.riders ?? (() => []);
  }

  /** @throws GitError when, after all tries, nothing certain is known; the swap may or may not have been applied. */
  push(request: PushRequest): Promise<SwapOutcome> {
    const { promise, resolve, reject } = Promise.withResolvers<SwapOutcome>();
    this.#pending.push({ ...request, sinceMs: this.#clock.monotonicMs(), resolve, reject });
    if (!isDeletion(request)) this.#patience?.abort();
    this.#running ??= this.#run();
    return promise;
  }

  /** Resolves when nothing waits and nothing is under way. */
  async drained(): Promise<void> {
    while (this.#running) await this.#running;
  }

  async #run(): Promise<void> {
    // Requests made in the same turn travel together.
    await Promise.resolve();
    while (this.#pending.length > 0) {
      let batch: readonly Pending[] = this.#pending;
      try {
        await this.#waitForBudget();
        if (this.#pending.every(isDeletion)) await this.#waitForCompany();
        const lingerMs = Math.max(this.#lingerMs, this.#busyLingerMs());
        if (lingerMs > 0) await this.#clock.sleep(lingerMs, this.#signal);
        batch = this.#takeBatch();
        await this.#pushBatch(batch);
      } catch (error) {
        this.failedPushes += 1;
        this.#emit('push.failed', { swaps: batch.length, err: error });
        this.#onFailed(error);
        if (batch === this.#pending) this.#pending = [];
        for (const request of batch) request.reject(error);
      }
    }
    // In the same turn as the last look at the queue: a request made later must find nobody running.
    this.#running = null;
  }

  #busyLingerMs(): number {
    const fourth = this.#startsMs[this.#startsMs.length - BUSY_PUSHES];
    const isBusy = fourth !== undefined && this.#clock.monotonicMs() - fourth < BUSY_WITHIN_MS;
    const isSmall = this.#pending.length < LINGER_FROM_SWAPS && !this.#pending.some(isOfBranch);
    return isBusy && isSmall ? BUSY_LINGER_MS : 0;
  }

  async #waitForCompany(): Promise<void> {
    this.#patience = new AbortController();
    await this.#clock.sleep(DELETION_PATIENCE_MS, AbortSignal.any([this.#signal, this.#patience.signal]));
    this.#patience = null;
  }

  #takeBatch(): Pending[] {
    const rank = (request: Pending): number => PUSH_PRIORITIES.indexOf(PRIORITY_OF[request.step]);
    this.#pending.sort((a, b) => rank(a) - rank(b));
    const first = this.#pending[0];
    const batch: Pending[] = [];
    const refs = new Set<RefName>();
    const alone = first !== undefined && isOfBranch(first);
    let bytes = 0;
    this.#pending = this.#pending.filter((request) => {
      const room = batch.length < MAX_SWAPS_PER_PUSH && bytes < MAX_BYTES_PER_PUSH;
      const fits = alone ? batch.length === 0 : !isOfBranch(request) && room;
      if (!fits || refs.has(request.swap.ref)) return true;
      bytes += bytesOf(request.objects);
      refs.add(request.swap.ref);
      batch.push(request);
      return false;
    });
    if (!alone) this.#takeRiders(batch, refs, bytes);
    return batch;
  }

  /** As many as there is room for; the others are asked again. */
  #takeRiders(batch: Pending[], refs: Set<RefName>, taken: number): void {
    let bytes = taken;
    for (const { request, settled } of this.#riders()) {
      const room = batch.length < MAX_SWAPS_PER_PUSH && bytes < MAX_BYTES_PER_PUSH;
      if (!room || refs.has(request.swap.ref)) {
        settled(null);
        continue;
      }
      for (const { content } of request.objects) bytes += content.length;
      refs.add(request.swap.ref);
      const { promise, resolve, reject } = Promise.withResolvers<SwapOutcome>();
      void promise.then(settled, () => settled(null));
      batch.push({ ...request, sinceMs: this.#clock.monotonicMs(), resolve, reject });
    }
  }

  async #pushBatch(batch: readonly Pending[]): Promise<void> {
    const startedMs = this.#clock.monotonicMs();
    if (batch.every(isOutput)) this.#outputAtMs = startedMs;
    this.#startsMs = [...this.#startsMs, startedMs].slice(-BUSY_PUSHES);
    const waitedMs = startedMs - Math.min(...batch.map(({ sinceMs }) => sinceMs));
    const sentAtMs = this.#clock.wallMs();
    const swaps = batch.map((request) => request.swap);
    const outcomes = new Map<RefName, SwapOutcome>();
    let pushes = 0;
    try {
      await this.#retry(
        'push',
        async (tryNumber) =>
          settleSwaps(this.#repository, swaps, outcomes, {
            readFirst: tryNumber > 1,
            signal: this.#signal,
            onUnclear: (reasons) => this.#emit('push.unclear', { swaps: reasons.length, reasons: reasons.slice(0, 5) }),
            send: async (open) => {
              // The first push of a batch has waited already, before the batch was put together.
              if (pushes > 0) await this.#waitForBudget();
              pushes += 1;
              this.#recentPushesMs.push(this.#clock.monotonicMs());
              return this.#send(open, batch);
            },
          }),
        this.#signal,
      );
    } finally {
      // What is certain is told even when the rest of the batch failed.
      for (const request of batch) {
        const outcome = outcomes.get(request.swap.ref);
        this.#emit('swap.settled', {
          ...request.swap,
          step: request.step,
          outcome: outcome?.kind ?? 'unclear',
          sent_ms: sentAtMs,
          settled_ms: this.#clock.wallMs(),
        });
        if (!outcome) continue;
        this.#tellLock(request.swap.ref, outcome);
        this.#onSettled(request, outcome);
        request.resolve(outcome);
      }
    }
    const ms = this.#clock.monotonicMs() - startedMs;
    this.#lingerMs = swaps.length < LINGER_FROM_SWAPS ? 0 : Math.min(MAX_LINGER_MS, ms * LINGER_SHARE);
    this.lastPush = { swaps: swaps.length, waitedMs, ms };
    this.#emit('push.completed', {
      swaps: swaps.length,
      object_bytes: batch.reduce((sum, { objects }) => sum + bytesOf(objects), 0),
      pushes,
      waited_ms: Math.round(waitedMs),
      ms: Math.round(ms),
    });
  }

  /** Once, until the ref moves again. */
  #tellLock(ref: RefName, outcome: SwapOutcome): void {
    if (outcome.kind !== 'refused' || outcome.lasting) {
      this.#locked.delete(ref);
      return;
    }
    if (this.#locked.has(ref) || !tellsOfLock(outcome.reason)) return;
    this.#locked.add(ref);
    const remedy = `if no git runs in the repository on the host, remove the file ${ref}.lock in it, or packed-refs.lock`;
    this.#emit('ref.locked', { ref, reason: outcome.reason, remedy });
  }

  #send(swaps: readonly RefSwap[], batch: readonly Pending[]): Promise<ReadonlyMap<RefName, SwapVerdict>> {
    const refs = new Set(swaps.map(({ ref }) => ref));
    const sent = batch.filter(({ swap }) => refs.has(swap.ref));
    const steps = sent.map(({ step }) => step);
    const objects = sent.flatMap((request) => request.objects);
    const parts = { clock: this.#clock, emit: this.#emit };
    return durably(parts, steps, { swaps: swaps.length }, () =>
      this.#repository.swapRefs(swaps, objects, this.#signal),
    );
  }

  /** For how long the budget lets no push begin, in milliseconds. */
  get waitMs(): number {
    const limit = this.#pushesPerMinute;
    if (limit <= 0) return 0;
    const now = this.#clock.monotonicMs();
    this.#recentPushesMs = this.#recentPushesMs.filter((ms) => now - ms < BUDGET_WINDOW_MS);
    const used = this.#recentPushesMs.length;
    const last = this.#recentPushesMs.at(-1);
    if (last === undefined) return 0;
    const pausedMs = last + (BUDGET_WINDOW_MS / limit) * (used / limit) ** 2 - now;
    const oldest = this.#recentPushesMs[used - limit];
    // Whole milliseconds: a clock does not get on by less than it can tell.
    return Math.ceil(Math.max(0, pausedMs, oldest === undefined ? 0 : oldest + BUDGET_WINDOW_MS - now));
  }

  /** Pushes that the budget still has for the minute that ends now; null: there is none. */
  get budget(): { perMinute: number; left: number; waitMs: number } | null {
    const limit = this.#pushesPerMinute;
    if (limit <= 0) return null;
    const { waitMs } = this;
    return { perMinute: limit, left: Math.max(0, limit - this.#recentPushesMs.length), waitMs };
  }

  /** For how long a push that is for live output alone would take too much of the budget, in milliseconds. */
  get spareWaitMs(): number {
    const limit = this.#pushesPerMinute;
    if (limit <= 0) return 0;
    const { waitMs } = this;
    const share = Math.floor(limit * OUTPUT_SHARE);
    // Nothing is to spare: it travels only with others.
    if (share === 0) return Number.POSITIVE_INFINITY;
    const now = this.#clock.monotonicMs();
    const used = this.#recentPushesMs.length;
    const oldest = this.#recentPushesMs[used - limit + Math.ceil(limit * OUTPUT_RESERVE)];
    const freeMs = oldest === undefined ? 0 : oldest + BUDGET_WINDOW_MS - now;
    const pausedMs = this.#outputAtMs + BUDGET_WINDOW_MS / share - now;
    return Math.ceil(Math.max(waitMs, freeMs, pausedMs));
  }

  async #waitForBudget(): Promise<void> {
    for (;;) {
      const { waitMs } = this;
      if (waitMs <= 0) return;
      if (this.#signal.aborted) throw new GitError('aborted', 'push', 'stopped while waiting for the push budget');
      this.#emit('push.budget-wait', { wait_ms: Math.round(waitMs) });
      await this.#clock.sleep(waitMs, this.#signal);
    }
  }
}

/** Before they are packed. */
function bytesOf(objects: readonly GitObject[]): number {
  return objects.reduce((sum, { content }) => sum + content.length, 0);
}

function isDeletion({ step }: PushRequest): boolean {
  return PRIORITY_OF[step] === 'delete';
}

function isOutput({ step }: PushRequest): boolean {
  return PRIORITY_OF[step] === 'output';
}

function isOfBranch({ step }: PushRequest): boolean {
  return PRIORITY_OF[step] === 'branch';
}
