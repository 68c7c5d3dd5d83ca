/**
 * What workers said of their swaps and starts, out of their logs (at the level `debug`). The last lines of a worker that
 * was killed may be missing, so that something is not said proves nothing.
 */
import type { Oid, RefName } from '../../../src/git/oid.ts';
import type { TaskId } from '../../../src/task/id.ts';
import type { SwapTry, TaskStart } from './history.ts';

/** A line of a worker's log, as far as it matters here. */
export interface WorkerLogEntry {
  event: string;
  time: string;
  [field: string]: unknown;
}

export class WorkerHistory {
  readonly tries: SwapTry[] = [];
  readonly starts: TaskStart[] = [];

  /** Entries of one node, in any order; those of several lives may follow each other. */
  take(node: string, entries: Iterable<WorkerLogEntry>): this {
    for (const entry of entries) {
      if (entry.event === 'swap.settled') this.tries.push(tryOf(node, entry));
      else if (entry.event === 'task.started') this.starts.push(startOf(node, entry));
    }
    return this;
  }
}

function tryOf(node: string, entry: WorkerLogEntry): SwapTry {
  const { from, outcome, ref, sent_ms, settled_ms, to } = entry as unknown as {
    ref: RefName;
    from: Oid | null;
    to: Oid | null;
    outcome: SwapTry['outcome'];
    sent_ms: number;
    settled_ms: number;
  };
  return { node, ref, from, to, sentMs: sent_ms, settledMs: settled_ms, outcome };
}

function startOf(node: string, entry: WorkerLogEntry): TaskStart {
  const { attempt, epoch, incarnation, task, time } = entry as unknown as {
    task: TaskId;
    attempt: number;
    epoch: number;
    incarnation: string;
    time: string;
  };
  return { node, incarnation, taskId: task, epoch, attempt, timeMs: Date.parse(time) };
}
