/** Records of tasks that were settled without a run: invalid, rejected, cancelled, lost. */
import type { NodeId, TaskId } from './id.ts';
import { type FailureReason, RESULT_SCHEMA_VERSION, type ResultRecord, type TaskResult } from './result.ts';

export interface TaskFacts {
  taskId: TaskId;
  nodeId: NodeId;
  attempt: number;
  /** The task as submitted. */
  task: unknown;
  specBlob: string;
  /** null: no signature was looked at, or none was accepted. */
  signer?: string | null;
}

/** The record of a task that was never started, or whose run left nothing to tell. */
export function unstartedResult(
  facts: TaskFacts,
  reason: FailureReason,
  message: string,
  timestamp: string,
  extra: { claimedAt?: string; claimMs?: number; image?: ResultRecord['image'] } = {},
): TaskResult {
  const record: ResultRecord = {
    schema_version: RESULT_SCHEMA_VERSION,
    task_id: facts.taskId,
    node_id: facts.nodeId,
    attempt: facts.attempt,
    status: 'failed',
    reason,
    message,
    exit_code: null,
    stdout: '',
    stderr: '',
    stdout_bytes: 0,
    stderr_bytes: 0,
    stdout_truncated: false,
    stderr_truncated: false,
    timestamp,
    claimed_at: extra.claimedAt ?? null,
    started_at: null,
    finished_at: timestamp,
    timings_ms: {
      claim: extra.claimMs === undefined ? null : Math.round(extra.claimMs),
      pull: null,
      start: null,
      run: null,
      collect: null,
    },
    usage: { cpu_seconds: null, peak_memory_bytes: null },
    image: extra.image ?? null,
    task: facts.task,
    spec_blob: facts.specBlob,
    ...(facts.signer ? { signer: facts.signer } : {}),
  };
  return { record, stdoutLog: null, stderrLog: null, signature: null };
}
