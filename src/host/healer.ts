/**
 * Carries out the plan of `healing.ts`: one step, a new look at the disk, the next step. What was freed is told as
 * measured, not as promised, and what freed nothing is not tried again for a while. Never throws: a worker that cannot
 * clean up goes on with what it has.
 */
import type { Emit } from '../observe/events.ts';
import type { Clock } from '../runtime.ts';
import { withinDeadline } from './deadline.ts';
import {
  type HealingCandidate,
  type HealingPlan,
  type HealingPolicy,
  type HealingStep,
  isOfFiles,
  keyOf,
  planHealing,
} from './healing.ts';
import type { DiskSlot } from './reading.ts';

/** One place that has something to remove. */
export interface HealingSource {
  /** For messages. */
  name: string;
  /** What could be removed now. */
  survey: (signal: AbortSignal) => Promise<HealingCandidate[]>;
}

export interface HealerOptions {
  clock: Clock;
  emit: Emit;
  policy: HealingPolicy;
  maxDiskPercent: number;
  /** Their candidates follow each other in this order where the regret is the same. */
  sources: readonly HealingSource[];
  /** Carries out one step; told by the signal when it takes too long. @returns the names of what was removed. */
  carryOut: (step: HealingStep, signal: AbortSignal) => Promise<readonly string[]>;
  /** Reads the disks that cleaning can help: those of the worker's files and of the engine's data, where that can be seen. */
  readDisks: () => Promise<readonly DiskSlot[]>;
  /** The longest that one step, or one survey, may take. */
  stepTimeoutMs?: number;
  /** No step begins later than this. */
  runTimeoutMs?: number;
}

export interface HealingReport {
  /** `interrupted`: the signal aborted, the time was up, or reading the disks failed. */
  outcome: Extract<HealingPlan, { kind: 'done' }>['why'] | 'interrupted';
  /** In the order in which they were tried. */
  steps: string[];
  /** Over all steps, as measured; null when a disk could not be read. Negative when others wrote more meanwhile. */
  freedBytes: number | null;
}

const DEFAULT_STEP_TIMEOUT_MS = 120_000;
const DEFAULT_RUN_TIMEOUT_MS = 300_000;
/** For so long a step is left alone that freed nothing. */
const REST_MS = 30 * 60_000;
/** A clone that has to be fetched again is not thrown away again whenever it has become as large as it was. */
const RENEWAL_REST_MS = 6 * 3_600_000;

interface Freed {
  bytes: number | null;
  inodes: number | null;
}

export class Healer {
  readonly #options: HealerOptions;
  #running: Promise<HealingReport> | null = null;
  /** Until when each step is left alone; monotonic. */
  readonly #restUntilMs = new Map<string, number>();

  constructor(options: HealerOptions) {
    this.#options = options;
  }

  /** Cleans until enough is free or nothing is left to try. Calls that overlap share one run (and the first's signal). */
  heal(signal?: AbortSignal): Promise<HealingReport> {
    this.#running ??= this.#run(signal).finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  async #run(signal: AbortSignal | undefined): Promise<HealingReport> {
    const { clock, emit, runTimeoutMs = DEFAULT_RUN_TIMEOUT_MS } = this.#options;
    const beganMs = clock.monotonicMs();
    const tried: string[] = [];
    let first: readonly DiskSlot[] | null = null;
    let disks: readonly DiskSlot[] = [];
    let outcome: HealingReport['outcome'] = 'interrupted';
    try {
      disks = await this.#options.readDisks();
      first = disks;
      // null: to be looked for, if there is not enough room by then.
      let candidates: HealingCandidate[] | null = null;
      for (;;) {
        const isSpent = (key: string): boolean => tried.includes(key) || this.#rests(key);
        const plan = this.#plan(disks, candidates ?? [], isSpent);
        if (plan.kind === 'done' && (candidates !== null || plan.why !== 'nothing-left')) {
          outcome = plan.why;
          break;
        }
        if (signal?.aborted || clock.monotonicMs() - beganMs >= runTimeoutMs) break;
        if (plan.kind === 'done') {
          candidates = await this.#survey(signal);
          continue;
        }
        // Noted before it is tried, so that each step is tried once at most, whatever comes of it.
        tried.push(keyOf(plan.candidate.step));
        const { after, removed } = await this.#carryOut(plan.candidate, disks, signal);
        disks = after;
        // What was removed may have held something else. Images are proposed in the order in which they would go.
        if (removed > 0 && plan.candidate.step.kind !== 'own-image') candidates = null;
      }
    } catch (error) {
      emit('cleanup.failed', { err: error });
    }
    const freed = first && freedOf(first, disks);
    if (tried.length > 0 || outcome !== 'enough-free') {
      emit('cleanup.ended', {
        outcome,
        steps: tried,
        freed_bytes: freed?.bytes ?? null,
        freed_inodes: freed?.inodes ?? null,
        duration_ms: Math.round(clock.monotonicMs() - beganMs),
      });
    }
    return { outcome, steps: tried, freedBytes: freed?.bytes ?? null };
  }

  #plan(
    disks: readonly DiskSlot[],
    candidates: readonly HealingCandidate[],
    isSpent: (key: string) => boolean,
  ): HealingPlan {
    const { maxDiskPercent, policy } = this.#options;
    return planHealing(disks, maxDiskPercent, policy, candidates, isSpent);
  }

  /** A source that fails has nothing to remove. */
  async #survey(signal: AbortSignal | undefined): Promise<HealingCandidate[]> {
    const { clock, emit, sources, stepTimeoutMs = DEFAULT_STEP_TIMEOUT_MS } = this.#options;
    const found = await Promise.all(
      sources.map(async ({ name, survey }) => {
        try {
          return await withinDeadline(clock, stepTimeoutMs, `looking through ${name}`, survey, signal);
        } catch (error) {
          if (!signal?.aborted) emit('cleanup.failed', { source: name, err: error });
          return [];
        }
      }),
    );
    return found.flat();
  }

  async #carryOut(
    { bytes, step }: HealingCandidate,
    before: readonly DiskSlot[],
    signal: AbortSignal | undefined,
  ): Promise<{ after: readonly DiskSlot[]; removed: number }> {
    const { clock, emit, carryOut, readDisks, stepTimeoutMs = DEFAULT_STEP_TIMEOUT_MS } = this.#options;
    const fields = { step: step.kind, ...(step.kind === 'own-image' ? { image: step.image } : {}) };
    let removed: readonly string[] | null = null;
    try {
      const what = `cleaning up ${step.kind}`;
      removed = await withinDeadline(clock, stepTimeoutMs, what, (over) => carryOut(step, over), signal);
    } catch (error) {
      if (!signal?.aborted) emit('cleanup.failed', { ...fields, err: error });
    }
    // It may have removed something also when it failed.
    const after = await readDisks();
    const freed = freedOf(before, after);
    this.#rest(step, freed);
    if (removed === null) return { after, removed: 1 };
    emit(isOfFiles(step) ? 'cleanup.files-completed' : 'cleanup.completed', {
      ...fields,
      removed: removed.length,
      estimated_bytes: bytes,
      freed_bytes: freed.bytes,
      freed_inodes: freed.inodes,
      disks: after.map(({ path, disk }) => {
        const earlier = before.find((slot) => slot.path === path)?.disk;
        return {
          path,
          free_bytes_before: earlier?.freeBytes ?? null,
          free_bytes_after: disk?.freeBytes ?? null,
          used_percent_before: oneDecimal(earlier?.usedPercent),
          used_percent_after: oneDecimal(disk?.usedPercent),
          inodes_percent_before: oneDecimal(earlier?.inodesUsedPercent),
          inodes_percent_after: oneDecimal(disk?.inodesUsedPercent),
        };
      }),
    });
    return { after, removed: removed.length };
  }

  #rest(step: HealingStep, freed: Freed): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const [key, untilMs] of this.#restUntilMs) if (untilMs <= nowMs) this.#restUntilMs.delete(key);
    const isVain = !((freed.bytes ?? 0) > 0 || (freed.inodes ?? 0) > 0);
    // A clone that was packed a moment ago has nothing more to give.
    const rests = isVain || step.kind === 'clone-upkeep';
    const restMs = step.kind === 'clone-renewal' ? RENEWAL_REST_MS : rests ? REST_MS : 0;
    if (restMs > 0) this.#restUntilMs.set(keyOf(step), nowMs + restMs);
  }

  #rests(key: string): boolean {
    return (this.#restUntilMs.get(key) ?? Number.NEGATIVE_INFINITY) > this.#options.clock.monotonicMs();
  }
}

/** null unless each disk was read both times. A file system seen under two paths counts once. */
function freedOf(before: readonly DiskSlot[], after: readonly DiskSlot[]): Freed {
  const byDevice = new Map<number, { bytes: number; inodes: number }>();
  for (const { path, disk } of after) {
    const earlier = before.find((slot) => slot.path === path)?.disk;
    if (!disk || !earlier) return { bytes: null, inodes: null };
    byDevice.set(disk.deviceId, {
      bytes: disk.freeBytes - earlier.freeBytes,
      inodes: (disk.freeInodes ?? 0) - (earlier.freeInodes ?? 0),
    });
  }
  if (byDevice.size === 0) return { bytes: null, inodes: null };
  const freed = [...byDevice.values()];
  return {
    bytes: freed.reduce((sum, { bytes }) => sum + bytes, 0),
    inodes: freed.reduce((sum, { inodes }) => sum + inodes, 0),
  };
}

function oneDecimal(percent: number | null | undefined): number | null {
  return percent === null || percent === undefined ? null : Math.round(percent * 10) / 10;
}
