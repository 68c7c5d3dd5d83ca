import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type KindUse, type PoolLimits, planPool } from '../../../../src/executor/docker/warm-plan.ts';

const NOW = 1_000_000;
const LIMITS: PoolLimits = { maxContainers: 4, idleMs: 1_000 };
const NEVER = Number.NEGATIVE_INFINITY;

function kind(key: string, uses: number, waiting = 0, changes: Partial<KindUse> = {}): KindUse {
  return { key, usesMs: Array.from({ length: uses }, () => NOW - 10), waiting, notBeforeMs: NEVER, ...changes };
}

/** Carries plans out until there is nothing more to do. @returns what waits then */
function settle(kinds: KindUse[], limits = LIMITS): Record<string, number> {
  for (let step = 0; step < 1_000; step += 1) {
    const { create, retire } = planPool(kinds, limits, NOW);
    if (create === null && retire.length === 0) {
      return Object.fromEntries(kinds.map(({ key, waiting }) => [key, waiting]));
    }
    for (const { key, count } of retire) adjust(kinds, key, -count);
    if (create !== null) adjust(kinds, create, 1);
  }
  throw new Error('the plan never comes to rest');
}

function adjust(kinds: KindUse[], key: string, by: number): void {
  for (const one of kinds) if (one.key === key) one.waiting += by;
}

describe('planPool', () => {
  it('makes nothing of what nobody asked for, and as much as was asked for up to the limit', () => {
    expect(settle([])).toEqual({});
    expect(settle([kind('a', 0)])).toEqual({ a: 0 });
    expect(settle([kind('a', 1)])).toEqual({ a: 1 });
    expect(settle([kind('a', 9)])).toEqual({ a: 4 });
    expect(settle([kind('a', 9)], { ...LIMITS, maxContainers: 0 })).toEqual({ a: 0 });
  });

  it('shares the limit by how often each was asked for', () => {
    expect(settle([kind('a', 3), kind('b', 1)])).toEqual({ a: 3, b: 1 });
    expect(settle([kind('a', 4), kind('b', 4)])).toEqual({ a: 2, b: 2 });
  });

  it('gives what is too little for all to those that were used last', () => {
    const kinds = Array.from({ length: 6 }, (_, index) => kind(`k${index}`, 1, 0, { usesMs: [NOW - 100 + index] }));
    expect(settle(kinds)).toEqual({ k0: 0, k1: 0, k2: 1, k3: 1, k4: 1, k5: 1 });
  });

  it('removes what nobody has asked for lately', () => {
    const old = { usesMs: [NOW - 2_000, NOW - 1_000] };
    expect(planPool([kind('a', 0, 2, old)], LIMITS, NOW).retire).toEqual([{ key: 'a', count: 2 }]);
    expect(planPool([kind('a', 0, 2, { usesMs: [NOW - 1_000, NOW - 999] })], LIMITS, NOW)).toEqual({
      create: null,
      retire: [{ key: 'a', count: 1 }],
      lookAtMs: NOW + 1,
    });
  });

  it('makes room for a kind that has none, and for no other', () => {
    expect(planPool([kind('a', 4, 4), kind('b', 1)], LIMITS, NOW).retire).toEqual([]);
    expect(planPool([kind('a', 4, 4), kind('b', 2)], LIMITS, NOW)).toMatchObject({
      create: null,
      retire: [{ key: 'a', count: 1 }],
    });
    expect(planPool([kind('a', 4, 3), kind('b', 4, 1)], LIMITS, NOW)).toMatchObject({ create: null, retire: [] });
  });

  it('lets a kind that failed wait, and the others not', () => {
    const later = { notBeforeMs: NOW + 50 };
    expect(planPool([kind('a', 1, 0, later)], LIMITS, NOW)).toEqual({ create: null, retire: [], lookAtMs: NOW + 50 });
    expect(planPool([kind('a', 1, 0, later), kind('b', 1)], LIMITS, NOW).create).toBe('b');
    expect(planPool([kind('a', 1, 0, later)], LIMITS, NOW + 50).create).toBe('a');
  });

  it('never has more than the limit, comes to rest, and then wants nothing before the time it says', () => {
    const anyKind = fc.record({
      usesMs: fc
        .array(fc.integer({ min: NOW - 1_500, max: NOW }), { maxLength: 8 })
        .map((uses) => uses.toSorted((a, b) => a - b)),
      waiting: fc.integer({ min: 0, max: 8 }),
      notBeforeMs: fc.constantFrom(NEVER, NOW + 5, Number.POSITIVE_INFINITY),
    });
    fc.assert(
      fc.property(fc.array(anyKind, { maxLength: 6 }), fc.integer({ min: 0, max: 6 }), (given, maxContainers) => {
        const limits = { maxContainers, idleMs: 1_000 };
        const kinds = given.map((one, index) => ({ ...one, key: `k${index}` }));
        const before = kinds.reduce((sum, { waiting }) => sum + waiting, 0);
        const rest = Object.values(settle(kinds, limits)).reduce((sum, waiting) => sum + waiting, 0);
        expect(rest).toBeLessThanOrEqual(Math.max(before, maxContainers));
        const { lookAtMs } = planPool(kinds, limits, NOW);
        expect(lookAtMs ?? NOW + 1).toBeGreaterThan(NOW);
      }),
    );
  });
});
