/** What many measurements of one thing come to. */

export interface Summary {
  samples: number;
  /** null with nothing measured. */
  p50: number | null;
  /** null where too few were measured for the figure to mean anything. */
  p95: number | null;
  p99: number | null;
}

/** So many samples lie beyond a percentile at least, or it would be the name of the largest one. */
const MIN_SAMPLES_P95 = 20;
const MIN_SAMPLES_P99 = 100;

/** By nearest rank: always one of the values. @throws RangeError without any */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const rank = Math.max(1, Math.ceil((percent / 100) * sorted.length));
  const value = sorted[rank - 1];
  if (value === undefined) throw new RangeError('no percentile of nothing');
  return value;
}

export function median(values: readonly number[]): number {
  const lower = percentile(values, 50);
  if (values.length % 2 === 1) return lower;
  const upper = values.toSorted((a, b) => a - b)[values.length / 2] ?? lower;
  return (lower + upper) / 2;
}

export function summarise(values: readonly number[]): Summary {
  const { length } = values;
  return {
    samples: length,
    p50: length > 0 ? median(values) : null,
    p95: length >= MIN_SAMPLES_P95 ? percentile(values, 95) : null,
    p99: length >= MIN_SAMPLES_P99 ? percentile(values, 99) : null,
  };
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
