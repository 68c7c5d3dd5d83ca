/** What a history amounts to. */
import type { Examination } from './check.ts';

export interface Figures {
  changes: number;
  /** Ids that were ever queued. */
  tasks: number;
  records: number;
  starts: number;
  /** Tasks with more than one start, for whatever reason. */
  startedMoreThanOnce: number;
  /** Claims taken from owners that were gone. */
  takeovers: number;
  adoptions: number;
  /** Nodes declared dead. */
  fencings: number;
  /** Results and hand-backs that came too late: sent by the owner of a claim when the task was somebody else's by then. */
  lateResultsRejected: number;
}

export function figuresOf({ history, model }: Examination): Figures {
  const startsOf = new Map<string, number>();
  for (const { taskId } of history.starts) startsOf.set(taskId, (startsOf.get(taskId) ?? 0) + 1);
  return {
    changes: history.changes.length,
    tasks: model.everQueued.size,
    records: model.records.size,
    starts: history.starts.length,
    startedMoreThanOnce: [...startsOf.values()].filter((count) => count > 1).length,
    takeovers: model.takeovers,
    adoptions: model.adoptions,
    fencings: model.fencings,
    lateResultsRejected: history.tries.filter(
      ({ from, node, outcome }) => outcome === 'lost' && from !== null && model.ownerOf.get(from) === node,
    ).length,
  };
}
