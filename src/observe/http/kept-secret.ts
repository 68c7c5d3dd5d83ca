/** A secret that callers have to show: as it was set, or from a file that may be replaced while the worker runs. */
import { readFile } from 'node:fs/promises';
import type { Clock } from '../../runtime.ts';

/** A flood of calls is no reason to read a file for each. */
const MAX_AGE_MS = 1_000;

/** Answers null when the file cannot be used at the moment. */
export type KeptSecret = () => Promise<string | null>;

/**
 * @param parts.minLength a shorter text in the file is taken for a file that is being written.
 * @param parts.learn told of what stands in the file, so that the log can mask it.
 * @returns null where neither is set.
 */
export function keptSecret(parts: {
  secret: string | null;
  file: string | null;
  minLength: number;
  clock: Clock;
  learn?: (secret: string) => void;
}): KeptSecret | null {
  const { secret, file, minLength, clock, learn } = parts;
  if (secret !== null) return async () => secret;
  if (file === null) return null;
  let readAtMs = Number.NEGATIVE_INFINITY;
  let latest: Promise<string | null> = Promise.resolve(null);
  const read = async (): Promise<string | null> => {
    const content = (await readFile(file, 'utf8')).trim();
    if (content.length < minLength) return null;
    learn?.(content);
    return content;
  };
  return () => {
    if (clock.monotonicMs() - readAtMs >= MAX_AGE_MS) {
      readAtMs = clock.monotonicMs();
      latest = read().catch(() => null);
    }
    return latest;
  };
}
