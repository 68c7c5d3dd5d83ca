/** One move of the branch: what people queue and withdraw, what workers record. */
import type { Oid, RefName } from '../../../src/git/oid.ts';
import { COMPLETED_DIR, FAILED_DIR, QUEUE_DIR, SIGNATURE_SUFFIX } from '../../../src/ledger/names.ts';
import { RECORD_FILE, RECORD_SIGNATURE_FILE } from '../../../src/ledger/state-writer.ts';
import { isTaskId, type TaskId } from '../../../src/task/id.ts';
import { parseResultRecord } from '../../../src/task/result-schema.ts';
import type { Examination } from './check.ts';
import type { Finished } from './grid-model.ts';
import type { RefChange } from './history.ts';
import type { FileChange, OracleCommit } from './object-reader.ts';

const WORKERS_EMAIL = /^worker\+.*@d-grid\.local$/;
/** The client writes under the same name as the worker of its machine. */
const CLIENTS_SUBJECT = /^(?:Queue \d+ tasks?:|Lay out the task repository)/;

/** By the committer that workers have unless they are told another. */
export function isWorkersCommit({ committerEmail, message }: OracleCommit): boolean {
  return WORKERS_EMAIL.test(committerEmail) && !CLIENTS_SUBJECT.test(message);
}

type Place =
  | { kind: 'queue'; taskId: TaskId }
  | { kind: 'record'; taskId: TaskId }
  /** Logs, and the signature of the record. */
  | { kind: 'log'; taskId: TaskId; name: string }
  | { kind: 'queue-signature'; taskId: TaskId }
  | { kind: 'other' };

export function checkBranchChange(examination: Examination, change: RefChange): void {
  const { model, reader, report } = examination;
  const { ref, from, to } = change;
  const commit = to === null ? null : reader.commit(to);
  const before = from === null ? null : reader.commit(from);
  if (!commit) {
    report('branch', ref, to === null ? 'the branch was deleted' : `${to} is not there, or no commit`);
    return;
  }
  const byWorker = examination.isWorkersCommit(commit);
  if (byWorker && commit.parents.join() !== (from ?? '')) {
    report('branch', ref, `a worker's commit has the parent ${commit.parents.join() || 'none'} instead of ${from}`);
  }
  const files = reader
    .changedFiles(before?.tree ?? null, commit.tree)
    .map((file) => ({ ...file, place: placeOf(file.path) }));
  if (byWorker) checkWorkersFiles(examination, ref, files);
  // What comes is entered before what goes is judged: a file that moved was not withdrawn.
  for (const { path, after, place } of files) {
    if (place.kind === 'queue' && after !== null) model.setQueueFile(path, { taskId: place.taskId, blob: after });
    if (place.kind === 'record' && after !== null) model.records.set(place.taskId, { path, blob: after });
  }
  for (const { path, after, place } of files) {
    if (after !== null || (place.kind !== 'queue' && place.kind !== 'record')) continue;
    const { taskId } = place;
    if (place.kind === 'queue') {
      model.setQueueFile(path, null);
      if (!byWorker && !model.isQueued(taskId) && !model.records.has(taskId)) model.withdrawn.add(taskId);
    } else if (model.records.get(taskId)?.path === path) model.records.delete(taskId);
  }
}

function checkWorkersFiles(
  examination: Examination,
  ref: RefName,
  files: readonly (FileChange & { place: Place })[],
): void {
  const { model, report } = examination;
  const brought = new Map<TaskId, Finished>();
  for (const { path, before, after, place } of files) {
    if (place.kind !== 'record') continue;
    if (before !== null) {
      report('record-fixed', ref, `${path} was ${after === null ? 'removed' : 'changed'} by a worker`);
      continue;
    }
    const standing = model.records.get(place.taskId);
    if (standing || brought.has(place.taskId)) {
      report('one-result', ref, `${path} was recorded next to ${standing?.path ?? 'another of the same commit'}`);
    }
    const finished = checkRecord(examination, ref, place.taskId, path, after as Oid);
    if (finished) brought.set(place.taskId, finished);
  }
  for (const { path, before, after, place } of files) {
    if (place.kind === 'other') report('branch', ref, `${path} was changed by a worker`);
    if (place.kind === 'log') {
      const expected = brought.get(place.taskId)?.files.get(place.name);
      if (before !== null || after === null || after !== expected) {
        report('record', ref, `${path} is not what the finished state of ${place.taskId} holds`);
      }
    }
    if (place.kind === 'queue-signature' && (after !== null || !brought.has(place.taskId))) {
      report('queue-file', ref, `${path} was ${after === null ? 'removed without a record' : 'written by a worker'}`);
    }
    if (place.kind !== 'queue') continue;
    const finished = brought.get(place.taskId);
    if (after !== null) report('queue-file', ref, `${path} was ${before === null ? 'added' : 'changed'} by a worker`);
    else if (!finished) report('queue-file', ref, `${path} left the queue without its record`);
    else if (finished.state.specBlob !== before) {
      report('queue-file', ref, `${path} was ${before} when it left the queue, but ${finished.state.specBlob} was run`);
    }
  }
}

/** @returns the finished state that the record comes from. */
function checkRecord(
  { model, reader, report }: Examination,
  ref: RefName,
  taskId: TaskId,
  path: string,
  blob: Oid,
): Finished | null {
  if (!model.everQueued.has(taskId)) report('record', ref, `${path}: the task was never queued`);
  const sources = (model.finished.get(taskId) ?? []).filter(({ files }) => files.get(RECORD_FILE) === blob);
  const [source] = sources;
  if (!source || sources.length > 1) {
    report('record', ref, `${path}: ${sources.length} finished states of the task hold ${blob}`);
    return source ?? null;
  }
  const { oid, state } = source;
  if (model.tasks.get(taskId)?.oid !== oid) report('record', ref, `${path}: ${oid} is not what the task's ref holds`);
  const dir = state.status === 'success' ? COMPLETED_DIR : FAILED_DIR;
  if (path !== `${dir}/${taskId}.json`) report('record', ref, `${path}: the task ended with ${state.status}`);
  const problem = recordProblem(reader.blob(blob), source);
  if (problem !== null) report('record', ref, `${path}: ${problem}`);
  return source;
}

function recordProblem(content: Buffer | null, { state }: Finished): string | null {
  let value: unknown;
  try {
    value = JSON.parse(content?.toString('utf8') ?? '');
  } catch (error) {
    return String(error);
  }
  const parsed = parseResultRecord(value);
  if (!parsed.ok) return parsed.kind === 'invalid' ? parsed.problems.join('; ') : 'a newer version';
  const { record } = parsed;
  const said = [record.task_id, record.node_id, record.status, record.reason, record.attempt, record.spec_blob];
  const meant = [state.taskId, state.nodeId, state.status, state.reason, state.attempt, state.specBlob];
  return said.join() === meant.join() ? null : `says ${said.join()}, its state says ${meant.join()}`;
}

function placeOf(path: string): Place {
  if (path.endsWith(SIGNATURE_SUFFIX)) return signaturePlace(placeOf(path.slice(0, -SIGNATURE_SUFFIX.length)));
  const name = path.slice(path.lastIndexOf('/') + 1);
  const stem = name.endsWith('.json') ? name.slice(0, -'.json'.length) : '';
  if (path.startsWith(`${QUEUE_DIR}/`)) return isTaskId(stem) ? { kind: 'queue', taskId: stem } : { kind: 'other' };
  for (const dir of [COMPLETED_DIR, FAILED_DIR]) {
    if (!path.startsWith(`${dir}/`)) continue;
    const parts = path.slice(dir.length + 1).split('/');
    if (parts.length === 1 && isTaskId(stem)) return { kind: 'record', taskId: stem };
    const [id = ''] = parts;
    if (parts.length === 2 && isTaskId(id)) return { kind: 'log', taskId: id, name };
  }
  return { kind: 'other' };
}

function signaturePlace(of: Place): Place {
  if (of.kind === 'queue') return { kind: 'queue-signature', taskId: of.taskId };
  return of.kind === 'record' ? { kind: 'log', taskId: of.taskId, name: RECORD_SIGNATURE_FILE } : { kind: 'other' };
}
