/**
 * The life of a task on this machine: from a verified claim to a published result or a claim handed back.
 *
 * Invariants:
 * - The container is removed only after its result is durable, or after the claim is known to be somebody else's.
 * - What ends a run on our side has one reason, the first that was given.
 * - A failure of the engine is never written down as a failure of the task: the task goes back to the queue.
 * - A container that cannot be removed holds up nothing: what became of its task is told all the same.
 */
import type { Executor, ExecutorError, FoundRun, Job, Run, RunEnd, StopReason } from '../executor/executor.ts';
import { StateFileError } from '../host/state-file.ts';
import type { ClaimBook, HeldClaim } from '../ledger/claims.ts';
import type { Emit } from '../observe/events.ts';
import type { OwnTask } from '../pages/task-rows.ts';
import { type Clock, isoTime } from '../runtime.ts';
import type { SecretKeeper } from '../secrets/keeper.ts';
import type { SignResult } from '../signing/result-signer.ts';
import { SigningError } from '../signing/ssh-keygen.ts';
import type { NodeId, TaskId } from '../task/id.ts';
import { checkAgainstPolicy, type TaskPolicy } from '../task/policy.ts';
import type { ResultRecord, TaskResult } from '../task/result.ts';
import type { TaskSpec } from '../task/spec.ts';
import { type TaskFacts, unstartedResult } from '../task/unstarted.ts';
import type { ImageBreakers } from './image-breakers.ts';
import type { OutputFeed } from './output-feed.ts';
import { judge, runResult, withheld } from './result-maker.ts';
import type { SignatureCheck } from './signature-check.ts';
import { obtainImage } from './task-image.ts';

/** Delays of further tries after an exit code ≠ 0: doubled each time, bounded. */
const RETRY_BASE_MS = 2_000;
const RETRY_MAX_MS = 300_000;
/** Before a task is offered again that this machine could not run for reasons of its own. */
const ENGINE_TROUBLE_DELAY_MS = 5_000;
const ENGINE_TROUBLE_KINDS: ReadonlySet<string> = new Set([
  'engine-unavailable',
  'engine-timeout',
  'engine-full',
  'engine-error',
]);

export interface RunDefaults {
  image: string;
  cpus: number;
  memoryBytes: number;
}

export interface TaskRunnerParts {
  nodeId: NodeId;
  executor: Executor;
  book: ClaimBook;
  policy: TaskPolicy;
  secrets: Pick<SecretKeeper, 'grant'>;
  defaults: RunDefaults;
  maxTakeovers: number;
  /** Whether the task's signature allows a start. */
  signatures: Pick<SignatureCheck, 'check'>;
  sign: SignResult;
  outputs: Pick<OutputFeed, 'follow'>;
  /** Asks the hourly quota for one start; false: none is left. Durable before it answers. */
  takeQuota: () => Promise<boolean>;
  clock: Clock;
  emit: Emit;
  /** Signatures cannot be checked. */
  onSigningTrouble: (error: SigningError) => void;
  /** @param failedStart the task that it could not start; null: something else failed. */
  onEngineTrouble: (error: ExecutorError, failedStart: TaskId | null) => void;
  /** It has started a container. */
  onEngineStart: () => void;
  /** A result was made here; told to whoever shows what passes by. */
  onResult: (record: ResultRecord) => void;
  /** Whether to ask for an image. */
  images: Pick<ImageBreakers, 'admit'>;
  /** The state directory can't be written. */
  onStateTrouble: (error: Error) => void;
  /** Something changed that the polling loop should look at: a slot is free, a result can be recorded. */
  onSettled: () => void;
  /** A task needs its slot no longer: what is left of it is on its way. @param heldMs for how long it had it */
  onSlotFree: (heldMs: number) => void;
}

interface Active {
  claim: HeldClaim;
  run: Run | null;
  /** Given before there was a container to stop. */
  stopReason: StopReason | null;
  done: Promise<void>;
  /** A start was taken out of the hourly quota, or needs none. */
  counted: boolean;
  /** Aborts what comes before the container: pulling its image. */
  preparing: AbortController;
  /** Whatever is left of its container is not needed any more. */
  abandoned: boolean;
  /** Monotonic. */
  startedMs: number;
  /** When its container ran, by the steady clock and by that on the wall; null: not yet, or before this process. */
  ranFrom: { monotonicMs: number; wallMs: number } | null;
  /** Who signed its file; null: nobody was asked for. */
  signer: string | null;
  /** What would have to be masked in its output is not known. */
  withholdsOutput: boolean;
  /** Nothing of it runs any more, and its result cannot be lost: another task may have its slot. */
  slotFree: boolean;
}

export class TaskRunner {
  readonly #parts: TaskRunnerParts;
  readonly #active = new Map<TaskId, Active>();
  tasksFinished = 0;

  constructor(parts: TaskRunnerParts) {
    this.#parts = parts;
  }

  get activeCount(): number {
    return this.#active.size;
  }

  /** Of the tasks in work, those that others have to wait for. */
  get occupiedSlots(): number {
    return [...this.#active.values()].filter(({ slotFree }) => !slotFree).length;
  }

  /** What each of them was promised. */
  get occupiedMemoryBytes(): number[] {
    return [...this.#active.values()].filter(({ slotFree }) => !slotFree).map(({ claim }) => this.#memoryOf(claim));
  }

  /** Tasks in work that will still ask the hourly quota for their start. */
  get uncountedStarts(): number {
    return [...this.#active.values()].filter(({ counted }) => !counted).length;
  }

  /** Tasks in work that have no container yet. */
  get starting(): number {
    return [...this.#active.values()].filter(({ run, slotFree }) => run === null && !slotFree).length;
  }

  get activeTasks(): { task: TaskId; attempt: number }[] {
    return [...this.#active.values()].map(({ claim }) => ({ task: claim.taskId, attempt: claim.state.attempt }));
  }

  /** The same for people who look: since when, and what. */
  get progress(): OwnTask[] {
    const nowMs = this.#parts.clock.monotonicMs();
    return [...this.#active.values()].map(({ claim, ranFrom }) => ({
      taskId: claim.taskId,
      claimedAtMs: claim.claimedAtMs,
      startedAtMs: ranFrom?.wallMs ?? null,
      runMs: ranFrom ? Math.round(nowMs - ranFrom.monotonicMs) : null,
      image: claim.spec.image ?? this.#parts.defaults.image,
    }));
  }

  /** The same of what it has written so far; null: no container of it runs here, or what to mask in it is not known. */
  written(id: TaskId, maxBytes: number): ReturnType<Run['written']> | null {
    const active = this.#active.get(id);
    return active?.run && !active.withholdsOutput ? active.run.written(maxBytes) : null;
  }

  isActive(id: TaskId): boolean {
    return this.#active.has(id);
  }

  /** Whether a task in work here has got as far as a container. */
  hasStarted(id: TaskId): boolean {
    const run = this.#active.get(id)?.run;
    return run !== null && run !== undefined;
  }

  /** Whether a container with this key belongs to a task in work here. */
  owns(key: { taskId: TaskId; incarnation: string; epoch: number }): boolean {
    const active = this.#active.get(key.taskId);
    if (!active || active.abandoned) return false;
    const runKey = active.run?.key;
    return runKey
      ? runKey.incarnation === key.incarnation && runKey.epoch === key.epoch
      : active.claim.state.epoch === key.epoch;
  }

  /** These are being claimed, and may be started in a moment. */
  foresee(specs: readonly TaskSpec[]): void {
    this.#parts.executor.foresee(specs.map(({ image }) => image ?? this.#parts.defaults.image));
  }

  /** Runs a verified claim. Resolves nothing: the outcome shows in the ledger. */
  start(claim: HeldClaim): void {
    this.#track(claim, (active) => this.#runFresh(active));
  }

  /** Goes on with a container that outlived the worker that started it. */
  resume(claim: HeldClaim, found: FoundRun): void {
    this.#track(claim, async (active) => {
      active.counted = true;
      // Nothing of its secrets outlived the worker that gave them, and by now there may be others under their names.
      active.withholdsOutput = claim.spec.secrets.length > 0;
      const run = found.resume({
        timeoutMs: claim.spec.timeoutMs,
        image: claim.spec.image ?? this.#parts.defaults.image,
      });
      this.#parts.emit('task.adopted', { task: claim.taskId, attempt: claim.state.attempt, container: found.state });
      await this.#follow(active, run);
    });
  }

  /** For a claim whose task file was taken back before anything was started. */
  settleWithdrawn(claim: HeldClaim): void {
    const message = 'its file was removed from the queue before it was started';
    this.#track(claim, (active) => this.#finishUnstarted(active, 'cancelled', message));
  }

  /** @returns false when the task is not in work here, or is being stopped already. */
  stop(id: TaskId, reason: StopReason): boolean {
    const active = this.#active.get(id);
    if (!active || active.stopReason) return false;
    active.stopReason = reason;
    active.preparing.abort();
    active.run?.stop(reason);
    return true;
  }

  stopAll(reason: StopReason): void {
    for (const id of this.#active.keys()) this.stop(id, reason);
  }

  /** Resolves when no task is in work. */
  async idle(): Promise<void> {
    while (this.#active.size > 0) await Promise.all([...this.#active.values()].map(({ done }) => done));
  }

  #track(claim: HeldClaim, work: (active: Active) => Promise<void>): void {
    const active: Active = {
      claim,
      run: null,
      stopReason: null,
      done: Promise.resolve(),
      counted: false,
      preparing: new AbortController(),
      abandoned: false,
      startedMs: this.#parts.clock.monotonicMs(),
      ranFrom: null,
      signer: null,
      withholdsOutput: false,
      slotFree: false,
    };
    this.#active.set(claim.taskId, active);
    active.done = work(active)
      .catch((error: unknown) => this.#fail(active, error))
      .finally(() => {
        this.#active.delete(claim.taskId);
        this.#free(active);
        this.#parts.onSettled();
      });
  }

  async #runFresh(active: Active): Promise<void> {
    const { claim } = active;
    const { executor, defaults, policy } = this.#parts;
    const authority = await this.#parts.signatures.check(claim);
    if (!authority.ok) return this.#reject(active, [authority.problem]);
    active.signer = authority.signer;
    const problems = checkAgainstPolicy(claim.spec, policy);
    if (problems.length > 0) return this.#reject(active, problems);
    const wanted = claim.spec.image ?? defaults.image;
    const had = await obtainImage(
      this.#parts,
      claim.taskId,
      { image: wanted, requires: claim.spec.requires },
      active.preparing.signal,
    );
    if (had.kind === 'leave') {
      return this.#putBack(active, { waitReason: 'handed-back', delayMs: 0, failed: false, started: false });
    }
    if (had.kind === 'unavailable') {
      return this.#finishUnstarted(active, 'image-unavailable', had.message, { name: wanted, digest: null });
    }
    const { image } = had;
    if (active.stopReason) return this.#leave(active, false);
    const { requires } = claim.spec;
    const grant = await this.#parts.secrets.grant(claim.taskId, claim.spec.secrets, {
      signer: active.signer,
      requires,
    });
    if (!grant.ok) return this.#reject(active, [grant.message]);
    if (!(await this.#parts.takeQuota())) {
      return this.#putBack(active, { waitReason: 'handed-back', delayMs: 0, failed: false, started: false });
    }
    active.counted = true;
    const job: Job = {
      key: {
        taskId: claim.taskId,
        nodeId: this.#parts.nodeId,
        incarnation: claim.state.incarnation,
        epoch: claim.state.epoch,
      },
      attempt: claim.state.attempt,
      image: image.name,
      ...(image.id === null ? {} : { pinned: { id: image.id, digest: image.digest } }),
      program: claim.spec.program,
      env: claim.spec.env,
      ...(claim.spec.network === null ? {} : { network: claim.spec.network }),
      ...(grant.secrets.length === 0 ? {} : { secrets: grant.secrets }),
      cpus: claim.spec.cpus ?? defaults.cpus,
      memoryBytes: this.#memoryOf(claim),
      timeoutMs: claim.spec.timeoutMs,
    };
    const run = await executor.start(job);
    active.ranFrom = { monotonicMs: this.#parts.clock.monotonicMs(), wallMs: this.#parts.clock.wallMs() };
    this.#parts.onEngineStart();
    const { attempt, epoch, incarnation } = claim.state;
    const warm = run.isWarm === true;
    this.#parts.emit('task.started', { task: claim.taskId, attempt, epoch, incarnation, image: image.name, warm });
    await this.#follow(active, run, { digest: image.digest, pullMs: image.pullMs });
  }

  /** The operator, or the engine, does not give the task what it asks for: another try would end the same way. */
  async #reject(active: Active, problems: readonly string[]): Promise<void> {
    this.#parts.emit('task.rejected', { task: active.claim.taskId, reason: 'rejected', problems });
    return this.#finishUnstarted(active, 'rejected', problems.join('; '));
  }

  async #follow(active: Active, run: Run, image?: { digest: string | null; pullMs: number }): Promise<void> {
    active.run = run;
    if (active.stopReason) run.stop(active.stopReason);
    // Of what cannot be masked nothing may leave this machine.
    const unfollow = active.withholdsOutput ? null : this.#parts.outputs.follow(active.claim, run);
    let end: RunEnd;
    try {
      end = await run.ended.finally(() => unfollow?.());
    } catch (error) {
      // The container may still be there: the next look at this node's containers removes it.
      await this.#remove(active, run);
      throw error;
    }
    if (image) {
      end = {
        ...end,
        timingsMs: { ...end.timingsMs, pull: image.pullMs },
        image: { ...end.image, digest: end.image.digest ?? image.digest },
      };
    }
    await this.#conclude(active, run, active.withholdsOutput ? withheld(end) : end);
  }

  async #conclude(active: Active, run: Run, end: RunEnd): Promise<void> {
    const { claim } = active;
    const judgement = judge(end, claim.spec.timeoutMs);
    if (!judgement) {
      await this.#remove(active, run);
      if (end.verdict.kind === 'vanished') return this.#vanished(active, end.verdict.message);
      return this.#leave(active, true);
    }
    const { failures } = claim.state;
    const mayRetry = judgement.reason === 'exit-code' && end.verdict.kind === 'exited' && failures < claim.spec.retries;
    if (mayRetry) {
      const delayMs = Math.min(RETRY_MAX_MS, RETRY_BASE_MS * 2 ** failures);
      this.#parts.emit('task.retry', {
        task: claim.taskId,
        exit_code: judgement.exitCode,
        failures: failures + 1,
        delay_ms: delayMs,
      });
      await this.#remove(active, run);
      return this.#putBack(active, { waitReason: 'retry', delayMs, failed: true, started: true });
    }
    const result = runResult(this.#factsOf(active), judgement, end, {
      claimedAtMs: claim.claimedAtMs,
      claimMs: claim.claimDurationMs,
    });
    await this.#finish(active, result, () => this.#remove(active, run));
  }

  /** What stays because the engine fails is removed when this node's containers are looked at next. */
  async #remove(active: Active, run: Run): Promise<void> {
    try {
      await run.dispose();
    } catch (error) {
      active.abandoned = true;
      this.#parts.emit('container.remove-failed', { task: run.key.taskId, err: error });
      this.#parts.onEngineTrouble(error as ExecutorError, null);
    }
  }

  /** Nothing can be said of the task: another try, but not without end. */
  async #vanished(active: Active, message: string): Promise<void> {
    const { claim } = active;
    this.#parts.emit('task.engine-failed', { task: claim.taskId, problem: message });
    const lostStarts = claim.state.attempt - claim.state.failures;
    if (lostStarts > this.#parts.maxTakeovers) {
      return this.#finishUnstarted(
        active,
        'lost',
        `given up after ${lostStarts} starts whose outcome was lost: ${message}`,
      );
    }
    await this.#putBack(active, {
      waitReason: 'handed-back',
      delayMs: ENGINE_TROUBLE_DELAY_MS,
      failed: false,
      started: true,
    });
  }

  /** The run was ended for a reason that leaves the task to others, or to nobody. */
  async #leave(active: Active, started: boolean): Promise<void> {
    switch (active.stopReason) {
      case 'withdrawn':
        return this.#finishUnstarted(active, 'cancelled', 'its file was removed from the queue before it was started');
      case 'handed-back':
        return this.#putBack(active, { waitReason: 'handed-back', delayMs: 0, failed: false, started });
      case 'timeout':
      case 'cancelled':
      case 'fenced':
      case null:
        this.#parts.book.drop(active.claim);
    }
  }

  async #finishUnstarted(
    active: Active,
    reason: 'rejected' | 'image-unavailable' | 'lost' | 'cancelled',
    message: string,
    image: { name: string; digest: string | null } | null = null,
  ): Promise<void> {
    const { claim } = active;
    const result = unstartedResult(this.#factsOf(active), reason, message, isoTime(this.#parts.clock.wallMs()), {
      claimedAt: isoTime(claim.claimedAtMs),
      claimMs: claim.claimDurationMs,
      image,
    });
    await this.#finish(active, result, async () => undefined);
  }

  async #finish(active: Active, unsigned: TaskResult, onDurable: () => Promise<void>): Promise<void> {
    const result = await this.#parts.sign(unsigned);
    const { record } = result;
    this.tasksFinished += 1;
    this.#parts.emit('task.finished', {
      task: record.task_id,
      status: record.status,
      reason: record.reason,
      exit_code: record.exit_code,
      attempt: record.attempt,
      claim_ms: record.timings_ms.claim,
      pull_ms: record.timings_ms.pull,
      start_ms: record.timings_ms.start,
      run_ms: record.timings_ms.run,
      collect_ms: record.timings_ms.collect,
    });
    this.#parts.onResult(record);
    await this.#parts.book.finish(active.claim, result, async () => {
      await onDurable();
      this.#free(active);
    });
  }

  #free(active: Active): void {
    if (active.slotFree) return;
    active.slotFree = true;
    this.#parts.onSlotFree(this.#parts.clock.monotonicMs() - active.startedMs);
  }

  async #putBack(active: Active, how: Parameters<ClaimBook['putBack']>[1]): Promise<void> {
    const { claim } = active;
    if (how.waitReason === 'handed-back')
      this.#parts.emit('task.handed-back', { task: claim.taskId, started: how.started });
    this.#free(active);
    // If nothing certain comes of it, the claim stays in the book and the next cycle sees what became of it.
    await this.#parts.book.putBack(claim, how);
  }

  /** The engine or the repository failed us; the task is not to blame. */
  async #fail(active: Active, error: unknown): Promise<void> {
    const { claim } = active;
    const kind = (error as Partial<ExecutorError> | null)?.kind;
    // No engine was asked, and none will ever be: as with what is found out before, the task ends.
    const isRejected = kind === 'rejected' && active.run === null && active.stopReason === null;
    const isOther = isRejected || error instanceof SigningError;
    if (!isOther) this.#parts.emit('task.engine-failed', { task: claim.taskId, err: error });
    active.abandoned = true;
    if (kind && ENGINE_TROUBLE_KINDS.has(kind)) {
      const failedStart = active.run === null && active.counted ? claim.taskId : null;
      this.#parts.onEngineTrouble(error as ExecutorError, failedStart);
    }
    if (active.stopReason === 'fenced' || active.stopReason === 'cancelled') return this.#parts.book.drop(claim);
    if (error instanceof SigningError) this.#parts.onSigningTrouble(error);
    if (error instanceof StateFileError) this.#parts.onStateTrouble(error);
    try {
      if (isRejected) return await this.#reject(active, [(error as Error).message]);
      // An engine that answers with an error may mean this very task: that counts as a start, so that it ends some day.
      if (active.run !== null || kind === 'engine-error') await this.#vanished(active, (error as Error).message);
      else {
        await this.#putBack(active, {
          waitReason: 'handed-back',
          delayMs: ENGINE_TROUBLE_DELAY_MS,
          failed: false,
          started: false,
        });
      }
    } catch {
      // The publisher has told; the claim is a stray one now, and the next cycle takes it up again.
      this.#parts.book.drop(claim);
    }
  }

  #memoryOf(claim: HeldClaim): number {
    return claim.spec.memoryBytes ?? this.#parts.defaults.memoryBytes;
  }

  #factsOf({ claim, signer }: Active): TaskFacts {
    return {
      taskId: claim.taskId,
      nodeId: this.#parts.nodeId,
      attempt: claim.state.attempt,
      task: claim.raw,
      specBlob: claim.state.specBlob,
      signer,
    };
  }
}
