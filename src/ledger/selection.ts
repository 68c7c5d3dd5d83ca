/**
 * Which tasks could be started now, and in which order. Pure.
 *
 * Order: priority, then age, then chance. A shallow clone knows no commit dates, so age is when this worker first saw
 * the file, and among files that arrived together the order of their ids (`dgrid submit` makes ids that sort by time).
 * To keep workers from reaching for the same file, each shuffles within windows of that order, in its own way.
 */

import type { Oid } from '../git/oid.ts';
import type { NodeId, TaskId } from '../task/id.ts';
import { type ParsedTask, PRIORITIES, type TaskSpec } from '../task/spec.ts';
import type { GridView } from './grid-view.ts';
import type { QueueFile } from './queue-index.ts';
import { rendezvousWeight } from './rendezvous.ts';
import type { ClaimedState, WaitingState } from './state-codec.ts';

/** The least width of a window. */
export const SHUFFLE_WINDOW = 64;
/** Of what all nodes together could take at once: wide enough that few of them reach for the same. */
const SPREAD = 4;

export interface Candidate {
  taskId: TaskId;
  file: QueueFile;
  spec: TaskSpec;
  /** The task file's JSON, for the record. */
  raw: unknown;
  /** What the claim would swap away: nothing, a waiting state, or an orphaned claim. */
  from: { oid: Oid; state: WaitingState | ClaimedState } | null;
}

export interface SelectionInput {
  view: GridView;
  /** null: not read yet. */
  parsedOf: (file: QueueFile) => ParsedTask | null;
  isOrphan: (claim: ClaimedState) => boolean;
  /** Whether the delay of this waiting state is over for this observer. */
  delayIsOver: (oid: Oid, state: WaitingState) => boolean;
  arrivalOf: (id: TaskId) => number;
  nodeId: NodeId;
  nodeLabels: readonly string[];
  /** How many tasks this node would take now. Others are taken to be like it. */
  room: number;
}

export function selectCandidates(input: SelectionInput): Candidate[] {
  const candidates: Candidate[] = [];
  for (const file of input.view.queue.files.values()) {
    if (input.view.queue.alreadyRecorded.has(file.taskId)) continue;
    const from = claimableFrom(input, file.taskId);
    if (from === 'taken') continue;
    const parsed = input.parsedOf(file);
    // What is no legal task is settled elsewhere.
    if (!parsed?.ok) continue;
    const { spec, raw } = parsed;
    if (!spec.requires.every((label) => input.nodeLabels.includes(label))) continue;
    candidates.push({ taskId: file.taskId, file, spec, raw, from });
  }
  return inOrder(candidates, input);
}

function claimableFrom(input: SelectionInput, id: TaskId): Candidate['from'] | 'taken' {
  const known = input.view.tasks.get(id);
  if (!known) return null;
  if (known.state?.kind !== 'state') return 'taken';
  const { state } = known.state;
  if (state.state === 'waiting' && input.delayIsOver(known.oid, state)) return { oid: known.oid, state };
  if (state.state === 'claimed' && input.isOrphan(state)) return { oid: known.oid, state };
  return 'taken';
}

function inOrder(candidates: readonly Candidate[], input: SelectionInput): Candidate[] {
  const keyed = candidates.map((candidate) => ({
    candidate,
    priority: PRIORITIES.indexOf(candidate.spec.priority),
    arrival: input.arrivalOf(candidate.taskId),
  }));
  keyed.sort(
    (a, b) => a.priority - b.priority || a.arrival - b.arrival || (a.candidate.taskId < b.candidate.taskId ? -1 : 1),
  );
  const ordered: Candidate[] = [];
  const width = Math.max(SHUFFLE_WINDOW, SPREAD * input.room * countNodes(input.view));
  for (let start = 0; start < keyed.length; ) {
    const first = keyed[start] as (typeof keyed)[number];
    let end = start;
    while (end < keyed.length && end - start < width && sameRank(keyed[end], first)) end += 1;
    const window = keyed.slice(start, end).map(({ candidate }) => ({
      candidate,
      weight: rendezvousWeight(input.nodeId, candidate.taskId),
    }));
    window.sort((a, b) => b.weight - a.weight);
    ordered.push(...window.map(({ candidate }) => candidate));
    start = end;
  }
  return ordered;
}

/** Nodes that may claim; what is not read counts as one that may. */
function countNodes(view: GridView): number {
  let count = 0;
  for (const { state } of view.nodes.values()) {
    if (state?.kind !== 'state' || state.state.state === 'alive') count += 1;
  }
  return count;
}

function sameRank(
  a: { priority: number; arrival: number } | undefined,
  b: { priority: number; arrival: number },
): boolean {
  return a?.priority === b.priority && a.arrival === b.arrival;
}
