/**
 * How long to wait between two looks at the repository. Pure.
 *
 * While something goes on, and for some time after, this is the set interval. In a grid that stays quiet it grows by
 * doubling, up to the longest one. Each step is taken only when it has been quiet for ten times as long as the new
 * interval. So a task that ends a quiet time waits at most for about a tenth of it, and one that follows another is found
 * at the set interval.
 */
const QUIET_INTERVALS = 10;
/** Workers that were woken by the same push do not go on in step. */
const SPREAD = 0.05;

export interface PaceLimits {
  intervalMs: number;
  /** Not above `intervalMs`: the pace never changes. */
  maxIntervalMs: number;
}

export function isAdaptive({ intervalMs, maxIntervalMs }: PaceLimits): boolean {
  return maxIntervalMs > intervalMs;
}

/** @param quietMs how long nothing was seen that concerns a worker. */
export function intervalAfter(quietMs: number, { intervalMs, maxIntervalMs }: PaceLimits): number {
  let step = intervalMs;
  while (step < maxIntervalMs) {
    const next = Math.min(2 * step, maxIntervalMs);
    if (quietMs < QUIET_INTERVALS * next) return step;
    step = next;
  }
  return step;
}

/** A little shorter or longer, so that the mean stays as it was set. @param fraction a random number in [0, 1). */
export function spread(ms: number, fraction: number): number {
  return ms * (1 + SPREAD * (2 * fraction - 1));
}
