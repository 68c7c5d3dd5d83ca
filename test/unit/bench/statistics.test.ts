import { describe, expect, it } from 'vitest';
import { median, percentile, summarise } from '../../../bench/frame/statistics.ts';

const upTo = (count: number): number[] => Array.from({ length: count }, (_, at) => at + 1);

describe('a percentile', () => {
  it('is one of the values, by nearest rank', () => {
    expect(percentile([15, 20, 35, 40, 50], 30)).toBe(20);
    expect(percentile([15, 20, 35, 40, 50], 40)).toBe(20);
    expect(percentile([15, 20, 35, 40, 50], 100)).toBe(50);
    expect(percentile(upTo(100), 95)).toBe(95);
    expect(percentile(upTo(100), 99)).toBe(99);
  });

  it('does not care for the order', () => {
    expect(percentile([3, 1, 2, 10], 75)).toBe(3);
  });

  it('is nothing of nothing', () => {
    expect(() => percentile([], 50)).toThrow(RangeError);
  });
});

describe('a median', () => {
  it('lies between the two in the middle', () => {
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([3, 1, 2])).toBe(2);
  });
});

describe('a summary', () => {
  it('has no percentile that would be the name of the largest value', () => {
    expect(summarise(upTo(19))).toEqual({ samples: 19, p50: 10, p95: null, p99: null });
    expect(summarise(upTo(20))).toEqual({ samples: 20, p50: 10.5, p95: 19, p99: null });
    expect(summarise(upTo(100))).toEqual({ samples: 100, p50: 50.5, p95: 95, p99: 99 });
  });

  it('of nothing says so', () => {
    expect(summarise([])).toEqual({ samples: 0, p50: null, p95: null, p99: null });
  });
});
