import { describe, expect, it } from 'vitest';
import { Breaker } from '../../../src/host/breaker.ts';
import { ManualClock } from '../../support/manual-clock.ts';

function setUp() {
  const clock = new ManualClock();
  const breaker = new Breaker({ failures: 3, firstPauseMs: 1_000, longestPauseMs: 3_000 }, clock);
  return { breaker, clock };
}

function fail(breaker: Breaker, times: number): boolean[] {
  return Array.from({ length: times }, () => breaker.failed('no'));
}

describe('Breaker', () => {
  it('opens after failures in a row, and not before', () => {
    const { breaker } = setUp();
    expect(fail(breaker, 2)).toEqual([false, false]);
    breaker.succeeded();
    expect(fail(breaker, 2)).toEqual([false, false]);
    expect(breaker.state).toBe('closed');
    expect(breaker.failed('no route')).toBe(true);
    expect([breaker.state, breaker.failures, breaker.problem, breaker.pauseLeftMs]).toEqual([
      'open',
      3,
      'no route',
      1_000,
    ]);
  });

  it('lets a try through after the pause, which closes it or opens it for longer', () => {
    const { breaker, clock } = setUp();
    fail(breaker, 3);
    const pauses: number[] = [];
    for (let trial = 0; trial < 4; trial += 1) {
      clock.advance(breaker.pauseLeftMs - 1);
      expect(breaker.state).toBe('open');
      clock.advance(1);
      expect([breaker.state, breaker.pauseLeftMs]).toEqual(['trial', 0]);
      expect(breaker.failed('still')).toBe(true);
      pauses.push(breaker.pauseLeftMs);
    }
    expect(pauses).toEqual([2_000, 3_000, 3_000, 3_000]);
    clock.advance(3_000);
    expect(breaker.succeeded()).toBe(true);
    expect(breaker.state).toBe('closed');
    // And everything begins anew.
    expect(fail(breaker, 3)).toEqual([false, false, true]);
    expect(breaker.pauseLeftMs).toBe(1_000);
  });

  it('is not opened for longer by what began before, and is closed by it', () => {
    const { breaker, clock } = setUp();
    fail(breaker, 3);
    clock.advance(400);
    expect(fail(breaker, 5)).toEqual([false, false, false, false, false]);
    expect(breaker.pauseLeftMs).toBe(600);
    expect(breaker.succeeded()).toBe(true);
    expect(breaker.state).toBe('closed');
    expect(breaker.succeeded()).toBe(false);
  });
});
