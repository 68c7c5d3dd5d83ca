/**
 * What to remove when a disk fills up. Pure: readings, what could be removed and what was tried go in, the next step comes
 * out.
 *
 * The steps stand in the order of least regret: first what nobody will miss, then what is made again in a moment, then what
 * has to be fetched again; things that are not the worker's own only with the operator's leave; and last the image that
 * nearly every task needs. A step is taken only where it frees what is short: bytes or inodes, on the disk that lacks them.
 */
import type { CleanStep } from '../executor/executor.ts';
import { resumePercentOf } from './admission.ts';
import type { DiskReading, DiskSlot } from './reading.ts';

/** What the engine can free, and what this machine's own files can. */
export type HealingStep =
  | CleanStep
  /** Files that a crash left in places of ours. */
  | { kind: 'leftovers' }
  /** Git packs the local clone anew, and drops what nothing refers to. */
  | { kind: 'clone-upkeep' }
  /** The local clone is thrown away and fetched again. */
  | { kind: 'clone-renewal' };

type FileStep = Exclude<HealingStep, CleanStep>;

/** Whether it concerns files of the worker, and not the engine. */
export function isOfFiles(step: HealingStep): step is FileStep {
  return step.kind === 'leftovers' || step.kind === 'clone-upkeep' || step.kind === 'clone-renewal';
}

export interface HealingCandidate {
  step: HealingStep;
  /** One of the disks' paths: where it frees. */
  path: string;
  /** What it is likely to free; 0: none, null: not known before. */
  bytes: number | null;
  inodes: number | null;
  /** Only when nothing else has helped. */
  isLastResort: boolean;
}

export interface HealingPolicy {
  pruneDanglingImages: boolean;
  pruneBuildCache: boolean;
}

export type HealingPlan =
  | { kind: 'step'; candidate: HealingCandidate }
  /** `unreadable`: no disk can be read, so nothing tells that removing helps, nor when to stop. */
  | { kind: 'done'; why: 'enough-free' | 'nothing-left' | 'unreadable' };

const KINDS_BY_REGRET: readonly HealingStep['kind'][] = [
  'leftovers',
  'own-containers',
  'waiting-containers',
  'clone-upkeep',
  'own-image',
  'clone-renewal',
  'dangling-images',
  'build-cache',
];

/** What is the same step is not taken twice, however often it is proposed. */
export function keyOf(step: HealingStep): string {
  return step.kind === 'own-image' ? `${step.kind} ${step.image}` : step.kind;
}

/** `candidates` of equal regret are taken in their order; `isSpent`: tried already, or in vain lately. */
export function planHealing(
  disks: readonly DiskSlot[],
  maxDiskPercent: number,
  policy: HealingPolicy,
  candidates: readonly HealingCandidate[],
  isSpent: (key: string) => boolean,
): HealingPlan {
  const readable = disks.flatMap(({ path, disk }) => (disk === null ? [] : [{ path, disk }]));
  if (readable.length === 0) return { kind: 'done', why: 'unreadable' };
  const short = readable
    .map(({ path, disk }) => ({ path, ...shortageOf(disk, maxDiskPercent) }))
    .filter(({ bytes, inodes }) => bytes || inodes);
  if (short.length === 0) return { kind: 'done', why: 'enough-free' };
  const [next] = candidates
    .filter(({ step }) => isAllowed(step, policy) && !isSpent(keyOf(step)))
    .filter((candidate) => short.some((shortage) => helps(candidate, shortage)))
    .toSorted((a, b) => regretOf(a) - regretOf(b));
  return next ? { kind: 'step', candidate: next } : { kind: 'done', why: 'nothing-left' };
}

/** Down to the line where claiming resumes: freeing less would only bring the next alarm. */
function shortageOf(disk: DiskReading, maxDiskPercent: number): { bytes: boolean; inodes: boolean } {
  const enough = resumePercentOf(maxDiskPercent);
  return { bytes: disk.usedPercent > enough, inodes: (disk.inodesUsedPercent ?? 0) > enough };
}

function helps(candidate: HealingCandidate, shortage: { path: string; bytes: boolean; inodes: boolean }): boolean {
  if (candidate.path !== shortage.path) return false;
  return (shortage.bytes && candidate.bytes !== 0) || (shortage.inodes && candidate.inodes !== 0);
}

function isAllowed({ kind }: HealingStep, policy: HealingPolicy): boolean {
  if (kind === 'dangling-images') return policy.pruneDanglingImages;
  return kind !== 'build-cache' || policy.pruneBuildCache;
}

function regretOf({ isLastResort, step }: HealingCandidate): number {
  return isLastResort ? KINDS_BY_REGRET.length : KINDS_BY_REGRET.indexOf(step.kind);
}
