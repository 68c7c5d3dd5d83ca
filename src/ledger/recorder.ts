/**
 * Recording: finished tasks become files on the branch, and their queue files leave it, in one commit that is built on
 * the tip without a checkout.
 *
 * Invariants:
 * - A queue file leaves the branch only in the commit that brings its record.
 * - A task that has a record gets no second one.
 * - The refs of recorded tasks are deleted only after the record was seen on the branch (`settledRefs`): the two moves
 *   never need to happen together.
 * - A task file that was changed after the claim stays: what it says now was never run, and nobody's words get lost.
 */
import { entriesOf, type GitObject, parseCommit } from '../git/objects.ts';
import type { Oid, RefName } from '../git/oid.ts';
import type { Repository } from '../git/repository.ts';
import { editTree, type PathEdit } from '../git/tree-edit.ts';
import type { Emit } from '../observe/events.ts';
import type { NodeId, TaskId } from '../task/id.ts';
import type { GridReader, GridView } from './grid-view.ts';
import { COMPLETED_DIR, FAILED_DIR, SIGNATURE_SUFFIX, taskRef } from './names.ts';
import type { PushRequest } from './publisher.ts';
import { rendezvousRank } from './rendezvous.ts';
import type { SwapOutcome } from './settle.ts';
import type { ClaimedState, FinishedState } from './state-codec.ts';
import {
  RECORD_FILE,
  RECORD_SIGNATURE_FILE,
  recordedPath,
  STDERR_FILE,
  STDOUT_FILE,
  type StateWriter,
} from './state-writer.ts';

/** Settled by one commit. The rest waits for the next one. */
export const MAX_RECORDS_PER_COMMIT = 5_000;
/** Told one by one in its message. */
const MAX_LINES_IN_MESSAGE = 1_000;
/** People pushed meanwhile: build again on the new tip, this often in a row. */
const MAX_REBUILDS = 8;
const NAMES_IN_SUBJECT = 5;

export interface Recordable {
  taskId: TaskId;
  oid: Oid;
  state: FinishedState;
}

/** Finished tasks whose record is not on the branch yet. */
function recordable(view: GridView): Recordable[] {
  const found: Recordable[] = [];
  for (const [taskId, { oid, state }] of view.tasks) {
    if (state?.kind !== 'state' || state.state.state !== 'finished' || view.queue.recordOf(taskId)) continue;
    found.push({ taskId, oid, state: state.state });
  }
  return found;
}

/**
 * Refs that the janitor may delete: their task has its record on the branch. A claim among them is left to its owner as
 * long as that one lives.
 */
export function settledRefs(
  view: GridView,
  isOrphan: (claim: ClaimedState) => boolean,
): { taskId: TaskId; oid: Oid }[] {
  const found: { taskId: TaskId; oid: Oid }[] = [];
  for (const [taskId, { oid, state }] of view.tasks) {
    if (state?.kind !== 'state' || !view.queue.recordOf(taskId)) continue;
    if (state.state.state === 'claimed' && !isOrphan(state.state)) continue;
    found.push({ taskId, oid });
  }
  return found;
}

/**
 * How many live nodes go first in recording on this tip: 0 for the one whose turn it is. Everybody computes the same
 * order; who is not first waits a little, in case the first is busy or gone.
 */
export function recordingRank(view: GridView, self: NodeId, isStale: (id: NodeId) => boolean): number {
  const live = [...view.nodes].filter(
    ([id, { state }]) => !(state?.kind === 'state' && state.state.state !== 'alive') && !isStale(id),
  );
  return rendezvousRank(
    self,
    live.map(([id]) => id),
    view.tip ?? '',
  );
}

export interface RecorderParts {
  repository: Repository;
  reader: GridReader;
  writer: StateWriter;
  push: (request: PushRequest) => Promise<SwapOutcome>;
  emit: Emit;
}

export type RecordOutcome =
  | { kind: 'recorded'; count: number; tip: Oid }
  | { kind: 'nothing' }
  /** The host does not let workers write the branch: results stay readable in their refs. */
  | { kind: 'refused'; reason: string }
  /** The branch does not move for the moment, though nobody forbids it: mostly a lock. */
  | { kind: 'locked' };

/** Far more than anybody leaves there by mistake. */
const MAX_UNFIT = 10_000;

export class Recorder {
  readonly #parts: RecorderParts;
  /** Finished states that nothing can be recorded of: each was told, and is left alone. */
  readonly #unfit = new Set<Oid>();

  constructor(parts: RecorderParts) {
    this.#parts = parts;
  }

  /** Finished tasks whose record is not on the branch yet, but for those that have none to put there. */
  recordable(view: GridView): Recordable[] {
    return recordable(view).filter(({ oid }) => !this.#unfit.has(oid));
  }

  /** Records everything that is finished in the view, in one commit. @throws GitError */
  async record(view: GridView): Promise<RecordOutcome> {
    let current = view;
    for (let round = 1; ; round += 1) {
      const finished = this.recordable(current).slice(0, MAX_RECORDS_PER_COMMIT);
      const built = finished.length > 0 ? await this.#build(current, finished) : null;
      if (!built) return { kind: 'nothing' };
      const outcome = await this.#parts.push({
        swap: { ref: current.branch, from: current.tip, to: built.commit.oid },
        objects: built.objects,
        step: 'swap.record',
      });
      if (outcome.kind === 'won') {
        this.#parts.emit('result.recorded', { tasks: built.taskIds.length, commit: built.commit.oid });
        return { kind: 'recorded', count: built.taskIds.length, tip: built.commit.oid };
      }
      if (outcome.kind === 'refused') {
        // The same tip again would bring the same answer. A later cycle looks anew.
        if (!outcome.lasting) return { kind: 'locked' };
        this.#parts.emit('record.refused', { branch: current.branch, reason: outcome.reason });
        return { kind: 'refused', reason: outcome.reason };
      }
      this.#parts.emit('record.conflict', { branch: current.branch, round });
      // Somebody else may have recorded the same results: then nothing is left to do.
      current = await this.#parts.reader.refresh();
      if (round === MAX_REBUILDS) return { kind: 'nothing' };
    }
  }

  /** Deletes refs whose record stands on the branch. @throws GitError */
  async sweep(settled: readonly { taskId: TaskId; oid: Oid }[]): Promise<void> {
    if (settled.length === 0) return;
    const outcomes = await Promise.all(
      settled.map(({ taskId, oid }) => {
        const ref: RefName = taskRef(this.#parts.reader.namespace, taskId);
        return this.#parts.push({ swap: { ref, from: oid, to: null }, objects: [], step: 'swap.delete' });
      }),
    );
    const deleted = outcomes.filter(({ kind }) => kind === 'won').length;
    if (deleted > 0) this.#parts.emit('janitor.deleted', { refs: deleted });
  }

  async #build(
    view: GridView,
    finished: readonly Recordable[],
  ): Promise<{ commit: GitObject; objects: GitObject[]; taskIds: TaskId[] } | null> {
    const { repository, writer } = this.#parts;
    const files = await this.#resultFiles(finished);
    const edits: PathEdit[] = [];
    const recorded: Recordable[] = [];
    for (const task of finished) {
      const entries = files.get(task.oid);
      if (!entries) continue;
      recorded.push(task);
      const dir = task.state.status === 'success' ? COMPLETED_DIR : FAILED_DIR;
      for (const [name, blob] of entries) {
        edits.push({ path: recordedPath(`${dir}/${task.taskId}.json`, name), oid: blob });
      }
      const queued = [view.queue.files.get(task.taskId), ...(view.queue.duplicates.get(task.taskId) ?? [])];
      for (const file of queued) {
        if (file?.blob !== task.state.specBlob) continue;
        edits.push({ path: file.path, oid: null });
        if (file.signature !== null) edits.push({ path: `${file.path}${SIGNATURE_SUFFIX}`, oid: null });
      }
    }
    if (recorded.length === 0) return null;
    const edited = await editTree(view.tipTree, edits, (oids) => repository.readObjects(oids), writer.format);
    const commit = writer.commit(edited.root.oid, view.tip ? [view.tip] : [], recordingMessage(recorded));
    return { commit, objects: [...edited.created, commit], taskIds: recorded.map(({ taskId }) => taskId) };
  }

  /** The files of each finished state, by name; a state without a record is left out and told. */
  async #resultFiles(finished: readonly Recordable[]): Promise<Map<Oid, Map<string, Oid>>> {
    const { repository, writer, emit } = this.#parts;
    const commits = await repository.readObjects(finished.map(({ oid }) => oid));
    const trees = new Map<Oid, Oid>();
    for (const [oid, commit] of commits) if (commit.type === 'commit') trees.set(oid, parseCommit(commit.content).tree);
    const contents = await repository.readObjects([...new Set(trees.values())]);
    const files = new Map<Oid, Map<string, Oid>>();
    for (const { oid, taskId } of finished) {
      const tree = trees.get(oid);
      const content = tree && contents.get(tree);
      if (content?.type !== 'tree') {
        // Written by this worker a moment ago, or moved on since: the next refresh brings it.
        continue;
      }
      const entries = new Map<string, Oid>();
      for (const entry of entriesOf(content.content, writer.format) ?? []) {
        const known = [RECORD_FILE, RECORD_SIGNATURE_FILE, STDOUT_FILE, STDERR_FILE].includes(entry.name);
        if (known && entry.mode === '100644') entries.set(entry.name, entry.oid);
      }
      if (entries.has(RECORD_FILE)) files.set(oid, entries);
      else {
        if (this.#unfit.size < MAX_UNFIT) this.#unfit.add(oid);
        emit('task.unreadable-state', { task: taskId, problem: `the finished state has no ${RECORD_FILE}` });
      }
    }
    return files;
  }
}

function recordingMessage(recorded: readonly Recordable[]): string {
  const names = recorded.slice(0, NAMES_IN_SUBJECT).map(({ taskId }) => taskId);
  const more = recorded.length > names.length ? ` and ${recorded.length - names.length} more` : '';
  const lines = recorded
    .slice(0, MAX_LINES_IN_MESSAGE)
    .map(({ taskId, state }) => `${taskId}: ${state.reason ?? state.status} on ${state.nodeId}`);
  if (recorded.length > lines.length) lines.push(`and ${recorded.length - lines.length} more`);
  return `Record ${recorded.length} ${recorded.length === 1 ? 'result' : 'results'}: ${names.join(', ')}${more}\n\n${lines.join('\n')}\n`;
}
