import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { type HealingCandidate, type HealingStep, keyOf, planHealing } from '../../../src/host/healing.ts';
import type { DiskSlot } from '../../../src/host/reading.ts';

const disk = (usedPercent: number, inodesUsedPercent: number | null = null, path = '/data'): DiskSlot => ({
  path,
  disk: {
    deviceId: 1,
    totalBytes: 100,
    freeBytes: 100 - usedPercent,
    usedPercent,
    inodesUsedPercent,
    freeInodes: null,
  },
});
const everything = { pruneDanglingImages: true, pruneBuildCache: true };
const onlyOwn = { pruneDanglingImages: false, pruneBuildCache: false };

function candidate(step: HealingStep, changes: Partial<HealingCandidate> = {}): HealingCandidate {
  return { step, path: '/data', bytes: null, inodes: null, isLastResort: false, ...changes };
}

/** In an order that nobody planned. */
const ALL: HealingCandidate[] = [
  candidate({ kind: 'own-image', image: 'default' }, { isLastResort: true }),
  candidate({ kind: 'build-cache' }),
  candidate({ kind: 'clone-renewal' }),
  candidate({ kind: 'own-image', image: 'older' }),
  candidate({ kind: 'own-image', image: 'newer' }),
  candidate({ kind: 'dangling-images' }),
  candidate({ kind: 'clone-upkeep' }),
  candidate({ kind: 'waiting-containers' }),
  candidate({ kind: 'own-containers' }),
  candidate({ kind: 'leftovers' }),
];

/** All steps that are planned while nothing helps. */
function planOut(policy: typeof everything, disks = [disk(95)], candidates = ALL): string[] {
  const tried: string[] = [];
  for (;;) {
    const plan = planHealing(disks, 90, policy, candidates, (key) => tried.includes(key));
    if (plan.kind === 'done') return [...tried, plan.why];
    tried.push(keyOf(plan.candidate.step));
  }
}

it('goes by least regret', () => {
  expect(planOut(everything)).toEqual([
    'leftovers',
    'own-containers',
    'waiting-containers',
    'clone-upkeep',
    'own-image older',
    'own-image newer',
    'clone-renewal',
    'dangling-images',
    'build-cache',
    'own-image default',
    'nothing-left',
  ]);
});

it('leaves alone what is not ours unless it may', () => {
  expect(planOut(onlyOwn)).not.toEqual(expect.arrayContaining(['dangling-images']));
  expect(planOut(onlyOwn)).not.toContain('build-cache');
  expect(planOut({ ...onlyOwn, pruneBuildCache: true })).toContain('build-cache');
});

it('stops at the line where claiming resumes, not before', () => {
  const plan = (used: number) => planHealing([disk(used)], 90, everything, ALL, () => false);
  expect(plan(80.1)).toMatchObject({ kind: 'step' });
  expect(plan(80)).toEqual({ kind: 'done', why: 'enough-free' });
});

it('minds inodes as much as bytes, and takes what frees the one that is short', () => {
  const candidates = [
    candidate({ kind: 'leftovers' }, { bytes: 1_000, inodes: 0 }),
    candidate({ kind: 'own-image', image: 'shared' }, { bytes: 0, inodes: 0 }),
    candidate({ kind: 'own-image', image: 'many-files' }, { bytes: 0, inodes: 5_000 }),
    candidate({ kind: 'clone-upkeep' }),
  ];
  expect(planOut(onlyOwn, [disk(10, 99)], candidates)).toEqual([
    'clone-upkeep',
    'own-image many-files',
    'nothing-left',
  ]);
  expect(planOut(onlyOwn, [disk(95, 10)], candidates)).toEqual(['leftovers', 'clone-upkeep', 'nothing-left']);
  expect(planOut(onlyOwn, [disk(95, 95)], candidates)).toHaveLength(4);
});

it('removes nothing from a disk that has room', () => {
  const candidates = [
    candidate({ kind: 'own-image', image: 'a' }, { path: '/engine' }),
    candidate({ kind: 'leftovers' }, { path: '/state' }),
    candidate({ kind: 'clone-upkeep' }, { path: '/elsewhere' }),
  ];
  const disks = [disk(95, null, '/state'), disk(20, null, '/engine')];
  expect(planOut(everything, disks, candidates)).toEqual(['leftovers', 'nothing-left']);
});

it('removes nothing where nothing can be measured', () => {
  const blind = { path: '/data', disk: null };
  for (const disks of [[blind], []]) {
    expect(planHealing(disks, 90, everything, ALL, () => false)).toEqual({ kind: 'done', why: 'unreadable' });
  }
});

it('plans nothing that is spent, and nothing without need', () => {
  const percent = fc.double({ min: 0, max: 100, noNaN: true });
  fc.assert(
    fc.property(
      fc.subarray(ALL),
      fc.subarray(ALL.map(({ step }) => keyOf(step))),
      percent,
      percent,
      (given, spent, used, inodes) => {
        const plan = planHealing([disk(used, inodes)], 90, everything, given, (key) => spent.includes(key));
        if (plan.kind === 'step') {
          expect(spent).not.toContain(keyOf(plan.candidate.step));
          expect(Math.max(used, inodes)).toBeGreaterThan(80);
        } else if (plan.why === 'nothing-left') {
          expect(given.every(({ step }) => spent.includes(keyOf(step)))).toBe(true);
        } else expect(Math.max(used, inodes)).toBeLessThanOrEqual(80);
      },
    ),
  );
});
