/** How fast a figure grows: a line through its samples, by least squares. */

export interface Sample {
  timeMs: number;
  value: number;
}

export interface Slope {
  /** null with fewer than three samples. */
  perHour: number | null;
  min: number;
  max: number;
  samples: number;
  /** Pieces that have a line of their own height, all of the same slope: a process that is started again begins anew. */
  segments: number;
}

const HOUR_MS = 3_600_000;
const LEAST_SAMPLES = 3;

/** The slope that the segments have in common. Those with fewer than three samples do not count. */
export function slopeOf(segments: readonly (readonly Sample[])[]): Slope | null {
  const counted = segments.filter((samples) => samples.length >= LEAST_SAMPLES);
  const values = counted.flat().map(({ value }) => value);
  if (values.length === 0) return null;
  let above = 0;
  let below = 0;
  for (const samples of counted) {
    const meanTime = mean(samples.map(({ timeMs }) => timeMs));
    const meanValue = mean(samples.map(({ value }) => value));
    for (const { timeMs, value } of samples) {
      above += (timeMs - meanTime) * (value - meanValue);
      below += (timeMs - meanTime) ** 2;
    }
  }
  return {
    perHour: below > 0 ? (above / below) * HOUR_MS : null,
    min: Math.min(...values),
    max: Math.max(...values),
    samples: values.length,
    segments: counted.length,
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
