/**
 * The claims that this worker holds, and everything that may happen to one.
 *
 * States of a held claim: won → verified → publishing (its result is made, not yet acknowledged) → gone.
 * Invariants:
 * - A claim is in the book only when its swap is known to have won.
 * - A task is started only from a verified claim: one that was taken from nothing is verified by a listing that began
 *   after the win and still shows the task queued and unrecorded.
 * - What leaves a claim (result, waiting, adoption) is swapped from exactly the object that is held. If that fails, the
 *   task belongs to somebody else: the result is dropped.
 */
import type { Oid } from '../git/oid.ts';
import type { Emit } from '../observe/events.ts';
import type { Clock } from '../runtime.ts';
import type { SwapStep } from '../steps.ts';
import type { NodeId, TaskId } from '../task/id.ts';
import type { TaskResult } from '../task/result.ts';
import type { TaskSpec } from '../task/spec.ts';
import type { GridReader, GridView } from './grid-view.ts';
import { taskRef } from './names.ts';
import type { Outbox, OutboxEntry } from './outbox.ts';
import type { PushRequest } from './publisher.ts';
import type { Candidate } from './selection.ts';
import { SetAside } from './set-aside.ts';
import type { SwapOutcome } from './settle.ts';
import type { ClaimedState, FinishedState, WaitingState } from './state-codec.ts';
import type { StateWriter, WrittenState } from './state-writer.ts';

export interface HeldClaim {
  readonly taskId: TaskId;
  readonly state: ClaimedState;
  readonly oid: Oid;
  readonly spec: TaskSpec;
  /** The task file's JSON, for the record. */
  readonly raw: unknown;
  /** The blob of the task file's signature, as it stood beside it when it was claimed. */
  readonly signature: Oid | null;
  /** Monotonic instant at which the win was known. */
  readonly wonAtMs: number;
  readonly claimedAtMs: number;
  readonly claimDurationMs: number;
  stage: 'won' | 'verified' | 'publishing';
}

/** A task file as read and checked. */
export interface TaskFile {
  spec: TaskSpec;
  raw: unknown;
  signature: Oid | null;
}

/** Why a claim that was held is no longer ours to act upon. */
export type ClaimLoss = 'fenced' | 'cancelled' | 'withdrawn' | 'settled';

export type FinishOutcome = 'accepted' | 'dropped' | 'unpublished';

/** Far more than can be in work, or on their way, at one time. */
const MAX_EVER_HELD = 10_000;

export interface ClaimBookParts {
  nodeId: NodeId;
  incarnation: () => string;
  reader: GridReader;
  writer: StateWriter;
  outbox: Outbox;
  push: (request: PushRequest) => Promise<SwapOutcome>;
  /** The result of this task was accepted: nobody will run it again. */
  onAccepted: (id: TaskId) => void;
  clock: Clock;
  emit: Emit;
}

export class ClaimBook {
  readonly #parts: ClaimBookParts;
  readonly #held = new Map<TaskId, HeldClaim>();
  readonly #aside = new SetAside();
  readonly #everHeld = new Set<Oid>();
  /** Results that no push has settled yet; the durable copy is in the outbox. */
  readonly #unpublished = new Map<Oid, OutboxEntry>();
  claimsLost = 0;
  resultsDropped = 0;

  constructor(parts: ClaimBookParts) {
    this.#parts = parts;
  }

  get held(): ReadonlyMap<TaskId, HeldClaim> {
    return this.#held;
  }

  /** Whether the remote would lately not move the ref of this task: it is no use to try again now. */
  isSetAside(id: TaskId): boolean {
    return this.#aside.has(id, this.#parts.clock.monotonicMs());
  }

  get unpublishedCount(): number {
    return this.#unpublished.size;
  }

  /** Tries for these tasks in one push; whatever is won enters the book, unverified if it came from nothing. */
  async claim(candidates: readonly Candidate[]): Promise<HeldClaim[]> {
    const startedMs = this.#parts.clock.monotonicMs();
    const incarnation = this.#parts.incarnation();
    const tries = candidates.map(async (candidate) => {
      const before = candidate.from?.state ?? null;
      const written = this.#parts.writer.task<ClaimedState>(
        {
          state: 'claimed',
          taskId: candidate.taskId,
          nodeId: this.#parts.nodeId,
          incarnation,
          epoch: (before?.epoch ?? 0) + 1,
          attempt: (before?.attempt ?? 0) + 1,
          failures: before?.failures ?? 0,
          takeovers: (before?.takeovers ?? 0) + (before?.state === 'claimed' ? 1 : 0),
          specBlob: candidate.file.blob,
        },
        before && candidate.from ? { oid: candidate.from.oid, state: before.state } : null,
      );
      const outcome = await this.#swap(candidate.taskId, candidate.from?.oid ?? null, written, 'swap.claim').catch(
        // Nothing certain: if it was applied, a later view shows the stray claim, and it is taken up then.
        () => null,
      );
      if (outcome?.kind !== 'won') {
        this.claimsLost += outcome ? 1 : 0;
        if (outcome) this.#parts.emit('task.claim-lost', { task: candidate.taskId, outcome: outcome.kind });
        return null;
      }
      // Declared dead and registered anew meanwhile: the claim is an orphan, free for anybody.
      if (incarnation !== this.#parts.incarnation()) return null;
      return this.#enter(
        { ...candidate, signature: candidate.file.signature },
        written,
        startedMs,
        candidate.from ? 'verified' : 'won',
      );
    });
    const claims = (await Promise.all(tries)).filter((claim) => claim !== null);
    for (const claim of claims) {
      const before = candidates.find(({ taskId }) => taskId === claim.taskId)?.from?.state;
      if (before?.state === 'claimed') {
        this.#parts.emit('task.taken-over', { task: claim.taskId, from_node: before.nodeId, epoch: claim.state.epoch });
      }
      this.#emitClaimed(claim);
    }
    return claims;
  }

  /**
   * Moves a claim of an earlier incarnation of this node, whose container is still there, to the present incarnation.
   * The attempt stays: nothing is started again.
   */
  async adopt(known: { oid: Oid; state: ClaimedState }, task: TaskFile): Promise<HeldClaim | null> {
    const startedMs = this.#parts.clock.monotonicMs();
    const file = { ...task, taskId: known.state.taskId };
    if (known.state.incarnation === this.#parts.incarnation()) {
      // An earlier try of this life that won without our knowing.
      return this.#enter(file, { commit: known, state: known.state }, startedMs, 'verified');
    }
    const { nonce: _, ...facts } = known.state;
    const written = this.#parts.writer.task<ClaimedState>(
      { ...facts, incarnation: this.#parts.incarnation() },
      { oid: known.oid, state: 'claimed' },
    );
    const outcome = await this.#swap(known.state.taskId, known.oid, written, 'swap.adopt');
    return outcome.kind === 'won' ? this.#enter(file, written, startedMs, 'verified') : null;
  }

  /** A claim of ours that the grid shows and the book lacks: its push won although nobody told us. */
  takeUpStray(known: { oid: Oid; state: ClaimedState }, task: TaskFile): void {
    const claim: HeldClaim = {
      taskId: known.state.taskId,
      state: known.state,
      oid: known.oid,
      spec: task.spec,
      raw: task.raw,
      signature: task.signature,
      wonAtMs: this.#parts.clock.monotonicMs(),
      claimedAtMs: this.#parts.clock.wallMs(),
      claimDurationMs: 0,
      stage: 'won',
    };
    this.#hold(claim);
    this.#emitClaimed(claim);
  }

  /** Whether a claim was in the book once, so that its task may have been started under it. */
  wasHeld(oid: Oid): boolean {
    return this.#everHeld.has(oid);
  }

  /**
   * A stray claim that is not to be started under: its task file has changed or gone since, or what was started under it
   * got lost. Back to where anybody can judge it. @throws GitError
   */
  async releaseStray(known: { oid: Oid; state: ClaimedState }): Promise<void> {
    const written = this.#parts.writer.task<WaitingState>(
      {
        ...factsOf(known.state),
        state: 'waiting',
        attempt: known.state.attempt - (this.wasHeld(known.oid) ? 0 : 1),
        waitReason: 'handed-back',
        delayMs: 0,
      },
      { oid: known.oid, state: 'claimed' },
    );
    await this.#swap(known.state.taskId, known.oid, written, 'swap.release');
  }

  /**
   * The second look. A task could have been finished, recorded and its ref deleted between our reading and our claim.
   * @returns claims that may start now. Those that turn out settled are given up, withdrawn ones are left to `losses`.
   */
  async verify(view: GridView): Promise<HeldClaim[]> {
    const verified: HeldClaim[] = [];
    for (const claim of this.#held.values()) {
      if (claim.stage !== 'won' || view.listedAtMs < claim.wonAtMs) continue;
      if (view.tasks.get(claim.taskId)?.oid !== claim.oid) {
        if (!isOlder(view, claim)) continue;
        // Nothing runs on it yet: if it stands, a later view shows it as a stray one.
        this.#forget(claim);
        this.#everHeld.delete(claim.oid);
        continue;
      }
      if (view.queue.recordOf(claim.taskId)) await this.giveUp(claim);
      else if (view.queue.files.has(claim.taskId)) {
        claim.stage = 'verified';
        verified.push(claim);
      }
    }
    return verified;
  }

  /** Held claims that a view newer than them shows to be no longer ours, or no longer wanted. */
  losses(view: GridView): { claim: HeldClaim; loss: ClaimLoss }[] {
    const losses: { claim: HeldClaim; loss: ClaimLoss }[] = [];
    for (const claim of this.#held.values()) {
      if (view.listedAtMs < claim.wonAtMs || claim.stage === 'publishing') continue;
      const known = view.tasks.get(claim.taskId);
      if (known?.oid !== claim.oid) {
        if (isOlder(view, claim)) continue;
        const state = known?.state?.kind === 'state' ? known.state.state : null;
        const cancelled = state?.state === 'finished' && state.reason === 'cancelled';
        losses.push({ claim, loss: cancelled ? 'cancelled' : 'fenced' });
      } else if (!view.queue.files.has(claim.taskId)) {
        losses.push({ claim, loss: view.queue.recordOf(claim.taskId) ? 'settled' : 'withdrawn' });
      }
    }
    return losses;
  }

  /** Leaves a claim whose task has its record already. Only the ref goes; nothing of the task is lost. */
  async giveUp(claim: HeldClaim): Promise<void> {
    this.#forget(claim);
    this.#parts.emit('task.claim-given-up', { task: claim.taskId });
    await this.#parts
      .push({
        swap: { ref: taskRef(this.#parts.reader.namespace, claim.taskId), from: claim.oid, to: null },
        objects: [],
        step: 'swap.give-up',
      })
      // If this fails the claim is recorded and orphaned sooner or later; the janitor removes it then.
      .catch(() => undefined);
  }

  /** For a claim that was lost: nothing to push. */
  drop(claim: HeldClaim): void {
    this.#forget(claim);
  }

  /**
   * Puts the task back for anybody: after a failure with tries left, or because this worker will not finish it.
   * @param started false when the container never ran, so that the attempt is not counted.
   * @throws GitError when nothing certain is known.
   */
  async putBack(
    claim: HeldClaim,
    how: { waitReason: WaitingState['waitReason']; delayMs: number; failed: boolean; started: boolean },
  ): Promise<boolean> {
    const { state } = claim;
    claim.stage = 'publishing';
    const written = this.#parts.writer.task<WaitingState>(
      {
        ...factsOf(state),
        state: 'waiting',
        attempt: state.attempt - (how.started ? 0 : 1),
        failures: state.failures + (how.failed ? 1 : 0),
        waitReason: how.waitReason,
        delayMs: how.delayMs,
      },
      { oid: claim.oid, state: 'claimed' },
    );
    const outcome = await this.#swap(claim.taskId, claim.oid, written, 'swap.put-back');
    this.#forget(claim);
    if (outcome.kind === 'lost') this.#dropped(claim);
    return outcome.kind === 'won';
  }

  /**
   * Makes the result durable, then publishes it from the held claim.
   * @param onDurable called once the result can't be lost by a crash any more: the container may go.
   */
  async finish(claim: HeldClaim, result: TaskResult, onDurable: () => Promise<void>): Promise<FinishOutcome> {
    const { record } = result;
    const written = this.#parts.writer.task<FinishedState>(
      { ...factsOf(claim.state), state: 'finished', status: record.status, reason: record.reason },
      { oid: claim.oid, state: 'claimed' },
      result,
    );
    claim.stage = 'publishing';
    const ref = taskRef(this.#parts.reader.namespace, claim.taskId);
    const entry: OutboxEntry = {
      taskId: claim.taskId,
      swap: { ref, from: claim.oid, to: written.commit.oid },
      objects: written.objects,
    };
    this.#parts.reader.remember(written.commit, written.state);
    this.#unpublished.set(entry.swap.to, entry);
    // Before it is durable nobody else may send it.
    this.#publishing.add(entry.swap.to);
    let durable = true;
    try {
      await this.#parts.outbox.add(entry, this.#parts.writer.format);
    } catch (error) {
      // A full disk: publish from memory, and leave the container where it is until the result is settled.
      durable = false;
      this.#parts.emit('outbox.failed', { task: claim.taskId, err: error });
    }
    if (!durable) this.#heldBack.set(entry.swap.to, onDurable);
    const [outcome] = await Promise.all([this.#publish(entry), durable ? onDurable() : undefined]);
    return outcome;
  }

  /** Loads what an earlier run left and answers the tasks concerned: their claims need no adoption. */
  async loadOutbox(): Promise<OutboxEntry[]> {
    const entries = await this.#parts.outbox.load();
    for (const entry of entries) this.#unpublished.set(entry.swap.to, entry);
    if (entries.length > 0) this.#parts.emit('outbox.replayed', { results: entries.length });
    return entries;
  }

  /** Tries once more for everything that no push has settled. Never throws. */
  async publishOutbox(): Promise<void> {
    const settled = this.#settledEntries;
    this.#settledEntries = [];
    await Promise.all(settled.map((entry) => this.#settled(entry)));
    const waiting = [...this.#unpublished.values()].filter((entry) => !this.#publishing.has(entry.swap.to));
    await Promise.all(waiting.map((entry) => this.#publish(entry)));
  }

  readonly #publishing = new Set<Oid>();
  /** For results that no disk holds: what may be done only once they are settled. */
  readonly #heldBack = new Map<Oid, () => Promise<void>>();
  /** Entries of settled results that could not be removed yet. */
  #settledEntries: OutboxEntry[] = [];

  async #publish(entry: OutboxEntry): Promise<FinishOutcome> {
    this.#publishing.add(entry.swap.to);
    try {
      const outcome = await this.#parts.push({ swap: entry.swap, objects: entry.objects, step: 'swap.result' });
      if (outcome.kind === 'refused') return 'unpublished';
      const certain: FinishOutcome =
        outcome.kind === 'won' ? 'accepted' : outcome.current === null ? await this.#whyGone(entry) : 'dropped';
      if (certain === 'unpublished') return certain;
      await this.#settled(entry);
      if (certain === 'accepted') {
        this.#parts.onAccepted(entry.taskId);
        this.#parts.emit('result.acknowledged', { task: entry.taskId });
      } else this.#dropped(entry);
      return certain;
    } catch {
      // The publisher has told; the outbox keeps it and the next cycle tries again.
      return 'unpublished';
    } finally {
      this.#publishing.delete(entry.swap.to);
    }
  }

  async #settled(entry: OutboxEntry): Promise<void> {
    this.#unpublished.delete(entry.swap.to);
    const release = this.#heldBack.get(entry.swap.to);
    this.#heldBack.delete(entry.swap.to);
    await release?.();
    const claim = this.#held.get(entry.taskId);
    if (claim?.oid === entry.swap.from) this.#held.delete(entry.taskId);
    try {
      await this.#parts.outbox.remove(entry);
    } catch (error) {
      // Left there, the next life would send it once more and find it settled.
      this.#settledEntries.push(entry);
      this.#parts.emit('outbox.failed', { task: entry.taskId, err: error });
    }
  }

  /**
   * The ref seems to be gone. If the task is settled, the record on the branch tells whether by our result, whose
   * acknowledgement got lost before somebody recorded it. A task that is still queued and has no record is not settled:
   * the listing is older than our claim, or somebody deleted the ref by hand. Then the result waits, until the swap goes
   * through or the task shows up as claimed anew.
   */
  async #whyGone(entry: OutboxEntry): Promise<FinishOutcome> {
    const view = await this.#parts.reader.refresh();
    const record = view.queue.recordOf(entry.taskId);
    if (record) return entry.objects.some((object) => object.oid === record.blob) ? 'accepted' : 'dropped';
    const known = view.tasks.get(entry.taskId);
    if (known?.oid === entry.swap.to) return 'accepted';
    const open = known ? known.oid === entry.swap.from : view.queue.files.has(entry.taskId);
    return open ? 'unpublished' : 'dropped';
  }

  async #swap(
    id: TaskId,
    from: Oid | null,
    written: WrittenState & { state: ClaimedState | WaitingState },
    step: SwapStep,
  ): Promise<SwapOutcome> {
    this.#parts.reader.remember(written.commit, written.state);
    const outcome = await this.#parts.push({
      swap: { ref: taskRef(this.#parts.reader.namespace, id), from, to: written.commit.oid },
      objects: written.objects,
      step,
    });
    if (outcome.kind === 'refused') this.#aside.add(id, this.#parts.clock.monotonicMs());
    else this.#aside.forget(id);
    return outcome;
  }

  #enter(
    task: TaskFile & { taskId: TaskId },
    written: { commit: { oid: Oid }; state: ClaimedState },
    startedMs: number,
    stage: HeldClaim['stage'],
  ): HeldClaim {
    const wonAtMs = this.#parts.clock.monotonicMs();
    const claim: HeldClaim = {
      taskId: task.taskId,
      state: written.state,
      oid: written.commit.oid,
      spec: task.spec,
      raw: task.raw,
      signature: task.signature,
      wonAtMs,
      claimedAtMs: this.#parts.clock.wallMs(),
      claimDurationMs: wonAtMs - startedMs,
      stage,
    };
    this.#hold(claim);
    return claim;
  }

  #hold(claim: HeldClaim): void {
    this.#held.set(claim.taskId, claim);
    this.#everHeld.add(claim.oid);
    if (this.#everHeld.size <= MAX_EVER_HELD) return;
    const [oldest] = this.#everHeld;
    if (oldest !== undefined) this.#everHeld.delete(oldest);
  }

  #emitClaimed(claim: HeldClaim): void {
    this.#parts.emit('task.claimed', {
      task: claim.taskId,
      epoch: claim.state.epoch,
      attempt: claim.state.attempt,
      claim_ms: Math.round(claim.claimDurationMs),
    });
  }

  #dropped(what: { taskId: TaskId }): void {
    this.resultsDropped += 1;
    this.#parts.emit('task.fenced', { task: what.taskId });
  }

  #forget(claim: HeldClaim): void {
    if (this.#held.get(claim.taskId) === claim) this.#held.delete(claim.taskId);
  }
}

/**
 * Whether what a view shows of a task may be from before this claim, however late it was asked for. A state of a lower
 * epoch is. A ref is deleted only after its task was recorded; without the record, the view is old, or somebody deleted the ref by hand: then the swap of the result will tell.
 */
function isOlder(view: GridView, claim: HeldClaim): boolean {
  const known = view.tasks.get(claim.taskId);
  if (!known) return !view.queue.recordOf(claim.taskId);
  // Not read yet: the next view says more.
  if (known.state === null) return true;
  return known.state.kind === 'state' && known.state.state.epoch < claim.state.epoch;
}

function factsOf(state: ClaimedState): Omit<ClaimedState, 'state' | 'nonce'> {
  const { state: _state, nonce: _nonce, ...facts } = state;
  return facts;
}
