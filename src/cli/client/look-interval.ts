/** The time between two looks of a command that keeps looking. */
import { Failure } from '../failure.ts';

const MIN_INTERVAL_SECONDS = 0.2;
const MAX_INTERVAL_SECONDS = 3_600;

/** In milliseconds. @throws Failure (usage) */
export function lookInterval(given: unknown, defaultSeconds: number): number {
  if (typeof given !== 'string') return defaultSeconds * 1000;
  const seconds = /^\d+(?:\.\d+)?$/.test(given) ? Number(given) : Number.NaN;
  if (seconds >= MIN_INTERVAL_SECONDS && seconds <= MAX_INTERVAL_SECONDS) return seconds * 1000;
  const message = `must be a number of seconds from ${MIN_INTERVAL_SECONDS} to ${MAX_INTERVAL_SECONDS}`;
  throw new Failure('usage', 'this is no time', { problems: [{ name: '--interval', message }] });
}
