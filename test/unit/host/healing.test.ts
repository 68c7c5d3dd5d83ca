import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { planHealing } from '../../../src/host/healing.ts';
import type { DiskSlot } from '../../../src/host/reading.ts';

const disk = (usedPercent: number, inodesUsedPercent: number | null = null): DiskSlot => ({
  path: '/data',
  disk: { deviceId: 1, totalBytes: 100, freeBytes: 100 - usedPercent, usedPercent, inodesUsedPercent },
});
const everything = { pruneDanglingImages: true, pruneBuildCache: true };
const onlyOwn = { pruneDanglingImages: false, pruneBuildCache: false };

/** All steps that are planned while nothing helps. */
function planOut(policy: typeof everything): string[] {
  const tried: ('own-containers' | 'own-images' | 'dangling-images' | 'build-cache')[] = [];
  for (;;) {
    const plan = planHealing([disk(95)], 90, policy, tried);
    if (plan.kind === 'done') return [...tried, plan.why];
    tried.push(plan.step.kind);
  }
}

it('goes by least regret', () => {
  expect(planOut(everything)).toEqual([
    'own-containers',
    'own-images',
    'dangling-images',
    'build-cache',
    'nothing-left',
  ]);
});

it('leaves alone what is not ours unless it may', () => {
  expect(planOut(onlyOwn)).toEqual(['own-containers', 'own-images', 'nothing-left']);
  expect(planOut({ ...onlyOwn, pruneBuildCache: true })).toContain('build-cache');
});

it('stops at the line where claiming resumes, not before', () => {
  expect(planHealing([disk(80.1)], 90, everything, [])).toMatchObject({ kind: 'step' });
  expect(planHealing([disk(80)], 90, everything, [])).toEqual({ kind: 'done', why: 'enough-free' });
});

it('minds inodes as much as bytes, and every disk', () => {
  expect(planHealing([disk(10, 99)], 90, everything, [])).toMatchObject({ kind: 'step' });
  expect(planHealing([disk(10), disk(95)], 90, everything, [])).toMatchObject({ kind: 'step' });
});

it('removes nothing where nothing can be measured', () => {
  const blind = { path: '/data', disk: null };
  expect(planHealing([blind], 90, everything, [])).toEqual({ kind: 'done', why: 'unreadable' });
  expect(planHealing([], 90, everything, [])).toEqual({ kind: 'done', why: 'unreadable' });
});

it('plans no step twice', () => {
  const steps = ['own-containers', 'own-images', 'dangling-images', 'build-cache'] as const;
  fc.assert(
    fc.property(fc.subarray([...steps]), fc.boolean(), fc.boolean(), (tried, pruneDanglingImages, pruneBuildCache) => {
      const plan = planHealing([disk(99)], 90, { pruneDanglingImages, pruneBuildCache }, tried);
      if (plan.kind === 'step') expect(tried).not.toContain(plan.step.kind);
      else expect(plan.why).toBe('nothing-left');
    }),
  );
});
