/**
 * One polling cycle: look at the grid, put right what concerns this worker, settle what needs no container, record, and
 * claim what there is room for.
 *
 * The order matters: what might have been lost is looked at before anything new is taken on, and a claim from nothing is
 * looked at once more after it was won.
 */
import type { Oid } from '../git/oid.ts';
import type { MemoryVerdict } from '../host/admission.ts';
import type { ClaimBook, ClaimLoss, HeldClaim } from '../ledger/claims.ts';
import type { DeathWatch } from '../ledger/death-watch.ts';
import type { GridReader, GridView } from '../ledger/grid-view.ts';
import type { Membership } from '../ledger/membership.ts';
import type { Observations } from '../ledger/observations.ts';
import type { OutputSweep } from '../ledger/output-sweep.ts';
import { type Recorder, recordingRank, settledRefs } from '../ledger/recorder.ts';
import { type Candidate, selectCandidates } from '../ledger/selection.ts';
import type { Settler } from '../ledger/settler.ts';
import type { SpecCache } from '../ledger/spec-cache.ts';
import type { ClaimedState } from '../ledger/state-codec.ts';
import type { Emit, EventName } from '../observe/events.ts';
import type { Clock } from '../runtime.ts';
import type { NodeId } from '../task/id.ts';
import { chooseFitting, type Unfit } from './fitting.ts';
import type { Gate } from './gate.ts';
import type { ImageBreakers } from './image-breakers.ts';
import { NewerFields } from './newer-fields.ts';
import { Oddities } from './oddities.ts';
import { isWorthAPush, type Prefetch } from './prefetch.ts';
import type { RecordingTurn } from './recording-turn.ts';
import { hopelessImages } from './set-aside-images.ts';
import type { TaskRunner } from './task-runner.ts';

export interface CycleParts {
  nodeId: NodeId;
  nodeLabels: readonly string[];
  nodeTtlMs: number;
  maxParallelTasks: number;
  prefetch: Prefetch;
  useSmartPolling: boolean;
  reader: GridReader;
  book: ClaimBook;
  membership: Membership;
  recorder: Recorder;
  outputSweep: OutputSweep;
  settler: Settler;
  specs: SpecCache;
  watch: DeathWatch;
  observations: Observations;
  recordingTurn: RecordingTurn;
  runner: TaskRunner;
  gate: Gate;
  /** For how long the budget of pushes lets none begin. */
  pushWaitMs: () => number;
  /** How many starts the hourly quota has left. */
  quotaLeft: () => number;
  /** Whether a task of this size may be started now, next to those in work. */
  memoryFor: (neededBytes: number, promisedBytes: number) => MemoryVerdict;
  /** What a task gets that names no image. */
  defaultImage: string;
  images: ImageBreakers;
  /** The engine failed again and again: the next start shows whether it still does. */
  isEngineOnTrial: () => boolean;
  /** What a task gets that does not say how much memory it wants. */
  defaultMemoryBytes: number;
  clock: Clock;
  emit: Emit;
}

export interface CycleReport {
  /** Tasks that are queued, in work or unrecorded, as far as this worker's labels and the host's refusals let it care. */
  open: number;
  /** When something falls due by itself (a delay, a recording); null when nothing does. */
  nextLookMs: number | null;
  /** Nothing is there that this worker could have to do something about, now or if somebody dies; and nothing was new. */
  quiet: boolean;
}

/** So long before a push may begin it is time to choose what to claim with it. */
const CHOOSE_BEFORE_MS = 500;

const LOSS_EVENTS = {
  withdrawn: 'task.withdrawn',
  cancelled: 'task.cancelled',
  settled: 'task.claim-given-up',
  fenced: 'task.fenced',
} as const satisfies Record<ClaimLoss, EventName>;

export class Cycle {
  readonly #parts: CycleParts;
  readonly #oddities: Oddities;
  readonly #newerFields: NewerFields;
  #reportedTip: Oid | null = null;
  /** Until the next push may begin there is nothing to choose. */
  #claimsInMs: number | null = null;
  /** A recording may have to wait for the budget, and then nothing else waits for it. */
  #recording: Promise<void> | null = null;
  /** There is room for more, which was left to the nodes that it falls to: for the next look. */
  #leftToOthers = false;
  /** The first task that there was no memory for, as last told. */
  #unfit: Unfit | null = null;
  /** Claims that may be started as soon as there is a slot. */
  readonly #ready = new Set<HeldClaim>();
  /** States whose refs are being deleted. */
  readonly #sweeping = new Set<Oid>();
  failedPulls = 0;

  constructor(parts: CycleParts) {
    this.#parts = parts;
    this.#oddities = new Oddities(parts.emit);
    this.#newerFields = new NewerFields({
      nodeId: parts.nodeId,
      nodeTtlMs: parts.nodeTtlMs,
      silentMs: (id) => parts.watch.seemsSilentMs(id),
      emit: parts.emit,
    });
  }

  /** What this worker leaves alone although it claims: the first task that there was no memory for. */
  get unfit(): Unfit | null {
    return this.#unfit;
  }

  /** A slot is free: starts what was claimed ahead. */
  startReady(): void {
    const { book, gate, maxParallelTasks, runner } = this.#parts;
    for (const claim of this.#ready) {
      const isGone = book.held.get(claim.taskId) !== claim || runner.isActive(claim.taskId);
      if (!isGone && (!gate.isOpen || runner.occupiedSlots >= maxParallelTasks)) break;
      this.#ready.delete(claim);
      if (!isGone) runner.start(claim);
    }
  }

  /** @throws GitError when the remote can't be read. */
  async run(signal?: AbortSignal): Promise<CycleReport> {
    const { book, membership, reader, settler } = this.#parts;
    const view = await this.#look(signal);
    this.#releaseLost(view);
    await book.publishOutbox();
    await this.#takeUpStrays(view);
    this.#start(await book.verify(view));
    await this.#handBackReady();
    if (await membership.fenceDead(view, this.#parts.watch)) this.#parts.outputSweep.mayBeLeft();
    this.#sweepOutputs(view, signal);
    await settler.settle(view, (claim) => membership.isOrphan(view, claim), this.#newerFields.look(view));
    // Neither needs to wait for the other: what is to be recorded has been in sight since the look.
    const recording = this.#startRecording(view);
    const both = await Promise.allSettled([
      // Where pushes are rationed it may take minutes. The publisher tells of what fails, and a later look finds it undone.
      this.#parts.prefetch.isRationed ? null : recording,
      this.#takeOn(view, signal),
    ]);
    for (const outcome of both) if (outcome.status === 'rejected') throw outcome.reason;
    return this.#report(reader.view);
  }

  #startRecording(view: GridView): Promise<void> {
    this.#recording ??= this.#record(view).finally(() => {
      this.#recording = null;
    });
    this.#recording.catch(() => {}); // for the case that nobody waits for it
    return this.#recording;
  }

  /** Claims what there is room for, and looks once more at what was won from nothing. */
  async #takeOn(seen: GridView, signal: AbortSignal | undefined): Promise<void> {
    const { book, clock, prefetch, pushWaitMs } = this.#parts;
    // Chosen now, it would be little: slots that become free until the push may begin could not be filled by it.
    const waitMs = pushWaitMs();
    this.#claimsInMs = waitMs > CHOOSE_BEFORE_MS ? waitMs - CHOOSE_BEFORE_MS / 2 : null;
    if (this.#claimsInMs !== null) return;
    const claimingMs = clock.monotonicMs();
    if (!(await this.#claim(seen))) return;
    const view = await this.#second(signal);
    this.#start(await book.verify(view));
    prefetch.claimed(clock.monotonicMs() - claimingMs);
    this.#releaseLost(view);
  }

  /** One last look before leaving, so that what this worker finished is recorded even if nobody else is there. */
  async finalRecording(signal: AbortSignal): Promise<void> {
    await this.#recording?.catch(() => {});
    await this.#parts.outputSweep.look({ now: true, signal });
    const view = await this.#second(signal);
    await this.#record(view, { last: true });
    await this.#parts.outputSweep.clear(view);
  }

  async #look(signal: AbortSignal | undefined): Promise<GridView> {
    const { clock, emit, images, nodeId, observations, reader, specs, useSmartPolling, watch } = this.#parts;
    let view: GridView;
    try {
      // What others set aside decides about tasks only while this node does too; what they know, where this one does not.
      const asksOthers = images.setAside.length > 0 || specs.hasUnknownFields;
      const nodes = asksOthers ? ({ nodes: 'all' } as const) : {};
      view = await reader.refresh({ always: !useSmartPolling, ...nodes, ...(signal ? { signal } : {}) });
    } catch (error) {
      this.failedPulls += 1;
      throw error;
    }
    emit(view.fetched ? 'poll.pulling' : 'poll.skipped', { tip: view.tip, queued: view.queue.files.size });
    watch.observe(
      [...view.nodes].map(([id, { oid }]) => [id, oid] as const),
      view,
    );
    images.noteOthers(hopelessImages(view, { nodeId, silentMs: (id) => watch.seemsSilentMs(id) }));
    await specs.update(view.queue);
    observations.observe(view, clock.monotonicMs());
    this.#oddities.tell(view);
    return view;
  }

  /** The second look after claims were won. */
  async #second(signal: AbortSignal | undefined): Promise<GridView> {
    const { clock, observations, reader, specs } = this.#parts;
    const view = await reader.refresh(signal ? { signal } : {});
    await specs.update(view.queue);
    observations.observe(view, clock.monotonicMs());
    return view;
  }

  #releaseLost(view: GridView): void {
    const { book, emit, runner } = this.#parts;
    for (const { claim, loss } of book.losses(view)) {
      if (runner.isActive(claim.taskId)) {
        if (!runner.stop(claim.taskId, loss === 'settled' ? 'fenced' : loss)) continue;
      } else if (loss === 'withdrawn') runner.settleWithdrawn(claim);
      else book.drop(claim);
      emit(LOSS_EVENTS[loss], { task: claim.taskId });
    }
  }

  /** Claims of this incarnation that the grid shows and the book lacks: their push won without our knowing. */
  async #takeUpStrays(view: GridView): Promise<void> {
    const { book, membership, nodeId, runner, specs } = this.#parts;
    for (const [id, { oid, state }] of view.tasks) {
      if (state?.kind !== 'state' || state.state.state !== 'claimed') continue;
      const claim: ClaimedState = state.state;
      if (claim.nodeId !== nodeId || claim.incarnation !== membership.incarnation) continue;
      if (book.held.has(id) || runner.isActive(id) || book.isSetAside(id)) continue;
      const file = view.queue.files.get(id);
      const parsed = file?.blob === claim.specBlob ? specs.get(file) : null;
      if (file && parsed?.ok && !book.wasHeld(oid))
        book.takeUpStray({ oid, state: claim }, { ...parsed, signature: file.signature });
      else await book.releaseStray({ oid, state: claim });
    }
  }

  #start(claims: readonly HeldClaim[]): void {
    // Declared dead: what was won until now is dropped, and would only have to be stopped.
    if (this.#parts.gate.isClosedBy('registration')) return;
    for (const claim of claims) this.#ready.add(claim);
    this.startReady();
  }

  /** While this worker may start nothing, others shall have what it has claimed ahead. */
  async #handBackReady(): Promise<void> {
    const { book, emit, gate, runner } = this.#parts;
    this.startReady();
    if (gate.isOpen || gate.isClosedBy('registration') || gate.isClosedBy('draining')) return;
    const waiting = [...this.#ready].filter((claim) => book.held.get(claim.taskId) === claim);
    this.#ready.clear();
    const how = { waitReason: 'handed-back', delayMs: 0, failed: false, started: false } as const;
    await Promise.all(
      waiting.map(async (claim) => {
        if (runner.isActive(claim.taskId)) return;
        emit('task.handed-back', { task: claim.taskId, started: false });
        // If nothing certain comes of it, the claim is a stray one, and the next cycle takes it up again.
        await book.putBack(claim, how).catch(() => book.drop(claim));
      }),
    );
  }

  /** @returns true when something was won. */
  async #claim(view: GridView): Promise<boolean> {
    const { book, gate, isEngineOnTrial, maxParallelTasks, prefetch, quotaLeft, runner } = this.#parts;
    this.#leftToOthers = false;
    if (!gate.isOpen) return false;
    const waiting = [...book.held.keys()].filter((id) => !runner.isActive(id)).length;
    const nodes = [...view.nodes.values()].filter(
      ({ state }) => state?.kind !== 'state' || state.state.state === 'alive',
    );
    const share = (view.queue.files.size - view.tasks.size) / Math.max(1, nodes.length);
    const extra = prefetch.extra(share);
    const room = Math.min(
      maxParallelTasks + extra - runner.occupiedSlots - waiting,
      quotaLeft() - runner.uncountedStarts - waiting,
      isEngineOnTrial() ? 1 - runner.starting : Number.POSITIVE_INFINITY,
    );
    if (!isWorthAPush({ extra, room, waiting })) return false;
    const chosen = this.#fitting(this.#candidates(view, room), room);
    if (chosen.length === 0) return false;
    runner.foresee(chosen.map(({ spec }) => spec));
    const won = await book.claim(chosen);
    this.#start(won.filter(({ stage }) => stage === 'verified'));
    return won.length > 0;
  }

  #candidates(view: GridView, room: number): Iterable<Candidate> {
    const { book, clock, defaultImage, images, membership, nodeId, nodeLabels, observations, runner, specs } =
      this.#parts;
    const now = clock.monotonicMs();
    return selectCandidates({
      view,
      briefOf: (file) => specs.brief(file),
      parsedOf: (file) => specs.get(file),
      // In work here: a view from before its claim shows a task as free, and what was lost may still be ending.
      isWanted: (id) => !runner.isActive(id) && !book.isSetAside(id),
      suits:
        images.setAside.length === 0 ? null : ({ image, requires }) => images.room(image ?? defaultImage, requires) > 0,
      isOrphan: (claim) => membership.isOrphan(view, claim),
      delayIsOver: (oid, state) => observations.delayIsOver(oid, state, now),
      arrivalOf: (id) => observations.arrivalOf(id),
      nodeId,
      nodeLabels,
      room,
    });
  }

  #fitting(candidates: Iterable<Candidate>, room: number): Candidate[] {
    const { book, emit, prefetch, runner } = this.#parts;
    const waiting = [...book.held.values()].filter(({ taskId }) => !runner.isActive(taskId));
    const fit = chooseFitting(candidates, {
      ...this.#parts,
      room,
      occupiedBytes: runner.occupiedMemoryBytes,
      waiting,
      // Where pushes are rationed each has to bring as much as it can.
      leavesToOthers: !prefetch.isRationed,
    });
    this.#leftToOthers = fit.leftToOthers;
    if (fit.unfit && fit.unfit.task !== this.#unfit?.task) {
      const { bytes, problem, task } = fit.unfit;
      emit('limit.memory', { task, memory_bytes: bytes, problem });
    }
    this.#unfit = fit.unfit;
    return fit.chosen;
  }

  /** @param options.last there will be no other chance: not even a container that cannot be stopped is waited for. */
  async #record(view: GridView, options: { last?: boolean } = {}): Promise<void> {
    const { book, clock, nodeId, nodeTtlMs, observations, recorder, recordingTurn, runner, watch } = this.#parts;
    const now = clock.monotonicMs();
    const waiting = recorder.recordable(view);
    const rank = recordingRank(view, nodeId, (id) => {
      const state = view.nodes.get(id)?.state;
      // Heartbeats of idle nodes are not read: they are taken to be as patient as this one.
      const ttlMs = state?.kind === 'state' ? state.state.ttlMs : nodeTtlMs;
      return watch.seemsSilentMs(id) > ttlMs;
    });
    const oldestMs = Math.max(0, ...waiting.map(({ oid }) => observations.ageMs(oid, now)));
    const idle = runner.activeCount === 0 && book.held.size === 0 && this.#inWork(view) === 0;
    const hurry = options.last === true || idle;
    if (recordingTurn.isDue({ waiting: waiting.length, oldestMs, rank, tip: view.tip, hurry, nowMs: now })) {
      const outcome = await recorder.record(view);
      if (outcome.kind === 'refused') recordingTurn.refused(clock.monotonicMs());
      if (outcome.kind === 'locked') recordingTurn.held(clock.monotonicMs());
      if (outcome.kind === 'recorded') {
        recordingTurn.accepted();
        // The record must be seen on the branch before any ref goes.
        await this.#second(undefined);
        await this.#sweep(this.#parts.reader.view, options.last === true);
        return;
      }
    }
    // Left over by a recorder that died before its deletions: whoever comes first in the order cleans up. So does whoever
    // leaves: a claim that it has just handed back may have come after the record, and it may be the last one here.
    if (rank === 0 || options.last) await this.#sweep(view, options.last === true);
  }

  /** Nobody waits for it. What it found is deleted by the next look, which is later than the listing. */
  #sweepOutputs(view: GridView, signal: AbortSignal | undefined): void {
    const { outputSweep } = this.#parts;
    void outputSweep.clear(view);
    void outputSweep.look(signal ? { signal } : {});
  }

  /** Nothing waits for deletions, but for the last look: they travel with what else there is to push. */
  async #sweep(view: GridView, wait: boolean): Promise<void> {
    const { membership, recorder } = this.#parts;
    const settled = settledRefs(view, (claim) => membership.isOrphan(view, claim));
    const fresh = settled.filter(({ oid }) => wait || !this.#sweeping.has(oid));
    if (fresh.length === 0) return;
    for (const { oid } of fresh) this.#sweeping.add(oid);
    const swept = recorder.sweep(fresh).finally(() => {
      for (const { oid } of fresh) this.#sweeping.delete(oid);
    });
    if (wait) await swept;
    // The publisher tells of what failed; the next look finds what is left.
    else swept.catch(() => undefined);
  }

  /** Tasks queued or claimed that somebody still has to finish. */
  #inWork(view: GridView): number {
    let count = 0;
    for (const id of view.queue.files.keys()) {
      const state = view.tasks.get(id)?.state;
      const finished = state?.kind === 'state' && state.state.state === 'finished';
      if (!finished && !view.queue.alreadyRecorded.has(id)) count += 1;
    }
    return count;
  }

  #report(view: GridView): CycleReport {
    const { book, clock, images, observations, recorder, recordingTurn, runner } = this.#parts;
    const now = clock.monotonicMs();
    const unrecorded = recordingTurn.isRefused(now) ? 0 : recorder.recordable(view).length;
    const dueMs: number[] = unrecorded > 0 && !this.#recording ? [recordingTurn.nextLookMs(now)] : [];
    if (this.#claimsInMs !== null && view.queue.files.size > view.tasks.size) dueMs.push(this.#claimsInMs);
    if (this.#leftToOthers) dueMs.push(0);
    if (images.nextTrialMs !== null) dueMs.push(images.nextTrialMs);
    for (const { oid, state } of view.tasks.values()) {
      if (state?.kind !== 'state' || state.state.state !== 'waiting') continue;
      dueMs.push(Math.max(0, state.state.delayMs - observations.ageMs(oid, now)));
    }
    const nextLookMs = dueMs.length > 0 ? Math.min(...dueMs) : null;
    const open = this.#inWork(view) + unrecorded + runner.activeCount + book.held.size + book.unpublishedCount;
    const quiet = view.tip === this.#reportedTip && unrecorded === 0 && !this.#isBusy(view);
    this.#reportedTip = view.tip;
    return { open, nextLookMs, quiet };
  }

  /** Whether this worker has, or may come to have, something to do. The claims of others count: their nodes may die. */
  #isBusy(view: GridView): boolean {
    const { book, clock, nodeLabels, recordingTurn, runner, specs } = this.#parts;
    if (runner.activeCount + book.held.size + book.unpublishedCount > 0) return true;
    const refused = recordingTurn.isRefused(clock.monotonicMs());
    for (const { state } of view.tasks.values()) {
      // Not read yet. What cannot be read, or is newer, is left alone.
      if (state === null) return true;
      if (state.kind === 'state' && !(refused && state.state.state === 'finished')) return true;
    }
    for (const [id, file] of view.queue.files) {
      if (view.tasks.has(id) || view.queue.alreadyRecorded.has(id)) continue;
      const brief = specs.brief(file);
      if (!brief?.ok || brief.requires.every((label) => nodeLabels.includes(label))) return true;
    }
    return false;
  }
}
