/**
 * Queueing tasks: all files of one submit come in one commit, or none does.
 *
 * A push whose answer got lost may have been applied, and by the time it is looked for, somebody may have pushed on top of
 * it, or a worker may have run and recorded the tasks. So a task counts as queued by us when, after a push of ours, the
 * very same file is queued, in work or recorded under its id. A file's id and content together are its identity; this is
 * also what makes it safe to run the same submit again.
 */
import { GitError, type GitErrorKind } from '../git/errors.ts';
import { type GitObject, makeBlob } from '../git/objects.ts';
import type { ObjectFormat, Oid } from '../git/oid.ts';
import { editTree } from '../git/tree-edit.ts';
import type { GridView } from '../ledger/grid-view.ts';
import { QUEUE_DIR, SIGNATURE_SUFFIX } from '../ledger/names.ts';
import { readResults } from '../ledger/results.ts';
import { standingOf } from '../ledger/task-standing.ts';
import type { TaskId } from '../task/id.ts';
import type { GridClient } from './grid-client.ts';
import type { NewTask } from './task-input.ts';

/** Others pushed meanwhile: build again on the new tip, this often in a row. */
const MAX_REBUILDS = 12;
const REBUILD_PAUSE_MS = 50;
const MAX_REBUILD_PAUSE_MS = 2_000;
const NAMES_IN_SUBJECT = 5;

/** After these a push may have been applied all the same. */
const UNCLEAR: ReadonlySet<GitErrorKind> = new Set(['network', 'throttled', 'deadline', 'aborted', 'unknown']);

export type ConflictKind =
  /** Another file is queued under the id. */
  | 'queued'
  /** A worker has the task, or its result waits to be recorded. */
  | 'in-work'
  | 'recorded';

export interface Conflict {
  taskId: TaskId;
  source: string;
  kind: ConflictKind;
  /** For `recorded`: this very file was run. Then the conflict may be a submit that was repeated. */
  sameFile: boolean;
}

export type SubmitOutcome =
  /** `commit` is null when there was nothing left to queue. */
  | { kind: 'queued'; commit: Oid | null; queued: TaskId[]; alreadyQueued: TaskId[] }
  /** Nothing was queued. */
  | { kind: 'conflicts'; conflicts: Conflict[] }
  /** The host does not let us write the branch. Nothing was queued. */
  | { kind: 'refused'; reason: string }
  /** The branch moved each time before our commit arrived. Nothing was queued. */
  | { kind: 'crowded' };

/** The answer of the host got lost, and it could not be asked again: the tasks may be queued or not. */
export class UnclearSubmitError extends Error {
  override readonly name = 'UnclearSubmitError';
}

interface Prepared extends NewTask {
  blob: GitObject;
  signatureBlob: GitObject | null;
}

function prepare(task: NewTask, format: ObjectFormat): Prepared {
  const signatureBlob = task.signature === null ? null : makeBlob(task.signature, format);
  return { ...task, blob: makeBlob(task.content, format), signatureBlob };
}

/** @throws UnclearSubmitError; GitError when it is sure that nothing was queued. */
export async function submit(client: GridClient, tasks: readonly NewTask[]): Promise<SubmitOutcome> {
  let pushed = false;
  let prepared: Prepared[] | null = null;
  try {
    for (let round = 1; round <= MAX_REBUILDS; round += 1) {
      const view = await client.refresh();
      prepared ??= tasks.map((task) => prepare(task, client.format));
      const judged = await judge(client, view, prepared, pushed);
      if (judged.conflicts.length > 0) return { kind: 'conflicts', conflicts: judged.conflicts };
      const alreadyQueued = judged.present.map(({ taskId }) => taskId);
      if (judged.missing.length === 0) {
        const ours = pushed ? alreadyQueued : [];
        return { kind: 'queued', commit: null, queued: ours, alreadyQueued: pushed ? [] : alreadyQueued };
      }
      const built = await build(client, view, judged.missing);
      pushed = true;
      const outcome = await client.push({
        swap: { ref: view.branch, from: view.tip, to: built.commit.oid },
        objects: built.objects,
        // Alone in its push, and so judged by the host for itself.
        step: 'swap.submit',
      });
      if (outcome.kind === 'won') {
        const queued = judged.missing.map(({ taskId }) => taskId);
        for (const id of queued) client.queuedSince.add(id);
        return { kind: 'queued', commit: built.commit.oid, queued, alreadyQueued };
      }
      if (outcome.kind === 'refused') return outcome;
      await client.clock.sleep(pauseMs(client, round), client.signal);
    }
    return { kind: 'crowded' };
  } catch (error) {
    if (pushed && error instanceof GitError && UNCLEAR.has(error.kind)) {
      const message = 'it is not certain whether the tasks were queued: the answer of the host got lost';
      throw new UnclearSubmitError(message, { cause: error });
    }
    throw error;
  }
}

/** @param afterPush whether a push of ours may have been applied already. */
async function judge(
  client: GridClient,
  view: GridView,
  tasks: readonly Prepared[],
  afterPush: boolean,
): Promise<{ missing: Prepared[]; present: Prepared[]; conflicts: Conflict[] }> {
  const missing: Prepared[] = [];
  const present: Prepared[] = [];
  const conflicts: Conflict[] = [];
  const recorded: Prepared[] = [];
  for (const task of tasks) {
    const { taskId, source, blob, signatureBlob } = task;
    const standing = standingOf(view, taskId);
    const file = view.queue.files.get(taskId);
    if (standing.kind === 'recorded') recorded.push(task);
    else if (standing.kind === 'unknown') missing.push(task);
    else if (file?.blob === blob.oid) {
      // The same file without its signature, or with another one, is not what was asked for.
      const isOtherwiseSigned = signatureBlob && file.signature !== signatureBlob.oid;
      (isOtherwiseSigned && standing.kind === 'queued' ? missing : present).push(task);
    } else if (afterPush && !file && 'state' in standing && standing.state.specBlob === blob.oid) present.push(task);
    else {
      const kind = standing.kind === 'queued' ? 'queued' : 'in-work';
      conflicts.push({ taskId, source, kind, sameFile: false });
    }
  }
  const results = await readResults(
    client,
    view,
    recorded.map(({ taskId }) => taskId),
  );
  for (const task of recorded) {
    const result = results.get(task.taskId);
    const sameFile = result?.ok === true && result.record.spec_blob === task.blob.oid;
    if (sameFile && afterPush) present.push(task);
    else conflicts.push({ taskId: task.taskId, source: task.source, kind: 'recorded', sameFile });
  }
  return { missing, present, conflicts };
}

async function build(
  client: GridClient,
  view: GridView,
  tasks: readonly Prepared[],
): Promise<{ commit: GitObject; objects: GitObject[] }> {
  const { repository, signal, writer, format } = client;
  const edits = tasks.flatMap(({ taskId, blob, signatureBlob }) => {
    const path = `${QUEUE_DIR}/${taskId}.json`;
    const signature = signatureBlob ? [{ path: `${path}${SIGNATURE_SUFFIX}`, oid: signatureBlob.oid }] : [];
    return [{ path, oid: blob.oid }, ...signature];
  });
  const blobs = tasks.flatMap(({ blob, signatureBlob }) => (signatureBlob ? [blob, signatureBlob] : [blob]));
  const edited = await editTree(view.tipTree, edits, (oids) => repository.readObjects(oids, signal), format);
  const commit = writer.commit(edited.root.oid, view.tip ? [view.tip] : [], messageFor(tasks));
  return { commit, objects: [...blobs, ...edited.created, commit] };
}

function messageFor(tasks: readonly Prepared[]): string {
  const names = tasks.slice(0, NAMES_IN_SUBJECT).map(({ taskId }) => taskId);
  const more = tasks.length > names.length ? ` and ${tasks.length - names.length} more` : '';
  return `Queue ${tasks.length} ${tasks.length === 1 ? 'task' : 'tasks'}: ${names.join(', ')}${more}\n`;
}

/** Spread out, so that two submitters do not meet again. */
function pauseMs(client: GridClient, round: number): number {
  const share = Number.parseInt(client.randomHex(2), 16) / 0xffff;
  return Math.min(REBUILD_PAUSE_MS * 2 ** (round - 1), MAX_REBUILD_PAUSE_MS) * share;
}
