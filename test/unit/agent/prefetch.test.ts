import { describe, expect, it } from 'vitest';
import { isWorthAPush, MAX_PREFETCH, Prefetch } from '../../../src/agent/prefetch.ts';

function after(options: {
  slots?: number;
  pushesPerMinute?: number;
  taskMs: number;
  claimMs: number;
  samples?: number;
}): Prefetch {
  const prefetch = new Prefetch({ slots: options.slots ?? 4, pushesPerMinute: options.pushesPerMinute ?? 0 });
  for (let at = 0; at < (options.samples ?? 20); at += 1) prefetch.ran(options.taskMs);
  prefetch.claimed(options.claimMs);
  return prefetch;
}

describe('claims beyond the slots', () => {
  it('are as many as tasks end while four claims could be made', () => {
    expect(after({ taskMs: 100, claimMs: 50 }).extra(1_000)).toBe(8);
    expect(after({ taskMs: 500, claimMs: 80 }).extra(1_000)).toBe(2);
  });

  it('are worth a push when nothing waits, or when half of them are used up', () => {
    expect(isWorthAPush({ extra: 8, room: 1, waiting: 0 })).toBe(true);
    expect(isWorthAPush({ extra: 8, room: 3, waiting: 5 })).toBe(false);
    expect(isWorthAPush({ extra: 8, room: 4, waiting: 4 })).toBe(true);
    expect(isWorthAPush({ extra: 0, room: 0, waiting: 0 })).toBe(false);
    expect(isWorthAPush({ extra: 0, room: 1, waiting: 2 })).toBe(true);
  });

  it('are none for tasks that take long, and while nothing is known', () => {
    expect(after({ taskMs: 60_000, claimMs: 200 }).extra(1_000)).toBe(0);
    expect(after({ taskMs: 10, claimMs: 200, samples: 3 }).extra(1_000)).toBe(0);
    expect(new Prefetch({ slots: 4, pushesPerMinute: 6 }).extra(1_000)).toBe(0);
  });

  it('reach to the next push where pushes are rationed', () => {
    expect(after({ slots: 2, pushesPerMinute: 6, taskMs: 1_000, claimMs: 50 }).extra(1_000)).toBe(20);
  });

  it('leave others their share, and have a bound', () => {
    expect(after({ taskMs: 1, claimMs: 1_000 }).extra(1e6)).toBe(MAX_PREFETCH);
    expect(after({ taskMs: 100, claimMs: 50 }).extra(9)).toBe(5);
    expect(after({ taskMs: 100, claimMs: 50 }).extra(3)).toBe(0);
  });
});
