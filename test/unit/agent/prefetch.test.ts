import { describe, expect, it } from 'vitest';
import { MAX_PREFETCH, Prefetch } from '../../../src/agent/prefetch.ts';

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
  it('are as many as tasks end while a claim is on its way', () => {
    expect(after({ taskMs: 100, claimMs: 200 }).extra(1_000)).toBe(8);
    expect(after({ taskMs: 50, claimMs: 25 }).extra(1_000)).toBe(2);
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
    expect(after({ taskMs: 100, claimMs: 200 }).extra(9)).toBe(5);
    expect(after({ taskMs: 100, claimMs: 200 }).extra(3)).toBe(0);
  });
});
