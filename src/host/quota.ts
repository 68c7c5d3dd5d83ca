/**
 * How many tasks this node may start in any 60 minutes.
 *
 * State: the grants of the last hour, each with its age. In memory, ages are counted on the monotonic clock, so that no
 * jump of the wall clock frees or blocks anything. In the file stand wall-clock times, because only those outlive the
 * process; on reading, a time in the future (the clock was set back) counts as now.
 *
 * Invariants
 * - A grant is on the disk before it is reported, so a crash can waste a grant but never give one twice.
 * - No grant counts for more than an hour after the file was read.
 * - A file that cannot be understood counts as an hour used up when it was last written: no real grant is younger than
 *   that, so the limit holds, and the wait ends within the hour.
 *
 * While a machine is suspended the monotonic clock may stand still; grants then count for longer, never for less.
 */
import { copyFile } from 'node:fs/promises';
import { z } from 'zod';
import type { Emit } from '../observe/events.ts';
import { type Clock, isoTime } from '../runtime.ts';
import { durably } from '../steps.ts';
import { readStateFile, StateFileError, writeStateFile } from './state-file.ts';

export interface QuotaOptions {
  /** The file that keeps the count, in the state directory. */
  path: string;
  /** 0: unlimited; counted all the same. */
  maxPerHour: number;
  clock: Clock;
  emit: Emit;
}

const HOUR_MS = 3_600_000;
/** Grants closer together than this are kept as one, which bounds the list whatever the rate. */
const MERGE_MS = 1_000;
const MAX_ENTRIES = HOUR_MS / MERGE_MS + 2;
const MAX_FILE_BYTES = 256 * 1024;

const fileSchema = z.object({
  version: z.literal(1),
  /** Wall-clock milliseconds and how many tasks, oldest first. */
  grants: z.array(z.tuple([z.number().min(0), z.int().min(1)])).max(MAX_ENTRIES),
});

interface Grant {
  /** On the monotonic clock; negative for grants from before the process began. */
  firstMs: number;
  /** The youngest of those kept as one: all of them count for as long as it does. */
  atMs: number;
  count: number;
}

/** What the worker needs of a quota. */
export type HourlyQuota = Pick<Quota, 'take' | 'left' | 'nextFreeInMs' | 'usedThisHour' | 'resetTimeIso'>;

export class Quota {
  readonly #options: QuotaOptions;
  /** Oldest first. */
  #grants: Grant[];
  #writing: Promise<void> | null = null;
  #nextWrite: Promise<void> | null = null;

  private constructor(options: QuotaOptions, grants: Grant[]) {
    this.#options = options;
    this.#grants = grants;
  }

  /**
   * Takes up the count where the last process left it. A damaged file is set aside as `<path>.damaged`.
   * @throws StateFileError when the file is there and cannot be read, or its replacement cannot be written.
   */
  static async open(options: QuotaOptions): Promise<Quota> {
    const { path, clock, maxPerHour, emit } = options;
    if (!Number.isInteger(maxPerHour) || maxPerHour < 0) throw new RangeError(`not a number of tasks: ${maxPerHour}`);
    const found = await readStateFile(path, MAX_FILE_BYTES);
    if (!found) return new Quota(options, []);
    const nowMs = clock.monotonicMs();
    const wallMs = clock.wallMs();
    const onMonotonicClock = (atWallMs: number): number => nowMs - Math.max(0, wallMs - atWallMs);

    const saved = grantsIn(found.bytes);
    if (saved) {
      const quota = new Quota(options, []);
      const taken = saved.map(([atWallMs, count]) => ({ atMs: onMonotonicClock(atWallMs), count }));
      // Added one by one, so that many which now count as one instant are kept as one.
      for (const { atMs, count } of taken.toSorted((a, b) => a.atMs - b.atMs)) quota.#add(atMs, count);
      return quota;
    }
    const atMs = onMonotonicClock(found.modifiedMs);
    const quota = new Quota(options, maxPerHour > 0 ? [{ firstMs: atMs, atMs, count: maxPerHour }] : []);
    emit('quota.damaged', { path, set_aside: `${path}.damaged`, counted_as: quota.usedThisHour() });
    // Copied, then replaced: moved away, a crash in between would leave no file, and that means an unused hour.
    await durably(options, 'quota.set-aside', { path }, () => copyFile(path, `${path}.damaged`)).catch(
      (error: unknown) => {
        throw new StateFileError('unwritable', `${path}.damaged`, error);
      },
    );
    await quota.#save();
    return quota;
  }

  /**
   * Takes up to `wanted` starts out of the hour.
   * @returns how many were granted; 0 when the hour is used up.
   * @throws StateFileError when the count cannot be saved; nothing is granted then. Not with an unlimited quota, whose
   * count is for information only.
   */
  async take(wanted: number): Promise<number> {
    if (!Number.isInteger(wanted) || wanted < 0) throw new RangeError(`not a number of tasks: ${wanted}`);
    const granted = Math.min(wanted, this.left());
    if (granted === 0) return 0;
    const nowMs = this.#options.clock.monotonicMs();
    // Reserved before the first await, so that calls which overlap cannot get the same grant.
    const grant = this.#add(nowMs, granted);
    if (this.#options.maxPerHour === 0) {
      // No task waits for a disk to learn that there is no limit.
      void this.#save().catch((error: unknown) => this.#options.emit('quota.unwritable', { err: error }));
      return granted;
    }
    try {
      await this.#save();
    } catch (error) {
      grant.count -= granted;
      throw error;
    }
    return granted;
  }

  /** How many may still be started now; Infinity when unlimited. */
  left(): number {
    const { maxPerHour } = this.#options;
    return maxPerHour === 0 ? Number.POSITIVE_INFINITY : Math.max(0, maxPerHour - this.usedThisHour());
  }

  /** 0 when one may be started now. */
  nextFreeInMs(): number {
    const { maxPerHour, clock } = this.#options;
    let toExpire = maxPerHour === 0 ? 0 : this.usedThisHour() - maxPerHour + 1;
    for (const { atMs, count } of this.#grants) {
      if (toExpire <= 0) break;
      toExpire -= count;
      if (toExpire <= 0) return Math.max(0, atMs + HOUR_MS - clock.monotonicMs());
    }
    return 0;
  }

  usedThisHour(): number {
    this.#dropOld();
    return this.#grants.reduce((sum, { count }) => sum + count, 0);
  }

  /** When the count is back at 0 if nothing more is started; now if it is 0 already. ISO 8601 UTC. */
  resetTimeIso(): string {
    this.#dropOld();
    const { clock } = this.#options;
    const youngest = this.#grants.at(-1);
    return isoTime(clock.wallMs() + (youngest ? youngest.atMs + HOUR_MS - clock.monotonicMs() : 0));
  }

  #add(atMs: number, count: number): Grant {
    const youngest = this.#grants.at(-1);
    if (youngest && atMs - youngest.firstMs < MERGE_MS) {
      youngest.atMs = atMs;
      youngest.count += count;
      return youngest;
    }
    const grant = { firstMs: atMs, atMs, count };
    this.#grants.push(grant);
    return grant;
  }

  #dropOld(): void {
    const horizonMs = this.#options.clock.monotonicMs() - HOUR_MS;
    this.#grants = this.#grants.filter(({ atMs, count }) => atMs > horizonMs && count > 0);
  }

  /** Saves what is in memory at some moment after this call. At most one write runs and one waits, which all share. */
  #save(): Promise<void> {
    if (!this.#writing) {
      this.#writing = this.#write().finally(() => {
        this.#writing = null;
      });
      return this.#writing;
    }
    this.#nextWrite ??= this.#writing
      .catch(() => undefined)
      .then(() => {
        this.#nextWrite = null;
        return this.#save();
      });
    return this.#nextWrite;
  }

  #write(): Promise<void> {
    this.#dropOld();
    const { clock, path } = this.#options;
    const offsetMs = clock.wallMs() - clock.monotonicMs();
    const grants = this.#grants.map(({ atMs, count }) => [Math.max(0, Math.round(atMs + offsetMs)), count]);
    const text = `${JSON.stringify({ version: 1, grants })}\n`;
    return durably(this.#options, 'quota.save', { path }, () => writeStateFile(path, text));
  }
}

function grantsIn(bytes: Uint8Array | null): [number, number][] | null {
  if (!bytes) return null;
  try {
    return fileSchema.parse(JSON.parse(Buffer.from(bytes).toString('utf8'))).grants;
  } catch {
    return null;
  }
}
