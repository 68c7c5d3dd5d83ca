/**
 * Time and chance: the two inputs that tests must be able to hold in their hands. Nothing else in `src` may read a clock,
 * start a timer or draw a random number.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

export interface Clock {
  /** Milliseconds on a clock that never jumps. Only differences mean anything, and only on this machine. */
  monotonicMs(): number;
  /** Milliseconds since 1970 by this machine's idea of the time. For people to read; never compared between machines. */
  wallMs(): number;
  /** Resolves after `ms` milliseconds, or at once and without an error when `signal` aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** `bytes` random bytes as lower-case hexadecimal. */
export type RandomHex = (bytes: number) => string;

/** A number in [0, 1), for jitter. */
export type RandomFraction = () => number;

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  async sleep(ms, signal) {
    if (signal?.aborted || ms <= 0) return;
    try {
      await delay(ms, undefined, signal ? { signal } : {});
    } catch (error) {
      if (!signal?.aborted) throw error;
    }
  },
};

export const systemRandomFraction: RandomFraction = () => Math.random();

export const systemRandomHex: RandomHex = (bytes) => randomBytes(bytes).toString('hex');

/** ISO 8601 in UTC with milliseconds. */
export function isoTime(wallMs: number): string {
  return new Date(wallMs).toISOString();
}
