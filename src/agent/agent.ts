/**
 * The long-running worker: its loops, and its way in and out.
 *
 * States: starting → running → draining → stopped; from running also → rejoining → running after having been declared dead.
 * Invariants:
 * - Heartbeats go on until the last result is published, also while draining.
 * - Cleaning up ignores the signal that caused it; each step of it has a bound in time.
 * - Whatever ends the worker, containers that nobody answers for are stopped first.
 */
import type { Executor } from '../executor/executor.ts';
import { GitError, WAITS } from '../git/errors.ts';
import type { Repository } from '../git/repository.ts';
import type { ClaimBook } from '../ledger/claims.ts';
import type { DeathWatch } from '../ledger/death-watch.ts';
import type { GridReader } from '../ledger/grid-view.ts';
import type { Membership } from '../ledger/membership.ts';
import type { Publisher } from '../ledger/publisher.ts';
import type { Emit } from '../observe/events.ts';
import type { Clock, RandomHex } from '../runtime.ts';
import type { Cycle } from './cycle.ts';
import type { Gate } from './gate.ts';
import type { HealthKeeper } from './health-keeper.ts';
import { Loop } from './loop.ts';
import type { NudgeSource } from './nudges.ts';
import { type Look, Polling } from './polling.ts';
import { FatalError, type JoinParts, join, rejoin } from './startup.ts';
import type { TaskRunner } from './task-runner.ts';

/** Bounds of the steps of a shutdown, beyond the grace time for tasks, and of all of them together. */
const STOP_CONTAINERS_MS = 30_000;
const PUBLISH_MS = 30_000;
const GOODBYE_MS = 15_000;
const LEAVING_MS = 110_000;
/** What is left to such a step once somebody has asked twice. */
const HURRIED_STOP_MS = 15_000;
const HURRIED_PUBLISH_MS = 10_000;
const HURRIED_GOODBYE_MS = 5_000;
/** A clone that is damaged again so soon after it was replaced has another cause than itself. */
const REBUILD_PAUSE_MS = 60_000;
const UPKEEP_INTERVAL_MS = 30 * 60_000;

export interface AgentParts {
  joinParts: JoinParts;
  executor: Executor;
  repository: Repository;
  reader: GridReader;
  membership: Membership;
  book: ClaimBook;
  publisher: Publisher;
  /** Gives up every push, also the one under way. */
  abortPublishing: () => void;
  cycle: Cycle;
  watch: DeathWatch;
  runner: TaskRunner;
  gate: Gate;
  health: HealthKeeper;
  pullIntervalMs: number;
  /** As long as this only while nothing happens; not above `pullIntervalMs`: never longer than that. */
  maxPullIntervalMs: number;
  heartbeatIntervalMs: number;
  healthCheckEvery: number;
  shutdownGraceMs: number;
  untilIdle: boolean;
  /** Fields of the closing summary that others know. */
  summary: () => Record<string, unknown>;
  /** How much has been asked of the host so far. */
  requests: () => number;
  randomHex: RandomHex;
  clock: Clock;
  emit: Emit;
}

export class Agent {
  readonly #parts: AgentParts;
  readonly #stopRequest = Promise.withResolvers<void>();
  readonly #hurry = new AbortController();
  readonly #polling: Polling;
  readonly #beating: Loop;
  #cycles = 0;
  #damage: GitError | null = null;
  #suspicious = false;
  #rebuiltAtMs = Number.NEGATIVE_INFINITY;
  #maintainedAtMs: number;
  #stopRequested = false;
  #fatal: Error | null = null;
  /** When the worker will be gone, whatever does not answer; monotonic. */
  #leaveByMs = Number.POSITIVE_INFINITY;
  #state: 'starting' | 'running' | 'draining' | 'stopped' = 'starting';

  constructor(parts: AgentParts) {
    this.#parts = parts;
    const { clock, emit, randomHex, requests } = parts;
    this.#maintainedAtMs = clock.monotonicMs();
    this.#polling = new Polling({
      intervalMs: parts.pullIntervalMs,
      maxIntervalMs: parts.maxPullIntervalMs,
      clock,
      emit,
      randomHex,
      requests,
      look: (signal) => this.#poll(signal),
      onError: (error) => {
        this.noteFailure(error);
        emit('poll.failed', { err: error });
        if (this.#damage) this.nudge();
      },
    });
    this.#beating = new Loop({
      intervalMs: () => parts.heartbeatIntervalMs,
      clock,
      run: () => this.#beat(),
      onError: (error) => {
        emit('node.heartbeat-failed', { err: error });
        parts.watch.restart();
        if (error instanceof FatalError) this.#failFor(error);
      },
    });
  }

  get state(): 'starting' | 'running' | 'draining' | 'stopped' {
    return this.#state;
  }

  get failedPolls(): number {
    return this.#parts.cycle.failedPulls;
  }

  /** Something may have changed: look now. */
  nudge(): void {
    this.#polling.nudge();
  }

  /** Somebody outside says so. Harmless in every state: a worker that starts looks anyway, one that leaves does not. */
  lookNow(source: NudgeSource): void {
    this.#polling.lookNow(source);
  }

  /** For people: the pace in force, and how often it was interrupted. */
  get polling(): {
    interval_ms: number;
    interval_max_ms: number;
    requests: number;
    nudges: Readonly<Record<NudgeSource, number>>;
  } {
    const { maxPullIntervalMs, pullIntervalMs, requests } = this.#parts;
    return {
      interval_ms: this.#polling.intervalMs,
      interval_max_ms: Math.max(pullIntervalMs, maxPullIntervalMs),
      requests: requests(),
      nudges: this.#polling.nudges,
    };
  }

  /** Told of every failure of Git: a damaged clone is replaced before the next cycle. */
  noteFailure(error: unknown): void {
    const damaged = error instanceof GitError && error.kind === 'corrupt-local';
    const lately = this.#parts.clock.monotonicMs() - this.#rebuiltAtMs < REBUILD_PAUSE_MS;
    if (damaged && !lately) this.#damage = error;
    // Git has many ways to say that something is wrong with its files.
    if (error instanceof GitError && error.kind === 'unknown') this.#suspicious = true;
  }

  /** First call: finish what runs and leave. Second call: stop the containers now. */
  requestStop(): void {
    if (this.#stopRequested) {
      if (!this.#hurry.signal.aborted) this.#parts.emit('worker.killing');
      this.#hurry.abort();
      return;
    }
    this.#stopRequested = true;
    this.#stopRequest.resolve();
  }

  /**
   * Runs until it is asked to stop, is idle (`untilIdle`), or can't go on.
   * @throws FatalError, or GitError when the repository can't be had at the start for a reason that waiting won't mend.
   */
  async run(): Promise<void> {
    const { emit, joinParts } = this.#parts;
    const joining = new AbortController();
    void this.#stopRequest.promise.then(() => joining.abort());
    try {
      await this.#parts.health.check({ full: true });
      await this.#joinWhenPossible({ ...joinParts, signal: joining.signal });
    } catch (error) {
      if (!this.#stopRequested) throw error;
    }
    if (this.#stopRequested) {
      await this.#shutDown();
      return;
    }
    this.#state = 'running';
    emit('worker.ready', { incarnation: this.#parts.membership.incarnation });
    this.#beating.start();
    this.#polling.start();
    await this.#stopRequest.promise;
    await this.#shutDown();
    if (this.#fatal) throw this.#fatal;
  }

  /**
   * What passes by itself, or is mended elsewhere, is waited for; what has to be mended in this worker's settings ends the
   * start.
   */
  async #joinWhenPossible(parts: JoinParts): Promise<void> {
    for (;;) {
      try {
        await this.#replaceDamagedClone(parts.signal);
        await join(parts);
        return;
      } catch (error) {
        this.noteFailure(error);
        await this.#lookAtClone(parts.signal);
        const damaged = this.#damage !== null || (error instanceof GitError && error.kind === 'corrupt-local');
        const waits = damaged || (error instanceof GitError && WAITS[error.kind]);
        if (!waits || parts.signal.aborted) throw error;
        this.#parts.emit('poll.failed', { err: error });
        if (!this.#damage) await this.#parts.clock.sleep(this.#parts.pullIntervalMs, parts.signal);
      }
    }
  }

  async #poll(signal: AbortSignal): Promise<Look> {
    const { cycle, emit, executor, gate, health, healthCheckEvery, joinParts, reader, untilIdle } = this.#parts;
    // The first one was made before joining.
    this.#cycles += 1;
    const full = this.#cycles % healthCheckEvery === 0;
    await health.check({ full });
    executor.prepare(gate.readiness);
    await this.#maintainClone(signal);
    const report = await cycle.run(signal);
    if (!joinParts.fixedNamespace && reader.view.elsewhere) {
      // Two grids in one repository would run each task twice. Started again, this worker finds the others.
      const { namespace } = reader;
      emit('namespace.split', { using: namespace });
      this.#failFor(new Error(`other workers use another namespace of refs than ${namespace}; start this one again`));
    } else if (untilIdle && report.open === 0) {
      emit('worker.idle');
      this.requestStop();
    }
    return report;
  }

  async #maintainClone(signal: AbortSignal): Promise<void> {
    const { clock, repository, runner } = this.#parts;
    await this.#lookAtClone(signal);
    if (await this.#replaceDamagedClone(signal)) return;
    if (clock.monotonicMs() - this.#maintainedAtMs >= UPKEEP_INTERVAL_MS && runner.activeCount === 0) {
      this.#maintainedAtMs = clock.monotonicMs();
      await repository.upkeep(signal);
    }
  }

  /** After a failure that nobody understood: is it the clone? */
  async #lookAtClone(signal: AbortSignal): Promise<void> {
    if (!this.#suspicious) return;
    this.#suspicious = false;
    await this.#parts.repository.check(signal).catch((error: unknown) => this.noteFailure(error));
  }

  /** @returns whether there was one. */
  async #replaceDamagedClone(signal: AbortSignal): Promise<boolean> {
    const { clock, reader, repository } = this.#parts;
    if (!this.#damage) return false;
    const { message } = this.#damage;
    this.#damage = null;
    this.#rebuiltAtMs = clock.monotonicMs();
    await repository.rebuild(message, signal);
    reader.reset();
    return true;
  }

  async #beat(): Promise<void> {
    const outcome = await this.#parts.membership.beat();
    if (outcome === 'ok' || this.#state !== 'running') return;
    const { book, emit, gate, joinParts, runner } = this.#parts;
    if (outcome === 'conflict') {
      emit('node.id-conflict');
      this.#failFor(
        new FatalError(`another machine works under the node id ${joinParts.nodeId}; give one of them another NODE_ID`),
      );
      return;
    }
    // Declared dead: others may have our tasks already. Nothing may run on under the old incarnation.
    emit('node.fenced', { incarnation: this.#parts.membership.incarnation });
    gate.close('registration', 'this node was declared dead and is registering again');
    runner.stopAll('fenced');
    await this.#within(STOP_CONTAINERS_MS, runner.idle(), HURRIED_STOP_MS);
    const held = [...book.held.values()];
    for (const claim of held) if (claim.stage !== 'publishing') book.drop(claim);
    await rejoin(joinParts);
    gate.open('registration');
    this.nudge();
  }

  /** Nothing of what runs here will be accepted any more. */
  #failFor(error: Error): void {
    this.#fatal ??= error;
    this.#parts.runner.stopAll('fenced');
    if (!this.#stopRequested) this.requestStop();
  }

  async #shutDown(): Promise<void> {
    const { abortPublishing, book, clock, cycle, emit, executor, gate, membership, publisher, runner, summary } =
      this.#parts;
    const leaving = new AbortController();
    this.#state = 'draining';
    gate.close('draining', 'this worker is stopping');
    executor.prepare(gate.readiness);
    emit('worker.stopping', { running: runner.activeCount });
    // A host that accepts and never answers must not hold up the rest.
    this.#leaveByMs = clock.monotonicMs() + this.#parts.shutdownGraceMs + LEAVING_MS;
    await this.#within(PUBLISH_MS, this.#polling.stop(), 0);
    await this.#within(this.#parts.shutdownGraceMs, runner.idle(), 0);
    runner.stopAll('handed-back');
    await this.#within(STOP_CONTAINERS_MS, runner.idle(), HURRIED_STOP_MS);
    // Claims that were won and never started, and those whose containers could not be stopped.
    const left = [...book.held.values()].filter(({ stage }) => stage !== 'publishing');
    const handedBack = left.map((claim) =>
      book
        .putBack(claim, {
          waitReason: 'handed-back',
          delayMs: 0,
          failed: false,
          started: runner.hasStarted(claim.taskId),
        })
        .catch(() => undefined),
    );
    await this.#within(PUBLISH_MS, Promise.all([...handedBack, book.publishOutbox()]), HURRIED_PUBLISH_MS);
    if (membership.registered && !this.#hurry.signal.aborted) {
      // Nobody else may be there to record what was just finished.
      await this.#within(
        PUBLISH_MS,
        cycle.finalRecording(leaving.signal).catch((error: unknown) => emit('poll.failed', { err: error })),
        0,
      );
    }
    await this.#within(GOODBYE_MS, this.#beating.stop(), HURRIED_GOODBYE_MS);
    await this.#within(
      GOODBYE_MS,
      membership.goodbye().catch((error: unknown) => emit('node.heartbeat-failed', { err: error })),
      HURRIED_GOODBYE_MS,
    );
    await this.#within(GOODBYE_MS, publisher.drained(), HURRIED_GOODBYE_MS);
    // What is still under way is given up, or it would keep the process alive. Results wait in the outbox.
    abortPublishing();
    leaving.abort();
    emit('worker.summary', {
      ...summary(),
      failed_pulls: cycle.failedPulls,
      failed_pushes: publisher.failedPushes,
      results_unpublished: book.unpublishedCount,
      results_dropped: book.resultsDropped,
      uptime_ms: Math.round(clock.monotonicMs()),
    });
    await executor.close();
    this.#state = 'stopped';
  }

  /** Waits for `work`, but no longer than `boundMs`, nor than `hurriedMs` after the second request to stop. */
  async #within(boundMs: number, work: Promise<unknown>, hurriedMs: number): Promise<void> {
    const { clock } = this.#parts;
    const hurry = this.#hurry.signal;
    const done = new AbortController();
    const leftMs = Math.max(0, Math.min(boundMs, this.#leaveByMs - clock.monotonicMs()));
    const bound = async (): Promise<void> => {
      await clock.sleep(leftMs, AbortSignal.any([done.signal, hurry]));
      if (hurry.aborted && !done.signal.aborted) await clock.sleep(Math.min(leftMs, hurriedMs), done.signal);
    };
    await Promise.race([work.finally(() => done.abort()), bound()]);
    done.abort();
  }
}
