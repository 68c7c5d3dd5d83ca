/** What stands in the refs and on the branch at one moment of a history, and what stood there before. */
import type { Oid, RefName } from '../../../src/git/oid.ts';
import type { ClaimedState, FinishedState, NodeState, TaskState } from '../../../src/ledger/state-codec.ts';
import type { NodeId, TaskId } from '../../../src/task/id.ts';

export interface StandingTask {
  oid: Oid;
  /** null: unreadable. */
  state: TaskState | null;
  sinceMs: number;
  /** Of a claim: at some moment since it stands (or just before), its owner could be taken for gone. */
  orphaned: boolean;
}

export interface StandingNode {
  oid: Oid;
  state: NodeState | null;
  sinceMs: number;
}

/** A finished state that was accepted, and the files that it brought. */
export interface Finished {
  oid: Oid;
  state: FinishedState;
  /** By name. */
  files: ReadonlyMap<string, Oid>;
}

export interface StoodClaim {
  state: ClaimedState;
  sinceMs: number;
  /** It came from nothing at a time when the task had its record already. */
  afterRecord: boolean;
}

export interface RecordFile {
  path: string;
  blob: Oid;
}

/** An owner that cannot be read is left in peace. */
function canBeTakenForGone(owner: Pick<StandingNode, 'state'> | null, claim: ClaimedState): boolean {
  if (owner === null) return true;
  if (owner.state === null) return false;
  return owner.state.state !== 'alive' || owner.state.incarnation !== claim.incarnation;
}

export class GridModel {
  readonly refs = new Map<RefName, Oid>();
  readonly tasks = new Map<TaskId, StandingTask>();
  readonly nodes = new Map<NodeId, StandingNode>();
  /** Task files that are queued now, by path. */
  readonly queue = new Map<string, { taskId: TaskId; blob: Oid }>();
  readonly everQueued = new Set<TaskId>();
  /** Taken out of the queue by a person, and not queued again since. */
  readonly withdrawn = new Set<TaskId>();
  readonly records = new Map<TaskId, RecordFile>();
  readonly finished = new Map<TaskId, Finished[]>();
  /** By `claimKey`. */
  readonly claims = new Map<string, StoodClaim[]>();
  /** The owner of each claim that ever stood. */
  readonly ownerOf = new Map<Oid, NodeId>();
  readonly incarnations = new Map<NodeId, string[]>();
  /** Tasks whose ref a late copy of a request has brought back after they had their record; nobody records it. */
  readonly reborn = new Set<TaskId>();
  /** Every state that a task's ref has ever held. */
  readonly taskStates = new Set<Oid>();
  /** Every state that a node's ref has ever held. */
  readonly nodeStates = new Set<Oid>();
  takeovers = 0;
  adoptions = 0;
  fencings = 0;
  /** Tasks whose claim names this node as its owner. */
  readonly #claimsOf = new Map<NodeId, Set<TaskId>>();
  /** What a node's ref showed before its last change, and until when. */
  readonly #before = new Map<NodeId, { standing: StandingNode | null; untilMs: number }>();
  /** How many queued files each task has: two with one id are possible. */
  readonly #filesOf = new Map<TaskId, number>();
  readonly #toleranceMs: number;

  constructor(toleranceMs: number) {
    this.#toleranceMs = toleranceMs;
  }

  setTask(id: TaskId, standing: Omit<StandingTask, 'orphaned'> | null): void {
    const old = this.tasks.get(id);
    if (old?.state?.state === 'claimed') this.#claimsOf.get(old.state.nodeId)?.delete(id);
    if (standing === null) {
      this.tasks.delete(id);
      return;
    }
    const claim = standing.state?.state === 'claimed' ? standing.state : null;
    this.tasks.set(id, { ...standing, orphaned: claim !== null && this.#looksOrphaned(claim, standing.sinceMs) });
    if (!claim) return;
    const claims = this.#claimsOf.get(claim.nodeId) ?? new Set();
    this.#claimsOf.set(claim.nodeId, claims.add(id));
  }

  setNode(id: NodeId, standing: StandingNode | null, timeMs: number): void {
    this.#before.set(id, { standing: this.nodes.get(id) ?? null, untilMs: timeMs });
    if (standing) this.nodes.set(id, standing);
    else this.nodes.delete(id);
    for (const taskId of this.#claimsOf.get(id) ?? []) {
      const task = this.tasks.get(taskId);
      if (task?.state?.state === 'claimed' && canBeTakenForGone(standing, task.state)) {
        task.orphaned = true;
      }
    }
  }

  setQueueFile(path: string, file: { taskId: TaskId; blob: Oid } | null): void {
    const old = this.queue.get(path);
    if (old) this.#filesOf.set(old.taskId, (this.#filesOf.get(old.taskId) ?? 0) - 1);
    if (!file) {
      this.queue.delete(path);
      return;
    }
    this.queue.set(path, file);
    this.#filesOf.set(file.taskId, (this.#filesOf.get(file.taskId) ?? 0) + 1);
    this.everQueued.add(file.taskId);
    this.withdrawn.delete(file.taskId);
  }

  isQueued(id: TaskId): boolean {
    return (this.#filesOf.get(id) ?? 0) > 0;
  }

  /**
   * A listing reads one ref after the other: it can show a claim next to what its owner's ref held a moment before. So
   * what ended within the tolerance counts.
   */
  #looksOrphaned(claim: ClaimedState, nowMs: number): boolean {
    if (canBeTakenForGone(this.nodes.get(claim.nodeId) ?? null, claim)) return true;
    const before = this.#before.get(claim.nodeId);
    return (
      before !== undefined && nowMs - before.untilMs <= this.#toleranceMs && canBeTakenForGone(before.standing, claim)
    );
  }
}

export function claimKey(claim: { taskId: string; node: string; incarnation: string; epoch: number }): string {
  return `${claim.taskId} ${claim.node} ${claim.incarnation} ${claim.epoch}`;
}
