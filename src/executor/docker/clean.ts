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
  /** Removes what waits for a task. @returns how many that were. */
  emptyPool(): Promise<number>;
  emit: Emit;
}

/** @throws ExecutorError */
export async function clean(step: CleanStep, context: CleanContext, signal?: AbortSignal): Promise<CleanReport> {
  return { step: step.kind, removed: await carryOut(step, context, signal) };
}

async function carryOut(step: CleanStep, context: CleanContext, signal?: AbortSignal): Promise<string[]> {
  switch (step.kind) {
    case 'own-containers':
      return await removeContainers(context, signal);
    case 'waiting-containers':
      return Array.from({ length: await context.emptyPool() }, () => 'a container that waited for a task');
    case 'own-image':
      return await removeOwnImage(step.image, context, signal);
    case 'dangling-images':
      return await removeDangling(context, signal);
    case 'build-cache':
      return await pruneBuildCache(context, signal);
  }
}

interface EndedContainer {
  id: string;
  name: string;
  key: RunKey;
}

/** Of this node and grid, and needed by nobody. @throws ExecutorError */
export async function endedContainers(
  context: Pick<CleanContext, 'containers' | 'handOvers' | 'gridId' | 'nodeId' | 'isInUse'>,
  signal?: AbortSignal,
): Promise<EndedContainer[]> {
  const { containers, handOvers, gridId, nodeId } = context;
  const ended: EndedContainer[] = [];
  const listed = await containers.list([`${LABEL.grid}=${gridId}`, `${LABEL.node}=${nodeId}`], signal);
  for (const { id, names, labels, status } of listed) {
    const read = (await handOvers.identify(id, labels))?.labels;
    if (read === undefined || read.gridId !== gridId || read.key.nodeId !== nodeId) continue;
    if (status === 'running' || context.isInUse(names[0] ?? id, read.key)) continue;
    ended.push({ id, name: names[0] ?? id, key: read.key });
  }
  return ended;
}

async function removeContainers(context: CleanContext, signal?: AbortSignal): Promise<string[]> {
  const removed: string[] = [];
  for (const { id, key, name } of await endedContainers(context, signal)) {
    signal?.throwIfAborted();
    // Taken up again since it was listed.
    if (context.isInUse(name, key)) continue;
    await context.containers.remove(id);
    removed.push(name);
    context.emit('container.leftover', { container: name, task_id: key.taskId, epoch: key.epoch });
  }
  return removed;
}

async function removeOwnImage(name: string, context: CleanContext, signal?: AbortSignal): Promise<string[]> {
  const { images, owned } = context;
  const known = (await owned.list()).find((image) => image.name === name);
  const unusedMs = images.unusedMs(name);
  // Asked for since it was proposed.
  if (known === undefined || (unusedMs !== null && unusedMs < IMAGE_REST_MS)) return [];
  const found = await images.inspect(name, signal);
  if (found === null || found.id !== known.id) {
    await owned.forget(name); // removed, or replaced, by somebody else
    return [];
  }
  if (!(await removeImage(context.engine, name, signal))) return [];
  await owned.forget(name);
  return [name];
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
