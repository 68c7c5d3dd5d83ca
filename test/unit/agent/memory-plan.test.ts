import { describe, expect, it } from 'vitest';
import { MemoryPlan } from '../../../src/agent/memory-plan.ts';

function plan(slots: number, ...promised: number[]): MemoryPlan {
  const made = new MemoryPlan(slots);
  for (const bytes of promised) made.promise(bytes);
  return made;
}

describe('the memory of tasks', () => {
  it('is promised to each task that has a slot', () => {
    const half = plan(4, 100, 300);
    expect(half.promisedBytes).toBe(400);
    expect(half.follows(1)).toBe(false);
  });

  it('is not promised again to what comes after a task of the same size or a larger one', () => {
    const full = plan(2, 100, 300);
    expect(full.follows(100)).toBe(true);
    expect(full.follows(101)).toBe(false);
    // Of its own: whichever ends first, there is room for it.
    full.promise(200);
    expect(full.promisedBytes).toBe(600);
    expect(full.follows(100)).toBe(true);
  });

  it('counts the smallest of all, so that a small one cannot be followed by a larger one', () => {
    const full = plan(1, 300);
    expect(full.follows(300)).toBe(true);
    full.promise(50);
    expect(full.follows(300)).toBe(false);
  });
});
