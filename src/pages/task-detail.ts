/** All that is known of single tasks, with what they wrote. Reads records and task files as far as it is asked to. */
import type { Oid } from '../git/oid.ts';
import { type Namespace, taskRef } from '../ledger/names.ts';
import { type FoundResult, type ResultReader, readOutput, readResults, type StreamOutput } from '../ledger/results.ts';
import { standingOf, type TaskStanding } from '../ledger/task-standing.ts';
import type { TaskId } from '../task/id.ts';
import type { ResultRecord } from '../task/result.ts';
import { parseTaskFile } from '../task/spec.ts';
import { LONGEST_TIMEOUT_SECONDS } from '../task/task-schema.ts';
import { cut } from './foreign.ts';
import { MAX_NAME_LENGTH, MAX_OUTPUT_STREAM_BYTES } from './limits.ts';
import type { LiveOutput, RunningTask } from './live-outputs.ts';
import { PAGES_SCHEMA_VERSION, PHASES, type TaskDetail, type TaskRow } from './model.ts';
import { outputText } from './output-text.ts';
import { bareResult, type RecentResult, recentOf } from './recent-results.ts';
import { openRow, type RowParts, resultRow } from './task-rows.ts';

export interface DetailParts extends RowParts {
  reader: ResultReader;
  namespace: Namespace;
  maxTaskBytes: number;
  /** What was seen of it; null: nothing. */
  recentOf: (id: TaskId) => RecentResult | null;
  /** Of those that run; never throws. */
  readLive: (running: readonly RunningTask[]) => Promise<ReadonlyMap<TaskId, LiveOutput>>;
}

export interface FoundDetail {
  detail: TaskDetail;
  /** For whoever knows less of it. */
  record: ResultRecord | null;
}

/** Tasks that there are not are absent. @throws GitError */
export async function readDetails(ids: readonly TaskId[], parts: DetailParts): Promise<Map<TaskId, FoundDetail>> {
  const { reader, view } = parts;
  const results = await readResults(reader, view, ids);
  const open = ids.filter((id) => !results.has(id));
  const [tasks, lives] = await Promise.all([readTasks(open, parts), parts.readLive(runningOf(open, parts))]);
  const details = new Map<TaskId, FoundDetail>();
  for (const id of ids) {
    const result = results.get(id) ?? null;
    const record = result?.ok ? result.record : null;
    const row = rowOf(id, result, parts);
    if (!row) continue;
    const outputs = record ? await outputsOf(record, parts) : null;
    const live = lives.get(id);
    const detail: TaskDetail = {
      schema_version: PAGES_SCHEMA_VERSION,
      row,
      task: record ? record.task : (tasks.get(id) ?? null),
      exit_code: record?.exit_code ?? null,
      phases: record ? PHASES.map((phase) => ({ phase, ms: record.timings_ms[phase] })) : [],
      usage: record
        ? { cpu_seconds: record.usage.cpu_seconds, peak_memory_bytes: record.usage.peak_memory_bytes }
        : null,
      stdout: outputs ? outputText(outputs.stdout) : (live?.stdout ?? null),
      stderr: outputs ? outputText(outputs.stderr) : (live?.stderr ?? null),
      live: live?.liveness ?? null,
      provenance: provenanceOf(id, record, parts),
    };
    details.set(id, { detail, record });
  }
  return details;
}

/** One stream of a task with a result, its end where it is long; null: there is no such result. @throws GitError */
export async function readStream(
  id: TaskId,
  name: 'stdout' | 'stderr',
  { reader, view }: Pick<DetailParts, 'reader' | 'view'>,
): Promise<StreamOutput | null> {
  const result = (await readResults(reader, view, [id])).get(id);
  if (!result?.ok) return null;
  const { [name]: output } = await readOutput(reader, view, result.record, MAX_OUTPUT_STREAM_BYTES);
  return output;
}

function runningOf(ids: readonly TaskId[], { view }: DetailParts): RunningTask[] {
  return ids.flatMap((taskId) => {
    const standing = standingOf(view, taskId);
    return standing.kind === 'claimed' ? [{ taskId, claim: standing.state }] : [];
  });
}

function rowOf(id: TaskId, result: FoundResult | null, parts: DetailParts): TaskRow | null {
  if (result?.ok) return resultRow(recentOf(result.record), result.recorded);
  const seen = parts.recentOf(id);
  const standing = standingOf(parts.view, id);
  if (result) {
    const status = 'status' in standing ? standing.status : standing.kind === 'finished' ? standing.state.status : null;
    const row = seen ?? bareResult(id, status ?? 'failed');
    return { ...resultRow(row, result.recorded), note: cut(result.problem, MAX_NAME_LENGTH) };
  }
  // Its result was made here a moment ago, and is still on its way into its ref.
  return openRow(id, parts) ?? (seen && resultRow(seen, false));
}

/** The JSON of task files, as far as it is legal to keep. */
async function readTasks(ids: readonly TaskId[], parts: DetailParts): Promise<Map<TaskId, unknown>> {
  const { maxTaskBytes, reader, view } = parts;
  const blobs = new Map<TaskId, Oid>();
  for (const id of ids) {
    const standing = standingOf(view, id);
    const blob = view.queue.files.get(id)?.blob ?? ('state' in standing ? standing.state.specBlob : null);
    if (blob) blobs.set(id, blob);
  }
  const found =
    blobs.size > 0 ? await reader.repository.readBlobs([...blobs.values()], maxTaskBytes, reader.signal) : null;
  const tasks = new Map<TaskId, unknown>();
  for (const [id, blob] of blobs) {
    const file = found?.get(blob);
    if (file?.kind !== 'content') continue;
    const limits = { maxTaskBytes, maxTimeoutSeconds: LONGEST_TIMEOUT_SECONDS };
    tasks.set(id, parseTaskFile(file.content, id, limits).raw);
  }
  return tasks;
}

async function outputsOf(
  record: ResultRecord,
  { reader, view }: DetailParts,
): Promise<{ stdout: StreamOutput; stderr: StreamOutput }> {
  if (record.stdout_truncated || record.stderr_truncated) {
    return await readOutput(reader, view, record, MAX_OUTPUT_STREAM_BYTES);
  }
  const whole = (text: string, totalBytes: number): StreamOutput => ({
    bytes: Buffer.from(text),
    totalBytes,
    whole: true,
  });
  return {
    stdout: whole(record.stdout, record.stdout_bytes),
    stderr: whole(record.stderr, record.stderr_bytes),
  };
}

function provenanceOf(id: TaskId, record: ResultRecord | null, parts: DetailParts): TaskDetail['provenance'] {
  const { namespace, view } = parts;
  const standing: TaskStanding = standingOf(view, id);
  const state = 'state' in standing ? standing.state : null;
  const known = view.tasks.get(id);
  return {
    queue_path: view.queue.files.get(id)?.path ?? null,
    spec_blob: record?.spec_blob ?? state?.specBlob ?? view.queue.files.get(id)?.blob ?? null,
    record_path: standing.kind === 'recorded' ? standing.path : null,
    commit: view.tip,
    state_ref: known ? taskRef(namespace, id) : null,
    state_commit: known?.oid ?? null,
    node_id: record?.node_id ?? state?.nodeId ?? null,
    epoch: state?.epoch ?? null,
    image: record?.image ? cut(record.image.name, MAX_NAME_LENGTH) : null,
    digest: record?.image?.digest ? cut(record.image.digest, MAX_NAME_LENGTH) : null,
    signer: record?.signer === undefined ? null : cut(record.signer, MAX_NAME_LENGTH),
  };
}
