/**
 * Which tasks could be started now, and in which order. Pure.
 *
 * Order: priority, then age, then chance. A shallow clone knows no commit dates, so age is when this worker first saw
 * the file, and among files that arrived together the order of their ids (`dgrid submit` makes ids that sort by time).
 * To keep workers from reaching for the same file, each shuffles within windows of that order, in its own way.
 */

import type { Oid } from '../git/oid.ts';
import type { NodeId, TaskId } from '../task/id.ts';
import { type ParsedTask, type TaskSpec } from '../task/spec.ts';
import { PRIORITIES } from '../task/task-schema.ts';
import type { QueueFile } from './found-files.ts';
import type { GridView } from './grid-view.ts';
import { rendezvousWeight } from './rendezvous.ts';
import type { LegalBrief, TaskBrief } from './spec-cache.ts';
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
  /** To this node, of all that may claim. */
  falls: boolean;
}

export interface SelectionInput {
  view: GridView;
  /** null: not read yet. */
  briefOf: (file: QueueFile) => TaskBrief | null;
  /** Asked for candidates only, and after all else is decided. */
  parsedOf: (file: QueueFile) => ParsedTask | null;
  /** Whether the caller can use this task at all. */
  isWanted: (id: TaskId) => boolean;
  /** The same by what it asks for; null: whatever it is. */
  suits: ((brief: LegalBrief) => boolean) | null;
  isOrphan: (claim: ClaimedState) => boolean;
  /** Whether the delay of this waiting state is over for this observer. */
  delayIsOver: (oid: Oid, state: WaitingState) => boolean;
  arrivalOf: (id: TaskId) => number;
  nodeId: NodeId;
  nodeLabels: readonly string[];
  /** How many tasks this node would take now. Others are taken to be like it. */
  room: number;
}

/** What decides about the place of a task among others. */
export interface Turn {
  file: QueueFile;
  /** Index in PRIORITIES: the smaller, the sooner. */
  priority: number;
  /** The smaller, the older. */
  arrival: number;
}

/** What could be claimed, without the task file's contents. */
type Claimable = Turn & Pick<Candidate, 'from'>;

type Ordered = Claimable & Pick<Candidate, 'falls'>;

/** Candidates in the order of their turn, each read only when it is asked for. */
export function* selectCandidates(input: SelectionInput): Generator<Candidate> {
  for (const { file, from, falls } of inOrder(claimable(input), input)) {
    const parsed = input.parsedOf(file);
    if (parsed?.ok) yield { taskId: file.taskId, file, spec: parsed.spec, raw: parsed.raw, from, falls };
  }
}

function claimable(input: SelectionInput): Claimable[] {
  const found: Claimable[] = [];
  for (const file of input.view.queue.files.values()) {
    if (input.view.queue.alreadyRecorded.has(file.taskId)) continue;
    const from = claimableFrom(input, file.taskId);
    if (from === 'taken' || !input.isWanted(file.taskId)) continue;
    const brief = input.briefOf(file);
    // What is no legal task is settled elsewhere.
    if (!brief?.ok || !brief.requires.every((label) => input.nodeLabels.includes(label))) continue;
    if (input.suits !== null && !input.suits(brief)) continue;
    const arrival = input.arrivalOf(file.taskId);
    found.push({ file, from, priority: PRIORITIES.indexOf(brief.priority), arrival });
  }
  return found;
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

function* inOrder(all: readonly Claimable[], input: SelectionInput): Generator<Ordered> {
  const width = Math.max(SHUFFLE_WINDOW, SPREAD * input.room * liveNodes(input.view).length);
  // Mostly the first window is all that is needed, and to sort the whole queue for it takes long.
  const first = firstInTurn(all, width);
  yield* shuffled(first, input, width);
  if (first.length === all.length) return;
  const seen = new Set(first);
  yield* shuffled(all.filter((each) => !seen.has(each)).sort(byTurn), input, width);
}

/** Windows of equal rank, each in this node's own order: what falls to it among all that may claim, and then the rest. */
function* shuffled(ordered: readonly Claimable[], input: SelectionInput, width: number): Generator<Ordered> {
  const others = liveNodes(input.view).filter((id) => id !== input.nodeId);
  for (let start = 0; start < ordered.length; ) {
    const first = ordered[start] as Claimable;
    let end = start;
    while (end < ordered.length && end - start < width && sameRank(ordered[end], first)) end += 1;
    const window = ordered.slice(start, end).map((each) => {
      const { taskId } = each.file;
      const weight = rendezvousWeight(input.nodeId, taskId);
      return { each, weight, falls: others.every((id) => rendezvousWeight(id, taskId) < weight) };
    });
    window.sort((a, b) => Number(b.falls) - Number(a.falls) || b.weight - a.weight);
    for (const { each, falls } of window) yield { ...each, falls };
    start = end;
  }
}

/** The order that all nodes see, before each shuffles. */
export function byTurn(a: Turn, b: Turn): number {
  return a.priority - b.priority || a.arrival - b.arrival || (a.file.taskId < b.file.taskId ? -1 : 1);
}

/** The first `count` of them in order, without sorting the rest: sorted in blocks, and what cannot be among them left out. */
export function firstInTurn<T extends Turn>(all: readonly T[], count: number): T[] {
  if (all.length <= 2 * count) return [...all].sort(byTurn).slice(0, count);
  let kept: T[] = [];
  let last: T | null = null;
  for (const each of all) {
    if (last && byTurn(each, last) > 0) continue;
    kept.push(each);
    if (kept.length < 2 * count) continue;
    kept = kept.sort(byTurn).slice(0, count);
    last = kept.at(-1) ?? null;
  }
  return kept.sort(byTurn).slice(0, count);
}

/** Nodes that may claim; what is not read counts as one that may. */
function liveNodes(view: GridView): NodeId[] {
  return [...view.nodes].flatMap(([id, { state }]) =>
    state?.kind !== 'state' || state.state.state === 'alive' ? [id] : [],
  );
}

function sameRank(a: Claimable | undefined, b: Claimable): boolean {
  return a?.priority === b.priority && a.arrival === b.arrival;
}
