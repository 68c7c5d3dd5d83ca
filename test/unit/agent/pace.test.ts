import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { intervalAfter, isAdaptive, spread } from '../../../src/agent/pace.ts';

const LIMITS = { intervalMs: 10_000, maxIntervalMs: 60_000 };
const limits = fc
  .tuple(fc.integer({ min: 50, max: 86_400_000 }), fc.integer({ min: 0, max: 86_400_000 }))
  .map(([intervalMs, maxIntervalMs]) => ({ intervalMs, maxIntervalMs }));
const quiet = fc.integer({ min: 0, max: 10 ** 10 });

describe('the pace of polling', () => {
  it('doubles step by step, each time after ten quiet intervals of the new length', () => {
    const at = (seconds: number): number => intervalAfter(seconds * 1000, LIMITS) / 1000;
    expect([0, 199, 200, 399, 400, 599, 600, 100_000].map(at)).toEqual([10, 10, 20, 20, 40, 40, 60, 60]);
  });

  it('stays the same where it may not grow', () => {
    for (const maxIntervalMs of [0, 5_000, 10_000]) {
      const fixed = { intervalMs: 10_000, maxIntervalMs };
      expect(isAdaptive(fixed)).toBe(false);
      expect(intervalAfter(10 ** 9, fixed)).toBe(10_000);
    }
    expect(isAdaptive(LIMITS)).toBe(true);
  });

  it('keeps within its limits, never falls while it stays quiet, and makes nobody wait for long', () => {
    fc.assert(
      fc.property(limits, quiet, quiet, (set, one, other) => {
        const shorter = intervalAfter(Math.min(one, other), set);
        const longer = intervalAfter(Math.max(one, other), set);
        expect(shorter).toBeGreaterThanOrEqual(set.intervalMs);
        expect(longer).toBeLessThanOrEqual(Math.max(set.intervalMs, set.maxIntervalMs));
        expect(longer).toBeGreaterThanOrEqual(shorter);
        expect(longer).toBeLessThanOrEqual(Math.max(set.intervalMs, Math.max(one, other) / 10));
      }),
    );
  });

  it('is spread a little, around what was set', () => {
    expect([0, 0.5, 1].map((fraction) => spread(10_000, fraction))).toEqual([9_500, 10_000, 10_500]);
  });
});
