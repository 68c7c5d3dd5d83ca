/**
 * What a set of durations comes to. Percentiles are by nearest rank: the smallest sample that at least so many per cent of
 * all samples do not exceed. So each is a duration that somebody really waited, and none lies between two. Pure.
 */
export const PERCENTS = [50, 90, 95, 99] as const;
export type Percent = (typeof PERCENTS)[number];
export const STATISTICS = ['avg', 'min', 'max', 'p50', 'p90', 'p95', 'p99'] as const;
export type Statistic = (typeof STATISTICS)[number];

export interface Distribution {
  /** Samples. */
  n: number;
  /** In the unit of the samples; null without any. */
  values: Record<Statistic, number | null>;
  /** Percentiles for which there are too few samples: they are the maximum, and say nothing of their own. */
  few: Statistic[];
}

export function distributionOf(samples: readonly number[]): Distribution {
  const sorted = samples.toSorted((a, b) => a - b);
  const n = sorted.length;
  const sum = sorted.reduce((total, sample) => total + sample, 0);
  return {
    n,
    values: {
      avg: n === 0 ? null : sum / n,
      min: sorted[0] ?? null,
      max: sorted[n - 1] ?? null,
      p50: percentile(sorted, 50),
      p90: percentile(sorted, 90),
      p95: percentile(sorted, 95),
      p99: percentile(sorted, 99),
    },
    few: n === 0 ? [] : PERCENTS.filter((percent) => rankOf(n, percent) === n).map((percent) => `p${percent}` as const),
  };
}

/** @param sorted ascending. @returns null without samples */
export function percentile(sorted: readonly number[], percent: number): number | null {
  return sorted[rankOf(sorted.length, percent) - 1] ?? null;
}

/** From 1. In whole numbers, since 0.95 × 20 is a little more than 19 to a computer. */
function rankOf(n: number, percent: number): number {
  return Math.max(1, Math.ceil((n * percent) / 100));
}
