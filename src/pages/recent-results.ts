/**
 * The latest results that somebody saw come in, in the order in which he did. Some are known in full, from their records;
 * of others only what their state or their place on the branch says.
 */
import type { TaskId } from '../task/id.ts';
import type { FailureReason, ResultRecord } from '../task/result.ts';
import { cut } from './foreign.ts';
import { MAX_MESSAGE_LENGTH, MAX_NAME_LENGTH, MAX_RECENT_ROWS } from './limits.ts';

export interface RecentResult {
  taskId: TaskId;
  status: 'success' | 'failed';
  reason: FailureReason | null;
  message: string | null;
  nodeId: string | null;
  attempt: number;
  image: string | null;
  claimedAt: string | null;
  startedAt: string | null;
  finishedAt: string | null;
  runMs: number | null;
  /** Whether all of it comes from its record. */
  isWhole: boolean;
}

export class RecentResults {
  /** The oldest first. */
  readonly #results = new Map<TaskId, RecentResult>();

  /** What is known in full takes the place of what is not, and nothing takes its own. @returns whether it is a new one. */
  add(result: RecentResult): boolean {
    const known = this.#results.get(result.taskId);
    if (known) {
      if (result.isWhole && !known.isWhole) this.#results.set(result.taskId, result);
      return false;
    }
    this.#results.set(result.taskId, result);
    const [oldest] = this.#results.size > MAX_RECENT_ROWS ? this.#results.keys() : [];
    if (oldest !== undefined) this.#results.delete(oldest);
    return true;
  }

  has(id: TaskId): boolean {
    return this.#results.has(id);
  }

  get(id: TaskId): RecentResult | null {
    return this.#results.get(id) ?? null;
  }

  /** The newest first. */
  newest(): RecentResult[] {
    return [...this.#results.values()].toReversed();
  }
}

export function recentOf(record: ResultRecord): RecentResult {
  return {
    taskId: record.task_id,
    status: record.status,
    reason: record.reason,
    message: record.message === '' ? null : cut(record.message, MAX_MESSAGE_LENGTH),
    nodeId: record.node_id,
    attempt: record.attempt,
    image: record.image === null ? null : cut(record.image.name, MAX_NAME_LENGTH),
    claimedAt: record.claimed_at,
    startedAt: record.started_at,
    finishedAt: record.finished_at,
    runMs: record.timings_ms.run,
    isWhole: true,
  };
}

/** Of a result of which nothing else is known. */
export function bareResult(taskId: TaskId, status: RecentResult['status']): RecentResult {
  return {
    taskId,
    status,
    reason: null,
    message: null,
    nodeId: null,
    attempt: 0,
    image: null,
    claimedAt: null,
    startedAt: null,
    finishedAt: null,
    runMs: null,
    isWhole: false,
  };
}
