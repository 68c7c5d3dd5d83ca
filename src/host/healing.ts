/**
 * What to remove when the disk fills up. Pure: readings and what was tried go in, the next step comes out.
 *
 * The steps stand in the order of least regret: first what nobody will miss, last what others may have to fetch or build
 * again. Things that are not the worker's own go only with the operator's leave.
 */
import type { CleanStep } from '../executor/executor.ts';
import { resumePercentOf } from './admission.ts';
import { type DiskSlot, diskPressurePercent } from './reading.ts';

export interface HealingPolicy {
  pruneDanglingImages: boolean;
  pruneBuildCache: boolean;
}

export type HealingPlan =
  | { kind: 'step'; step: CleanStep }
  /** `unreadable`: no disk can be read, so nothing tells that removing helps, nor when to stop. */
  | { kind: 'done'; why: 'enough-free' | 'nothing-left' | 'unreadable' };

interface HealingStep {
  step: CleanStep;
  isAllowed: (policy: HealingPolicy) => boolean;
}

const STEPS_BY_REGRET: readonly HealingStep[] = [
  { step: { kind: 'own-containers' }, isAllowed: () => true },
  { step: { kind: 'own-images' }, isAllowed: () => true },
  { step: { kind: 'dangling-images' }, isAllowed: (policy) => policy.pruneDanglingImages },
  { step: { kind: 'build-cache' }, isAllowed: (policy) => policy.pruneBuildCache },
];

/** `disks` are those that cleaning can help, as read now; `tried` the steps taken so far, whatever came of them. */
export function planHealing(
  disks: readonly DiskSlot[],
  maxDiskPercent: number,
  policy: HealingPolicy,
  tried: readonly CleanStep['kind'][],
): HealingPlan {
  const readable = disks.map(({ disk }) => disk).filter((disk) => disk !== null);
  if (readable.length === 0) return { kind: 'done', why: 'unreadable' };
  // Down to the line where claiming resumes: freeing less would only bring the next alarm.
  const enough = resumePercentOf(maxDiskPercent);
  if (readable.every((disk) => diskPressurePercent(disk) <= enough)) return { kind: 'done', why: 'enough-free' };
  const next = STEPS_BY_REGRET.find(({ step, isAllowed }) => isAllowed(policy) && !tried.includes(step.kind));
  return next ? { kind: 'step', step: next.step } : { kind: 'done', why: 'nothing-left' };
}
