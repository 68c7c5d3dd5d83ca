/** Finds the containers that this node left behind when its worker ended, so that it can take them up again. */

import type { Emit } from '../../observe/events.ts';
import type { NodeId } from '../../task/id.ts';
import type { FoundRun, RunEnd } from '../executor.ts';
import { LABEL, readLabels } from './labels.ts';
import { DockerRun, type RunContext } from './run.ts';

export interface FinderContext {
  gridId: string;
  /** Also registers the container as one in use. */
  contextFor(containerName: string): RunContext;
  imageOf(imageId: string, name: string): Promise<RunEnd['image']>;
  emit: Emit;
}

/** @throws ExecutorError */
export async function findRuns(nodeId: NodeId, run: RunContext, finder: FinderContext): Promise<FoundRun[]> {
  const listed = await run.containers.list([`${LABEL.node}=${nodeId}`]);
  const nowMs = listed.length === 0 ? null : await run.facts.nowMs();
  const found: FoundRun[] = [];
  for (const { id, names, labels: given } of listed) {
    const labels = readLabels(given);
    if (labels === null || labels.gridId !== finder.gridId) {
      const reason = labels === null ? 'malformed labels' : 'another grid';
      finder.emit('container.foreign', { container: id, names, reason });
      continue;
    }
    const inspected = await run.containers.inspect(id);
    if (inspected === null) continue; // gone since it was listed
    const image = await finder.imageOf(inspected.imageId, inspected.imageId);
    const { state } = inspected;
    const context = finder.contextFor(names[0] ?? id);
    // Both by the engine's clock, so ours does not matter.
    const ranMs = nowMs === null || state.startedAtMs === null ? 0 : Math.max(0, nowMs - state.startedAtMs);
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
            image: { name: job.image, digest: image.digest },
            timeoutMs: job.timeoutMs,
            remainingMs: Math.max(0, job.timeoutMs - ranMs),
            output: null,
            ended: null,
            startError: null,
            startedAtMs: state.startedAtMs,
            startMs: null,
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
