/** How much is queued, by priority. Counted anew only when the queue is another one, so that asking often costs nothing. */
import type { GridReader } from '../ledger/grid-view.ts';
import type { QueueIndex } from '../ledger/queue-index.ts';
import type { SpecCache } from '../ledger/spec-cache.ts';
import type { Priority } from '../task/task-schema.ts';

export interface QueueDepth extends Record<Priority, number> {
  /** Read, and not legal. */
  invalid: number;
  /** Files whose name is no task id. */
  illegal_names: number;
}

/** Files that were not read yet count as nothing. */
export function queueDepthOf(reader: Pick<GridReader, 'view'>, specs: Pick<SpecCache, 'brief'>): () => QueueDepth {
  let counted: { queue: QueueIndex; isWhole: boolean; depth: QueueDepth } | null = null;
  return () => {
    const { queue } = reader.view;
    if (counted?.queue === queue && counted.isWhole) return counted.depth;
    const depth: QueueDepth = {
      critical: 0,
      high: 0,
      medium: 0,
      low: 0,
      invalid: 0,
      illegal_names: queue.illegalPaths.length + queue.moreIllegalPaths,
    };
    let isWhole = true;
    for (const file of queue.files.values()) {
      const brief = specs.brief(file);
      if (brief === null) isWhole = false;
      else depth[brief.ok ? brief.priority : 'invalid'] += 1;
    }
    counted = { queue, isWhole, depth };
    return depth;
  };
}
