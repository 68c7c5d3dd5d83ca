/** Gets a task its image, as far as that is worth asking for. */
import type { Executor, ExecutorError } from '../executor/executor.ts';
import type { Emit } from '../observe/events.ts';
import type { TaskId } from '../task/id.ts';
import type { ImageBreakers } from './image-breakers.ts';

export interface TaskImageParts {
  executor: Pick<Executor, 'ensureImage'>;
  images: Pick<ImageBreakers, 'admit'>;
  emit: Emit;
}

export type ImageOutcome =
  | { kind: 'had'; image: Awaited<ReturnType<Executor['ensureImage']>> }
  /** Other nodes may have it. */
  | { kind: 'leave' }
  | { kind: 'unavailable'; message: string };

/** @throws ExecutorError of the other kinds; whatever there is when the task is being stopped. */
export async function obtainImage(
  parts: TaskImageParts,
  task: TaskId,
  { image, requires }: { image: string; requires: readonly string[] },
  signal: AbortSignal,
): Promise<ImageOutcome> {
  const { emit, executor, images } = parts;
  const admission = images.admit(image, requires);
  if (admission.kind === 'leave') return admission;
  if (admission.kind === 'give-up') {
    const { problem } = admission;
    emit('image.unavailable', { task, image, asked: false, problem });
    const message = `${problem}; not asked for once more, since no live node could get it lately`;
    return { kind: 'unavailable', message };
  }
  try {
    const had = await executor.ensureImage(image, signal);
    admission.settle('had');
    return { kind: 'had', image: had };
  } catch (error) {
    const failure = error as ExecutorError;
    if (signal.aborted || failure.kind !== 'image-unavailable') throw error;
    admission.settle('unavailable', failure.message);
    emit('image.unavailable', { task, image, err: error });
    return { kind: 'unavailable', message: failure.message };
  } finally {
    admission.settle('unknown');
  }
}
