/** Finds what earlier lives of this node left of containers that waited for a task, and what could not be removed in this one. */
import type { Emit } from '../../observe/events.ts';
import type { NodeId } from '../../task/id.ts';
import type { Containers } from './containers.ts';
import type { HandOvers } from './hand-overs.ts';
import { LABEL, readWarmLabels } from './labels.ts';

export interface SweepOptions {
  gridId: string;
  nodeId: NodeId;
  handOvers: HandOvers;
  /** Of this process, from before it is made until it is removed. */
  isInUse: (containerName: string) => boolean;
  emit: Emit;
}

/** Removes containers that wait for nobody, and notes of containers that are gone. @throws ExecutorError */
export async function sweepWarm(containers: Containers, options: SweepOptions): Promise<void> {
  const { emit, gridId, handOvers, isInUse, nodeId } = options;
  // Before the list: a container that is handed over meanwhile is not taken for one that is gone.
  const noted = await handOvers.noted();
  const listed = await containers.list([`${LABEL.grid}=${gridId}`, `${LABEL.node}=${nodeId}`, `${LABEL.warm}=yes`]);
  for (const { id, names, labels } of listed) {
    const name = names[0] ?? id;
    const warm = readWarmLabels(labels);
    if (warm === null || warm.gridId !== gridId || warm.nodeId !== nodeId || isInUse(name)) continue;
    if ((await handOvers.identify(id, labels)) !== null) continue; // a task's, and so for others to judge
    await containers.remove(id);
    emit('container.leftover', { container: name });
  }
  const there = new Set(listed.map(({ id }) => id));
  for (const id of noted) if (!there.has(id)) await handOvers.forget(id);
}
