/** One move of one task's ref, judged by the life of a task. */
import { CLIENT_NODE_ID } from '../../../src/client/cancel.ts';
import type { Oid } from '../../../src/git/oid.ts';
import type { TaskState } from '../../../src/ledger/state-codec.ts';
import type { TaskId } from '../../../src/task/id.ts';
import { isLegalMove } from '../../../src/task/lifecycle.ts';
import type { Examination } from './check.ts';
import { claimKey, type StandingTask } from './grid-model.ts';
import type { RefChange } from './history.ts';

export function checkTaskChange(examination: Examination, change: RefChange, id: TaskId): void {
  const { model, reader, report } = examination;
  const { ref, from, to, timeMs } = change;
  const before = model.tasks.get(id) ?? null;
  if (before === null) model.reborn.delete(id);
  if (before === null && model.records.has(id) && to !== null && model.taskStates.has(to)) model.reborn.add(id);
  if (to !== null) model.taskStates.add(to);
  if (to === null) {
    if (!model.records.has(id)) report('deletion', ref, `deleted from ${from} without a record on the branch`);
    model.setTask(id, null);
    return;
  }
  const read = reader.task(to, id);
  if (!read.state) report('state', ref, `${to} cannot be read: ${read.problem}`);
  else {
    if (read.parents.join() !== (from ?? '')) {
      report('state', ref, `${to} has the parent ${read.parents.join() || 'none'} instead of ${from ?? 'none'}`);
    }
    if (before === null || before.state !== null) checkMove(examination, change, before, read.state);
    if (read.state.state === 'finished') checkFinished(examination, change, read.state, read.tree);
  }
  model.setTask(id, { oid: to, state: read.state, sinceMs: timeMs });
  if (read.state?.state === 'claimed') {
    const { state } = read;
    const key = claimKey({ ...state, node: state.nodeId });
    model.ownerOf.set(to, state.nodeId);
    const afterRecord = before === null && model.records.has(id);
    model.claims.set(key, [...(model.claims.get(key) ?? []), { state, sinceMs: timeMs, afterRecord }]);
  }
}

function checkMove(
  examination: Examination,
  { ref, timeMs }: RefChange,
  standing: StandingTask | null,
  after: TaskState,
): void {
  const before = standing?.state ?? null;
  const { report } = examination;
  const kind = kindOf(before, after);
  if (kind === null) {
    report('move', ref, `from ${before?.state ?? 'absent'} to ${after.state}`);
    return;
  }
  if (kind === 'takeover') examination.model.takeovers += 1;
  if (kind === 'adoption') examination.model.adoptions += 1;
  const expected = expectedCounts(kind, before);
  for (const [name, allowed] of Object.entries(expected)) {
    const value = after[name as keyof typeof expected];
    if (!allowed.includes(value)) {
      report('move', ref, `${kind}: ${name} is ${value}, not ${[...new Set(allowed)].join(' or ')}`);
    }
  }
  if (before && sameOwner.has(kind) && before.specBlob !== after.specBlob) {
    report('move', ref, `${kind}: the pinned task file changed from ${before.specBlob} to ${after.specBlob}`);
  }
  if (orphansOnly.has(kind) && standing?.orphaned === false) {
    report(
      'takeover',
      ref,
      `${kind} by ${after.nodeId} although ${before?.nodeId} was there under its claim's incarnation`,
    );
  }
  if (kind === 'cancel' && (after.state !== 'finished' || after.reason !== 'cancelled')) {
    report('move', ref, `a client finished the task as ${after.state === 'finished' ? after.reason : after.state}`);
  }
  if (before?.state === 'waiting' && after.state === 'claimed' && standing) {
    const waitedMs = timeMs - standing.sinceMs;
    if (waitedMs < before.delayMs * (1 - examination.drift) - examination.toleranceMs) {
      report('delay', ref, `claimed after ${waitedMs} ms of a delay of ${before.delayMs} ms`);
    }
  }
}

type MoveKind =
  | 'first claim'
  | 'claim of a waiting task'
  | 'takeover'
  | 'adoption'
  | 'retry'
  | 'hand-back'
  | 'result'
  | 'cancel'
  | 'settling from nothing'
  | 'settling of a waiting task'
  | 'settling of an orphan';

const sameOwner: ReadonlySet<MoveKind> = new Set(['adoption', 'retry', 'hand-back', 'result']);
const orphansOnly: ReadonlySet<MoveKind> = new Set(['takeover', 'settling of an orphan']);

/** null: nothing that may happen. */
function kindOf(before: TaskState | null, after: TaskState): MoveKind | null {
  if (!isLegalMove(before?.state ?? 'absent', after.state)) return null;
  if (before === null) return after.state === 'claimed' ? 'first claim' : 'settling from nothing';
  const sameNode = before.nodeId === after.nodeId;
  const owners = sameNode && before.incarnation === after.incarnation;
  if (before.state === 'waiting') {
    return after.state === 'claimed' ? 'claim of a waiting task' : 'settling of a waiting task';
  }
  switch (after.state) {
    case 'claimed':
      if (sameNode && !owners && before.epoch === after.epoch) return 'adoption';
      return 'takeover';
    case 'waiting':
      if (!owners) return null;
      return after.waitReason === 'retry' ? 'retry' : 'hand-back';
    case 'finished':
      if (owners) return 'result';
      return after.nodeId === CLIENT_NODE_ID ? 'cancel' : 'settling of an orphan';
  }
}

interface Counts<T> {
  epoch: T;
  attempt: T;
  failures: T;
  takeovers: T;
}

function expectedCounts(kind: MoveKind, before: TaskState | null): Counts<readonly number[]> {
  const { epoch, attempt, failures, takeovers } = before ?? { epoch: 0, attempt: 0, failures: 0, takeovers: 0 };
  const same = { epoch: [epoch], attempt: [attempt], failures: [failures], takeovers: [takeovers] };
  switch (kind) {
    case 'first claim':
    case 'claim of a waiting task':
      return { ...same, epoch: [epoch + 1], attempt: [attempt + 1] };
    case 'takeover':
      return { ...same, epoch: [epoch + 1], attempt: [attempt + 1], takeovers: [takeovers + 1] };
    case 'adoption':
    case 'result':
      return same;
    case 'retry':
      return { ...same, failures: [failures + 1] };
    case 'hand-back':
      // One less when the container never ran.
      return { ...same, attempt: [attempt, attempt - 1] };
    case 'cancel':
    case 'settling from nothing':
    case 'settling of a waiting task':
    case 'settling of an orphan':
      return { ...same, epoch: [epoch + 1] };
  }
}

/**
 * A state that is finished from nothing, or once more, although the task has its record is an echo: somebody's view was
 * late, or a copy of a request; so is one that follows upon a claim which such a copy brought back. It is never recorded, so
 * it is no second result; `checkBranchChange` sees to that.
 */
function checkFinished(
  { model, reader, report }: Examination,
  { ref, from, to }: RefChange,
  state: Extract<TaskState, { state: 'finished' }>,
  tree: Oid | null,
): void {
  const earlier = model.finished.get(state.taskId) ?? [];
  const again = earlier.some(({ oid }) => oid === to);
  const echo = (from === null || again || model.reborn.has(state.taskId)) && model.records.has(state.taskId);
  if (earlier.length > 0 && !echo) {
    report('one-result', ref, `finished as ${to}, after ${earlier.map(({ oid }) => oid).join(', ')}`);
  }
  const files = new Map([...reader.entries(tree)].map(([name, { oid }]) => [name, oid]));
  if (!again) model.finished.set(state.taskId, [...earlier, { oid: to as Oid, state, files }]);
}
