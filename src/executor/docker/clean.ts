/**
 * Frees disk space, one step at a time. The engine is shared with others: things are listed, each is checked to be ours by
 * all that makes it ours, and removed by its own name, never by force. The prune calls of the engine take what belongs to
 * anybody, so the only one made is for the build cache, when the operator asked for it.
 */
import type { DockerSettings } from '../../config/settings.ts';
import type { Emit } from '../../observe/events.ts';
import type { NodeId } from '../../task/id.ts';
import type { CleanReport, CleanStep, RunKey } from '../executor.ts';
import type { Containers } from './containers.ts';
import { type Engine, hasStatus } from './engine.ts';
import type { HandOvers } from './hand-overs.ts';
import type { Images } from './images.ts';
import { LABEL } from './labels.ts';
import type { OwnedImages } from './owned-images.ts';

/** An image that was asked for so recently may be about to be started, with no container to protect it yet. */
export const IMAGE_REST_MS = 10 * 60_000;
/** Deleting layers from a full disk takes its time. */
const REMOVAL_TIMEOUT_MS = 120_000;

export interface CleanContext {
  engine: Engine;
  containers: Containers;
  images: Images;
  owned: OwnedImages;
  handOvers: HandOvers;
  settings: Pick<DockerSettings, 'pruneDanglingImages' | 'pruneBuildCache'>;
  gridId: string;
  nodeId: NodeId;
  /** True while a container by this name or for this run may still be needed. */
  isInUse(containerName: string, key: RunKey): boolean;
  emit: Emit;
}

/** @throws ExecutorError */
export async function clean(step: CleanStep, context: CleanContext, signal?: AbortSignal): Promise<CleanReport> {
  return { step: step.kind, removed: await STEPS[step.kind](context, signal) };
}

type StepAction = (context: CleanContext, signal?: AbortSignal) => Promise<string[]>;
const STEPS: Readonly<Record<CleanStep['kind'], StepAction>> = {
  'own-containers': removeContainers,
  'own-images': removeImages,
  'dangling-images': removeDangling,
  'build-cache': pruneBuildCache,
};

async function removeContainers(context: CleanContext, signal?: AbortSignal): Promise<string[]> {
  const { containers, handOvers, gridId, nodeId, emit } = context;
  const removed: string[] = [];
  const listed = await containers.list([`${LABEL.grid}=${gridId}`, `${LABEL.node}=${nodeId}`], signal);
  for (const { id, names, labels, status } of listed) {
    signal?.throwIfAborted();
    const read = (await handOvers.identify(id, labels))?.labels;
    if (read === undefined || read.gridId !== gridId || read.key.nodeId !== nodeId) continue;
    if (status === 'running' || context.isInUse(names[0] ?? id, read.key)) continue;
    await containers.remove(id);
    removed.push(names[0] ?? id);
    emit('container.leftover', { container: names[0] ?? id, task_id: read.key.taskId, epoch: read.key.epoch });
  }
  return removed;
}

async function removeImages(context: CleanContext, signal?: AbortSignal): Promise<string[]> {
  const { images, owned } = context;
  const removed: string[] = [];
  for (const { name, id } of await owned.list()) {
    signal?.throwIfAborted();
    const unusedMs = images.unusedMs(name);
    if (unusedMs !== null && unusedMs < IMAGE_REST_MS) continue;
    const found = await images.inspect(name, signal);
    if (found === null || found.id !== id) {
      await owned.forget(name); // removed, or replaced, by somebody else
      continue;
    }
    if (!(await removeImage(context.engine, name, signal))) continue;
    await owned.forget(name);
    removed.push(name);
  }
  return removed;
}

async function removeDangling(context: CleanContext, signal?: AbortSignal): Promise<string[]> {
  if (!context.settings.pruneDanglingImages) return [];
  const listed = await context.engine.json<{ Id: string }[]>({
    method: 'GET',
    path: '/images/json',
    query: { filters: JSON.stringify({ dangling: ['true'] }) },
    ...(signal ? { signal } : {}),
  });
  const removed: string[] = [];
  for (const { Id } of listed) {
    signal?.throwIfAborted();
    if (await removeImage(context.engine, Id, signal)) removed.push(Id);
  }
  return removed;
}

/**
 * Without force: the engine itself refuses (409) while a container, running or not, was made from it. Untagged parents
 * stay: they were never ours.
 */
async function removeImage(engine: Engine, nameOrId: string, signal?: AbortSignal): Promise<boolean> {
  try {
    await engine.json({
      method: 'DELETE',
      path: `/images/${nameOrId}`,
      query: { force: false, noprune: true },
      timeoutMs: REMOVAL_TIMEOUT_MS,
      ...(signal ? { signal } : {}),
    });
    return true;
  } catch (error) {
    if (hasStatus(error, 404)) return true;
    if (hasStatus(error, 409)) return false;
    throw error;
  }
}

async function pruneBuildCache({ engine, settings }: CleanContext, signal?: AbortSignal): Promise<string[]> {
  if (!settings.pruneBuildCache) return [];
  const answer = await engine.json<{ CachesDeleted?: string[] | null } | null>({
    method: 'POST',
    path: '/build/prune',
    timeoutMs: REMOVAL_TIMEOUT_MS,
    ...(signal ? { signal } : {}),
  });
  return answer?.CachesDeleted ?? [];
}
