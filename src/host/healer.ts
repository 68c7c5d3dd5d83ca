/**
 * Carries out the plan of `healing.ts`: one step, a new look at the disk, the next step. What was freed is told as
 * measured, not as promised. Never throws: a worker that cannot clean up goes on with what it has.
 */
import type { CleanReport, CleanStep } from '../executor/executor.ts';
import type { Emit } from '../observe/events.ts';
import type { Clock } from '../runtime.ts';
import { withinDeadline } from './deadline.ts';
import { type HealingPlan, type HealingPolicy, planHealing } from './healing.ts';
import type { DiskSlot } from './reading.ts';

export interface HealerOptions {
  clock: Clock;
  emit: Emit;
  policy: HealingPolicy;
  maxDiskPercent: number;
  /** Carries out one step; told by the signal when it takes too long. */
  clean: (step: CleanStep, signal: AbortSignal) => Promise<CleanReport>;
  /** Reads the disks that cleaning can help: that of the engine's data, where it can be seen. */
  readDisks: () => Promise<readonly DiskSlot[]>;
  /** The longest that one step may take. */
  stepTimeoutMs?: number;
}

export interface HealingReport {
  /** `interrupted`: the signal aborted, or reading the disks failed. */
  outcome: Extract<HealingPlan, { kind: 'done' }>['why'] | 'interrupted';
  /** In the order in which they were tried. */
  steps: CleanStep['kind'][];
  /** Over all steps, as measured; null when a disk could not be read. Negative when others wrote more meanwhile. */
  freedBytes: number | null;
}

const DEFAULT_STEP_TIMEOUT_MS = 120_000;

export class Healer {
  readonly #options: HealerOptions;
  #running: Promise<HealingReport> | null = null;

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
    const { policy, maxDiskPercent, emit } = this.#options;
    const tried: CleanStep['kind'][] = [];
    let first: readonly DiskSlot[] | null = null;
    let disks: readonly DiskSlot[] = [];
    try {
      disks = await this.#options.readDisks();
      first = disks;
      for (;;) {
        const plan = planHealing(disks, maxDiskPercent, policy, tried);
        if (plan.kind === 'done') {
          return { outcome: plan.why, steps: tried, freedBytes: freedBytes(first, disks) };
        }
        if (signal?.aborted) break;
        // Noted before it is tried, so that each step is tried once at most, whatever comes of it.
        tried.push(plan.step.kind);
        disks = await this.#carryOut(plan.step, disks, signal);
      }
    } catch (error) {
      emit('cleanup.failed', { err: error });
    }
    return { outcome: 'interrupted', steps: tried, freedBytes: first && freedBytes(first, disks) };
  }

  async #carryOut(
    step: CleanStep,
    before: readonly DiskSlot[],
    signal: AbortSignal | undefined,
  ): Promise<readonly DiskSlot[]> {
    const { clock, emit, clean, readDisks, stepTimeoutMs = DEFAULT_STEP_TIMEOUT_MS } = this.#options;
    let report: CleanReport;
    try {
      const what = `cleaning up ${step.kind}`;
      report = await withinDeadline(clock, stepTimeoutMs, what, (over) => clean(step, over), signal);
    } catch (error) {
      if (!signal?.aborted) emit('cleanup.failed', { step: step.kind, err: error });
      // It may have removed something all the same.
      return readDisks();
    }
    const after = await readDisks();
    emit('cleanup.completed', {
      step: step.kind,
      removed: report.removed.length,
      freed_bytes: freedBytes(before, after),
      disks: after.map(({ path, disk }) => ({
        path,
        free_bytes_before: before.find((slot) => slot.path === path)?.disk?.freeBytes ?? null,
        free_bytes_after: disk?.freeBytes ?? null,
      })),
    });
    return after;
  }
}

/** null unless each disk was read both times. A file system seen under two paths counts once. */
function freedBytes(before: readonly DiskSlot[], after: readonly DiskSlot[]): number | null {
  const byDevice = new Map<number, number>();
  for (const { path, disk } of after) {
    const earlier = before.find((slot) => slot.path === path)?.disk;
    if (!disk || !earlier) return null;
    byDevice.set(disk.deviceId, disk.freeBytes - earlier.freeBytes);
  }
  return byDevice.size === 0 ? null : [...byDevice.values()].reduce((sum, bytes) => sum + bytes, 0);
}
