/** From what happened to the record that tells it. Pure. */
import type { RunEnd } from '../executor/executor.ts';
import { isoTime } from '../runtime.ts';
import { excerptOf } from '../task/excerpt.ts';
import {
  type CapturedOutput,
  type FailureReason,
  RESULT_SCHEMA_VERSION,
  type ResultRecord,
  type TaskResult,
} from '../task/result.ts';
import type { TaskFacts } from '../task/unstarted.ts';

const CUT = 'the engine was away when it ended, so the last of its output may be missing';

const WITHHELD =
  'its output is left out: it had secrets, and the worker that could have masked them was restarted meanwhile';

export interface Judgement {
  status: 'success' | 'failed';
  reason: FailureReason | null;
  message: string;
  exitCode: number | null;
}

export function runResult(
  facts: TaskFacts,
  judgement: Judgement,
  end: RunEnd,
  claim: { claimedAtMs: number; claimMs: number },
): TaskResult {
  const stdout = excerptOf(end.stdout);
  const stderr = excerptOf(end.stderr);
  const { timingsMs } = end;
  const record: ResultRecord = {
    schema_version: RESULT_SCHEMA_VERSION,
    task_id: facts.taskId,
    node_id: facts.nodeId,
    attempt: facts.attempt,
    status: judgement.status,
    reason: judgement.reason,
    message: [judgement.message, ...remarksOn(end)].join('; '),
    exit_code: judgement.exitCode,
    stdout: stdout.text,
    stderr: stderr.text,
    stdout_bytes: end.stdout.totalBytes,
    stderr_bytes: end.stderr.totalBytes,
    stdout_truncated: !stdout.whole || end.outputIsCut === true,
    stderr_truncated: !stderr.whole || end.outputIsCut === true,
    timestamp: isoTime(end.finishedAtMs),
    claimed_at: isoTime(claim.claimedAtMs),
    started_at: end.startedAtMs === null ? null : isoTime(end.startedAtMs),
    finished_at: isoTime(end.finishedAtMs),
    timings_ms: {
      claim: rounded(claim.claimMs),
      pull: rounded(timingsMs.pull),
      start: rounded(timingsMs.start),
      run: rounded(timingsMs.run),
      collect: rounded(timingsMs.collect),
    },
    usage: { cpu_seconds: end.usage.cpuSeconds, peak_memory_bytes: end.usage.peakMemoryBytes },
    image: end.image,
    task: facts.task,
    spec_blob: facts.specBlob,
    ...(facts.signer ? { signer: facts.signer } : {}),
  };
  return {
    record,
    stdoutLog: logOf(end.stdout, stdout),
    stderrLog: logOf(end.stderr, stderr),
    signature: null,
  };
}

function remarksOn(end: RunEnd): string[] {
  return [...(end.outputIsCut ? [CUT] : []), ...(end.outputIsWithheld ? [WITHHELD] : [])];
}

/** The same without what the task wrote, but for how much that was. */
export function withheld(end: RunEnd): RunEnd {
  const without = (output: CapturedOutput) => ({
    bytes: new Uint8Array(0),
    totalBytes: output.totalBytes,
    truncated: output.truncated || output.totalBytes > 0,
  });
  // Such a message quotes what was written too.
  const { verdict: told } = end;
  const verdict = told.kind === 'unstartable' ? { ...told, message: 'its program could not be started' } : told;
  return { ...end, verdict, stdout: without(end.stdout), stderr: without(end.stderr), outputIsWithheld: true };
}

/** A file of its own where the record does not say all that was kept: too long, or not text. */
function logOf(output: CapturedOutput, excerpt: { whole: boolean; lossy: boolean }): Uint8Array | null {
  return output.bytes.length > 0 && (!excerpt.whole || excerpt.lossy) ? output.bytes : null;
}

function rounded(ms: number | null): number | null {
  return ms === null ? null : Math.max(0, Math.round(ms));
}

/** What a run's end means for the task; null when it says nothing about it (lost, handed back, fenced). */
export function judge(end: RunEnd, timeoutMs: number): Judgement | null {
  const { verdict } = end;
  switch (verdict.kind) {
    case 'exited':
      return judgeExit(verdict);
    case 'unstartable':
      return { status: 'failed', reason: 'exit-code', message: verdict.message, exitCode: verdict.exitCode };
    case 'vanished':
      return null;
    case 'stopped':
      switch (verdict.reason) {
        case 'timeout': {
          const message = `stopped after its time limit of ${timeoutMs / 1000} s (timeout_seconds)`;
          return { status: 'failed', reason: 'timeout', message, exitCode: verdict.exitCode };
        }
        case 'withdrawn':
        case 'cancelled': {
          const message =
            verdict.reason === 'withdrawn' ? 'stopped: its file was removed from the queue' : 'stopped: cancelled';
          return { status: 'failed', reason: 'cancelled', message, exitCode: verdict.exitCode };
        }
        case 'handed-back':
        case 'fenced':
          return null;
      }
  }
}

function judgeExit(verdict: { exitCode: number; outOfMemory: boolean; childOutOfMemory?: boolean }): Judgement {
  const { exitCode } = verdict;
  if (verdict.outOfMemory) {
    const message = 'a process was killed because the memory limit was reached (memory)';
    return { status: 'failed', reason: 'out-of-memory', message, exitCode };
  }
  if (exitCode !== 0) {
    return { status: 'failed', reason: 'exit-code', message: `exited with code ${exitCode}`, exitCode };
  }
  const message = verdict.childOutOfMemory
    ? 'finished, although one of its processes was killed at the memory limit'
    : 'finished';
  return { status: 'success', reason: null, message, exitCode };
}
