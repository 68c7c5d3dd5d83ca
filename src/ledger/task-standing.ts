/** Where a task stands, by what one view of the grid says. Pure. */
import type { Oid } from '../git/oid.ts';
import type { TaskId } from '../task/id.ts';
import type { QueueFile } from './found-files.ts';
import type { GridView } from './grid-view.ts';
import { COMPLETED_DIR } from './names.ts';
import type { ClaimedState, FinishedState, WaitingState } from './state-codec.ts';

export type TaskStanding =
  /** Its record is on the branch. */
  | { kind: 'recorded'; path: string; blob: Oid; status: 'success' | 'failed' }
  /** It has its result, which is not on the branch yet. */
  | { kind: 'finished'; oid: Oid; state: FinishedState }
  /** `ownerGone`: the node that holds it can no longer deliver, so another one will take it over. */
  | { kind: 'claimed'; oid: Oid; state: ClaimedState; ownerGone: boolean }
  | { kind: 'waiting'; oid: Oid; state: WaitingState }
  | { kind: 'queued'; file: QueueFile }
  /** It has a state that this version cannot read. */
  | { kind: 'unreadable'; oid: Oid; problem: string }
  | { kind: 'unknown' };

export function standingOf(view: GridView, id: TaskId): TaskStanding {
  const record = view.queue.recordOf(id);
  if (record) {
    const status = record.path.startsWith(`${COMPLETED_DIR}/`) ? 'success' : 'failed';
    return { kind: 'recorded', ...record, status };
  }
  const known = view.tasks.get(id);
  if (!known) {
    const file = view.queue.files.get(id);
    return file ? { kind: 'queued', file } : { kind: 'unknown' };
  }
  const { oid, state: decoded } = known;
  if (decoded?.kind !== 'state') return { kind: 'unreadable', oid, problem: problemOf(decoded) };
  const { state } = decoded;
  switch (state.state) {
    case 'finished':
      return { kind: 'finished', oid, state };
    case 'waiting':
      return { kind: 'waiting', oid, state };
    case 'claimed':
      return { kind: 'claimed', oid, state, ownerGone: isOwnerGone(view, state) };
  }
}

/** The result, as far as it is known without reading the record; null while there is none. */
export function statusOf(standing: TaskStanding): 'success' | 'failed' | null {
  if (standing.kind === 'recorded') return standing.status;
  return standing.kind === 'finished' ? standing.state.status : null;
}

function problemOf(decoded: { kind: 'newer-format'; format: number } | { kind: 'unreadable'; problem: string } | null) {
  if (decoded === null) return 'its state could not be fetched yet';
  return decoded.kind === 'newer-format'
    ? `its state has format ${decoded.format}, which a newer version of D-GRID wrote`
    : decoded.problem;
}

function isOwnerGone(view: GridView, claim: ClaimedState): boolean {
  const owner = view.nodes.get(claim.nodeId);
  if (!owner) return true;
  if (owner.state?.kind !== 'state') return false;
  return owner.state.state.state !== 'alive' || owner.state.state.incarnation !== claim.incarnation;
}
