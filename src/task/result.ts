/** What became of a task: the record that stays on the branch for good. */
import type { NodeId, TaskId } from './id.ts';

export const FAILURE_REASONS = [
  'exit-code',
  'timeout',
  'out-of-memory',
  'cancelled',
  'invalid-task',
  'rejected',
  'image-unavailable',
  'lost',
] as const;
export type FailureReason = (typeof FAILURE_REASONS)[number];

export const RESULT_SCHEMA_VERSION = 1;

/** Durations in milliseconds; null where the phase did not happen or could not be measured. */
export interface Timings {
  /** From the decision to claim until the claim was known to be won. */
  claim: number | null;
  /** Pulling the image; 0 when it was there already. */
  pull: number | null;
  /** From the request to create the container until it ran. */
  start: number | null;
  /** From running until the process ended. */
  run: number | null;
  /** Collecting output and verdict after the end. */
  collect: number | null;
}

export interface ResultRecord {
  schema_version: typeof RESULT_SCHEMA_VERSION;
  task_id: TaskId;
  node_id: NodeId;
  /** 1 for the first time the task was started, one more for each further time; 0 if it never was. */
  attempt: number;
  status: 'success' | 'failed';
  reason: FailureReason | null;
  message: string;
  exit_code: number | null;
  /** Up to INLINE_OUTPUT_BYTES of UTF-8: the beginning and the end, with a mark in between. */
  stdout: string;
  stderr: string;
  /** What the task wrote, also past what was kept. */
  stdout_bytes: number;
  stderr_bytes: number;
  /** True when `stdout` is not all of it; more, up to the worker's cap, may stand beside the record as a log file. */
  stdout_truncated: boolean;
  stderr_truncated: boolean;
  /** End of the task, ISO 8601 UTC. The same instant as `finished_at`. */
  timestamp: string;
  claimed_at: string | null;
  started_at: string | null;
  finished_at: string;
  timings_ms: Timings;
  usage: { cpu_seconds: number | null; peak_memory_bytes: number | null };
  image: { name: string; digest: string | null } | null;
  /** The task as submitted (parsed JSON), or null if the file could not be read as JSON. */
  task: unknown;
  /** The Git blob id of the task file that was run. */
  spec_blob: string;
  /** Who signed the task file, by the worker's list of trusted keys; absent where no signature was looked at. */
  signer?: string | undefined;
  /** SHA-256 (hexadecimal) of the full outputs that stand beside the record; there where the record is signed. */
  log_sha256?: { stdout: string | null; stderr: string | null } | undefined;
}

/** A record and the full outputs that are too long to stand inside it. */
export interface TaskResult {
  record: ResultRecord;
  /** Present only when longer than the inline excerpt. */
  stdoutLog: Uint8Array | null;
  stderrLog: Uint8Array | null;
  /** Of the record's bytes, armoured, by the key of the node that made it; null: not signed. */
  signature: Uint8Array | null;
}

/** The file that a record is. */
export function recordBytes(record: ResultRecord): Uint8Array {
  return Buffer.from(`${JSON.stringify(record, null, 2)}\n`);
}

export const INLINE_OUTPUT_BYTES = 10 * 1024;

/** What was kept of one output stream. */
export interface CapturedOutput {
  /** The kept bytes: everything, or the beginning and end of a longer stream with a mark in between. */
  bytes: Uint8Array;
  /** What the task wrote in all. */
  totalBytes: number;
  /** True when `bytes` is not all of it. */
  truncated: boolean;
}
