/** The webhook's secret: as it was set, or from a file that may be replaced while the worker runs. */
import { readFile } from 'node:fs/promises';
import type { Clock } from '../../runtime.ts';

/** A flood of calls is no reason to read a file for each. */
const MAX_AGE_MS = 1_000;

/**
 * @param parts.minLength a shorter text in the file is taken for a file that is being written.
 * @returns null where neither is set. What it returns answers null when the file cannot be used at the moment.
 */
export function hookSecret(parts: {
  secret: string | null;
  file: string | null;
  minLength: number;
  clock: Clock;
}): (() => Promise<string | null>) | null {
  const { secret, file, minLength, clock } = parts;
  if (secret !== null) return async () => secret;
  if (file === null) return null;
  let readAtMs = Number.NEGATIVE_INFINITY;
  let latest: Promise<string | null> = Promise.resolve(null);
  return () => {
    if (clock.monotonicMs() - readAtMs >= MAX_AGE_MS) {
      readAtMs = clock.monotonicMs();
      latest = readFile(file, 'utf8').then(
        (content) => (content.trim().length >= minLength ? content.trim() : null),
        () => null,
      );
    }
    return latest;
  };
}
