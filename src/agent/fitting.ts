/**
 * Of the tasks that could be claimed, those that this machine can take on now: there is memory for each next to the others,
 * and its image is not set aside.
 *
 * While some fall to this node, it leaves the rest alone, and looks again soon: the nodes that they fall to are about to
 * claim them.
 */
import type { MemoryVerdict } from '../host/admission.ts';
import type { HeldClaim } from '../ledger/claims.ts';
import type { Candidate } from '../ledger/selection.ts';
import type { TaskId } from '../task/id.ts';
import type { TaskSpec } from '../task/spec.ts';
import type { ImageBreakers } from './image-breakers.ts';
import { MemoryPlan } from './memory-plan.ts';

export interface FittingInput {
  room: number;
  maxParallelTasks: number;
  /** What tasks in work were promised. */
  occupiedBytes: readonly number[];
  /** Claims that wait for a slot. */
  waiting: readonly Pick<HeldClaim, 'spec'>[];
  memoryFor: (neededBytes: number, promisedBytes: number) => MemoryVerdict;
  images: Pick<ImageBreakers, 'room'>;
  defaultImage: string;
  defaultMemoryBytes: number;
  leavesToOthers: boolean;
}

/** A task that there is no memory for. */
export interface Unfit {
  task: TaskId;
  bytes: number;
  /** With figures, to follow the task's name. */
  problem: string;
}

export interface Fitting {
  chosen: Candidate[];
  /** The first one, if any. */
  unfit: Unfit | null;
  leftToOthers: boolean;
}

export function chooseFitting(candidates: Iterable<Candidate>, input: FittingInput): Fitting {
  const { images, memoryFor, room } = input;
  const bytesOf = (spec: TaskSpec): number => spec.memoryBytes ?? input.defaultMemoryBytes;
  const imageOf = (spec: TaskSpec): string => spec.image ?? input.defaultImage;
  const plan = new MemoryPlan(input.maxParallelTasks);
  const ofImage = new Map<string, number>();
  const count = (image: string): unknown => ofImage.set(image, (ofImage.get(image) ?? 0) + 1);
  for (const bytes of input.occupiedBytes) plan.promise(bytes);
  for (const { spec } of input.waiting) {
    count(imageOf(spec));
    if (!plan.follows(bytesOf(spec))) plan.promise(bytesOf(spec));
  }
  const fit: Fitting = { chosen: [], unfit: null, leftToOthers: false };
  for (const candidate of candidates) {
    if (fit.chosen.length === room) break;
    if (fit.chosen.length > 0 && !candidate.falls && input.leavesToOthers) {
      fit.leftToOthers = true;
      break;
    }
    const { spec, taskId } = candidate;
    const image = imageOf(spec);
    if ((ofImage.get(image) ?? 0) >= images.room(image, spec.requires)) continue;
    const bytes = bytesOf(spec);
    if (!plan.follows(bytes)) {
      const verdict = memoryFor(bytes, plan.promisedBytes);
      if (verdict.kind !== 'fits') {
        fit.unfit ??= { task: taskId, bytes, problem: verdict.reason };
        continue;
      }
      plan.promise(bytes);
    }
    count(image);
    fit.chosen.push(candidate);
  }
  return fit;
}
