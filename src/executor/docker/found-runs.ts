/** Finds the containers that this node left behind when its worker ended, so that it can take them up again. */

import type { Emit } from '../../observe/events.ts';
import type { NodeId } from '../../task/id.ts';
import type { FoundRun, RunEnd } from '../executor.ts';
import type { HandOvers } from './hand-overs.ts';
import { LABEL, readWarmLabels } from './labels.ts';
import { DockerRun, type RunContext } from './run.ts';

export interface FinderContext {
  gridId: string;
  handOvers: HandOvers;
  /** Also registers the container as one in use. */
  contextFor(container: { id: string; name: string }): RunContext;
  imageOf(imageId: string, name: string): Promise<RunEnd['image']>;
  emit: Emit;
}

/** @throws ExecutorError */
export async function findRuns(nodeId: NodeId, run: RunContext, finder: FinderContext): Promise<FoundRun[]> {
  const listed = await run.containers.list([`${LABEL.node}=${nodeId}`]);
  const nowMs = listed.length === 0 ? null : await run.facts.nowMs();
  const found: FoundRun[] = [];
  for (const { id, names, labels: given } of listed) {
    const known = await finder.handOvers.identify(id, given);
    // It has no task, so it is no run: it waits for one, or waits in vain until the pool comes by.
    if (known === null && readWarmLabels(given)?.gridId === finder.gridId) continue;
    const labels = known?.labels ?? null;
    if (known === null || labels === null || labels.gridId !== finder.gridId) {
      const reason = labels === null ? 'malformed labels' : 'another grid';
      finder.emit('container.foreign', { container: id, names, reason });
      continue;
    }
    const inspected = await run.containers.inspect(id);
    if (inspected === null) continue; // gone since it was listed
    const image = labels.image ?? (await finder.imageOf(inspected.imageId, inspected.imageId));
    const { state } = inspected;
    const context = finder.contextFor({ id, name: names[0] ?? id });
    const { waitedMs } = known;
    const startedAtMs = state.startedAtMs === null ? null : state.startedAtMs + (waitedMs ?? 0);
    // Both by the engine's clock, so ours does not matter.
    const ranMs = nowMs === null || startedAtMs === null ? 0 : Math.max(0, nowMs - startedAtMs);
    found.push({
      key: labels.key,
      attempt: labels.attempt,
      state: state.status,
      resume: (job) =>
        new DockerRun(
          {
            containerId: id,
            key: labels.key,
            program: labels.program,
            nonce: labels.nonce,
            image: { name: labels.image?.name ?? job.image, digest: image.digest },
            // Of secrets nothing outlives a worker: whoever takes the run up has to see to that.
            mask: null,
            timeoutMs: job.timeoutMs,
            remainingMs: Math.max(0, job.timeoutMs - ranMs),
            output: null,
            ended: null,
            startError: null,
            startedAtMs,
            startMs: null,
            waitedMs,
            adopted: true,
          },
          context,
        ),
      discard: async () => {
        await run.containers.remove(id);
        context.onRemoved();
      },
    });
  }
  return found;
}
