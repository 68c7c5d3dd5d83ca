/**
 * One container from running to its end.
 *
 *     running ──(ends by itself | stop: TERM, then KILL)──▶ ended ──dispose──▶ removed
 *        └─ engine away: ask again, with growing pauses, until it answers or the run's deadline has passed
 *
 * Invariants: the first reason to stop stays. The end is believed only when the engine says so in an inspection, never
 * because a connection broke. Everything that waits ends with `#lifetime`, which is over at a fixed time.
 */
import type { Clock } from '../../runtime.ts';
import type { MaskTable } from '../../secrets/stream-mask.ts';
import { ExecutorError, type Run, type RunEnd, type RunKey, type StopReason } from '../executor.ts';
import { bootstrapReadyLine, readBootstrapFailure, readInitFailure } from './bootstrap.ts';
import type { ContainerState, Containers } from './containers.ts';
import { orAborted } from './deadline.ts';
import { isConnectionLoss } from './engine.ts';
import type { EngineFacts } from './engine-facts.ts';
import { fuller, joined, TaskOutput } from './task-output.ts';
import { UsageMeter } from './usage.ts';
import { followUsage } from './usage-stream.ts';
import { decideVerdict, type RunFacts } from './verdict.ts';

/** From TERM to KILL. */
const STOP_GRACE_MS = 3_000;
const KILL_AGAIN_MS = 1_000;
/** How long past its limit a run is waited for while the engine is away. */
const ENGINE_OUTAGE_LIMIT_MS = 60_000;
const RECONNECT_FIRST_MS = 200;
const RECONNECT_LONGEST_MS = 5_000;
/** An end that the engine announced and does not show yet. */
const RECHECK_MS = 100;
/** A connection can die without a sign, and then nobody tells of the end. */
const LOOK_EVERY_MS = 30_000;
const LAST_WORD_MS = 1_000;
/** Output still on its way when the process has ended. */
const DRAIN_LIMIT_MS = 2_000;
/** A stream that was over longer than this before the task was may have missed something. Taking a container down on a
 * small machine takes seconds too, and then the stream has all of it. */
const EARLY_END_MS = 10_000;
const STORED_OUTPUT_LIMIT_MS = 60_000;
/** The notice that memory ran out can come after the end, and so can a removal that began with a kill. */
const UNEXPLAINED_KILL_MS = 250;
const KILLED_EXIT_CODE = 137;
/** Exit codes of a process that TERM or KILL ended. */
const OUR_SIGNALS: ReadonlySet<number> = new Set([143, KILLED_EXIT_CODE]);
const USAGE_FROM_MS = 1_000;
/** Once the connection that carried a script is gone, the rest of the script is too. So long its start may take still. */
const SCRIPT_START_LIMIT_MS = 10_000;

export interface RunContext {
  containers: Containers;
  facts: EngineFacts;
  clock: Clock;
  maxOutputBytes: number;
  /** Aborts when this process has done with the engine. The container is left as it is. */
  closed: AbortSignal;
  /** Called once, when the container is gone. */
  onRemoved: () => void;
}

export interface RunStart {
  containerId: string;
  key: RunKey;
  program: 'script' | 'command';
  nonce: string;
  image: RunEnd['image'];
  /** What must not show in the output; null: nothing, or nothing that is known any more. */
  mask: MaskTable | null;
  /** The task's whole time limit. */
  timeoutMs: number;
  /** What is left of it; less than `timeoutMs` for a container that is taken up again. */
  remainingMs: number;
  /** The stream on which the output comes, opened before the start; null: to be read from the engine's store. */
  output: TaskOutput | null;
  /** The wait that was registered before the start; null: to be asked for. */
  ended: Promise<void> | null;
  startError: RunFacts['startError'];
  /** Wall clock. */
  startedAtMs: number | null;
  startMs: number | null;
  /** How long the container had been running when it was given its task; null: it was made for the task. */
  waitedMs: number | null;
  adopted: boolean;
}

interface Ending {
  state: ContainerState | null;
  missing: string | null;
  /** The connection to the engine was lost at some time. */
  interrupted: boolean;
  /** Its end was told as it happened, on a connection that had stood since the start. */
  watched: boolean;
}

export class DockerRun implements Run {
  readonly key: RunKey;
  readonly ended: Promise<RunEnd>;
  readonly #start: RunStart;
  readonly #context: RunContext;
  /** Ends every call and stream of this run. */
  readonly #lifetime = new AbortController();
  /** Aborted as soon as the end is known: nothing is enforced any more. */
  readonly #over = new AbortController();
  readonly #usage = new UsageMeter();
  #output: TaskOutput | null;
  #stopReason: StopReason | null = null;
  /** Whether a signal of ours was taken, or may have been: its answer got lost. */
  #signal: 'none' | 'unclear' | 'taken' = 'none';
  /** Set when the container is being ended because it waits for a script that can't come any more. */
  #scriptLost = false;
  #scriptWatch: Promise<void> | null = null;
  /** In the engine's store there is a sign that the script began. */
  #sawScript = false;
  /** In the engine's store too, the bootstrap is seen to have come to its end. */
  #sawBootstrapEnd = false;
  #timeLimit: Promise<void> | null = null;
  #removal: Promise<void> | null = null;

  constructor(start: RunStart, context: RunContext) {
    this.key = start.key;
    this.#start = start;
    this.#context = context;
    this.#output = start.output;
    this.ended = this.#supervise();
    this.ended.catch(() => {}); // for the case that nobody asks; whoever does still gets the error
  }

  get isWarm(): boolean {
    return this.#start.waitedMs !== null;
  }

  written(maxBytes: number): ReturnType<Run['written']> {
    const nothing = { bytes: new Uint8Array(0), isWhole: true };
    return this.#output?.written(maxBytes) ?? { stdout: nothing, stderr: nothing };
  }

  stop(reason: StopReason): void {
    if (this.#stopReason !== null || this.#over.signal.aborted) return;
    this.#stopReason = reason;
    void this.#terminate();
  }

  async dispose(): Promise<void> {
    this.#removal ??= this.#remove();
    try {
      await this.#removal;
    } catch (error) {
      this.#removal = null;
      throw error;
    }
  }

  async #remove(): Promise<void> {
    await this.#context.containers.remove(this.#start.containerId);
    this.#output?.close();
    this.#context.onRemoved();
  }

  async #supervise(): Promise<RunEnd> {
    const { clock } = this.#context;
    const began = clock.monotonicMs();
    const onClosed = () => this.#lifetime.abort(new ExecutorError('engine-unavailable', 'the executor was closed'));
    this.#context.closed.addEventListener('abort', onClosed, { once: true });
    const helpers = [this.#enforceLifetime(), this.#measure()];
    // A container that is taken up may have ended in time long ago: its limit counts once it is seen running.
    if (!this.#start.adopted) this.#timeLimit = this.#enforceTimeLimit();
    // A connection that stood idle may be dead without a sign, and the script with it.
    if (this.#start.waitedMs !== null) this.#scriptWatch = this.#watchScript();
    try {
      const ending = await this.#awaitEnd();
      this.#over.abort();
      const endedAt = clock.monotonicMs();
      const finishedWallMs = clock.wallMs();
      const end = await this.#describe(ending, { ranMs: endedAt - began, finishedWallMs, endedAt });
      return { ...end, timingsMs: { ...end.timingsMs, collect: clock.monotonicMs() - endedAt } };
    } finally {
      this.#context.closed.removeEventListener('abort', onClosed);
      this.#over.abort();
      this.#lifetime.abort();
      this.#output?.close();
      await Promise.all([...helpers, this.#timeLimit, this.#scriptWatch]);
    }
  }

  async #awaitEnd(): Promise<Ending> {
    const { containers, clock } = this.#context;
    const { containerId } = this.#start;
    let wait = this.#start.ended;
    let interrupted = false;
    /** Whoever takes a container up that has ended was not there, like somebody whose connection was lost. */
    let sawItRun = !this.#start.adopted;
    let pauseMs = RECONNECT_FIRST_MS;
    const gone = (missing: string | null): Ending => ({ state: null, missing, interrupted, watched: false });
    if (this.#start.startError !== null) return gone(null);
    for (;;) {
      try {
        if (wait !== null && (await this.#untilEnded(wait)) === 'seen') interrupted = true;
        const found = await this.#whileAlive(containers.inspect(containerId));
        if (found === null) return gone('the container is gone');
        if (found.state.status === 'created') return gone('the container was never started');
        if (found.state.status === 'ended') {
          this.#over.abort(); // before any pause: a time limit that passes from now on was not what ended it
          return await this.#settle(found.state, { interrupted, watched: sawItRun && !interrupted });
        }
        sawItRun = true;
        if (wait !== null) await clock.sleep(RECHECK_MS, this.#lifetime.signal);
        this.#timeLimit ??= this.#enforceTimeLimit();
        this.#scriptWatch ??= this.#watchScript();
        this.#output ??= await this.#openStoredOutput(true);
        wait = (await containers.wait(containerId, 'not-running', this.#lifetime.signal)).ended;
        pauseMs = RECONNECT_FIRST_MS;
      } catch (error) {
        this.#lifetime.signal.throwIfAborted();
        wait = null;
        if (isConnectionLoss(error)) interrupted = true;
        await clock.sleep(pauseMs, this.#lifetime.signal);
        pauseMs = Math.min(pauseMs * 2, RECONNECT_LONGEST_MS);
      }
    }
  }

  /** `seen`: it has ended, or is gone, and the wait said nothing. Rejects as the wait does. */
  async #untilEnded(wait: Promise<void>): Promise<'told' | 'seen'> {
    for (;;) {
      if (await this.#settlesWithin(wait, LOOK_EVERY_MS)) return 'told';
      try {
        const found = await this.#whileAlive(this.#context.containers.inspect(this.#start.containerId));
        if (found?.state.status === 'running') continue;
      } catch {
        this.#lifetime.signal.throwIfAborted();
        continue; // an engine that hangs says nothing about the wait
      }
      return (await this.#settlesWithin(wait, LAST_WORD_MS)) ? 'told' : 'seen';
    }
  }

  async #settlesWithin(work: Promise<void>, limitMs: number): Promise<boolean> {
    const done = new AbortController();
    const late = this.#context.clock.sleep(limitMs, done.signal).then(() => false);
    try {
      return await this.#whileAlive(Promise.race([work.then(() => true), late]));
    } finally {
      done.abort();
    }
  }

  /** Looks once more where the engine may not yet know why a process was killed, or that it is removing the container. */
  async #settle(state: ContainerState, seen: Pick<Ending, 'interrupted' | 'watched'>): Promise<Ending> {
    const ending: Ending = { state, missing: null, ...seen };
    const unexplained = state.exitCode === KILLED_EXIT_CODE && !state.oomKilled && this.#stopReason === null;
    if (!unexplained) return ending;
    await this.#context.clock.sleep(UNEXPLAINED_KILL_MS, this.#lifetime.signal);
    try {
      const again = await this.#context.containers.inspect(this.#start.containerId);
      if (again === null) return { ...ending, state: null, missing: 'the container was killed and removed' };
      return { ...ending, state: again.state };
    } catch {
      return ending; // what was seen before still holds
    }
  }

  async #describe(
    { state, missing, interrupted, watched }: Ending,
    seen: { ranMs: number; finishedWallMs: number; endedAt: number },
  ): Promise<RunEnd> {
    const start = this.#start;
    const { stdout, stderr } = await this.#collectOutput(missing !== null, interrupted, seen.endedAt);
    const started = start.startError === null && missing === null;
    // The engine does not know when a container that had waited was given its task; whoever saw the end does.
    const sawAll = watched && start.waitedMs !== null && !start.adopted;
    const knownMs = (sawAll ? null : this.#ranByEngine(state)) ?? seen.ranMs;
    const ranMs = started ? knownMs : null;
    const exitCode = started ? (state?.exitCode ?? null) : null;
    const isUntold = this.#stopReason === 'timeout' && this.#neverGotItsScript();
    const stopReason =
      isUntold || (exitCode !== null && this.#endedInTime(knownMs, exitCode)) ? null : this.#stopReason;
    const testimony =
      watched || !started ? null : await this.#context.facts.testimony(start.containerId, state?.startedAtMs ?? null);
    // What follows the bootstrap's last word is the task's, which can read the word that proves who speaks.
    const isTasksWord = this.#sawBootstrapEnd || this.#output?.bootstrapIsOver === true;
    const saidFailure = isTasksWord ? null : readBootstrapFailure(exitCode, stderr.bytes, start.nonce);
    const facts: RunFacts = {
      stopReason,
      exitCode,
      oomKilled: state?.oomKilled === true,
      startError: start.startError,
      missing,
      bootstrapFailure: this.#scriptLost || isUntold ? 'incomplete' : saidFailure,
      initFailure: isTasksWord ? null : readInitFailure(exitCode, stderr.bytes),
      engineRestarted: stopReason === null && testimony?.keptContainer === false,
      interrupted,
      adopted: start.adopted,
      ranMs,
      timeoutMs: start.timeoutMs,
    };
    // Cut off in the middle of collecting, there is no verdict: whoever comes next finds the container as it is.
    this.#lifetime.signal.throwIfAborted();
    return {
      verdict: decideVerdict(facts),
      stdout,
      stderr,
      ...(testimony?.sawEnd === false ? { outputIsCut: true } : {}),
      startedAtMs: start.startedAtMs,
      finishedAtMs: start.adopted ? (state?.finishedAtMs ?? seen.finishedWallMs) : seen.finishedWallMs,
      timingsMs: { pull: null, start: start.startMs, run: ranMs, collect: null },
      usage: this.#usage.read(),
      image: start.image,
    };
  }

  /** Its time was up before a script arrived that was sent over a connection which had stood idle: not the task's fault. */
  #neverGotItsScript(): boolean {
    const isGiven = this.#start.waitedMs !== null && !this.#start.adopted;
    return isGiven && !this.#sawScript && this.#output?.scriptStarted !== true;
  }

  /** Both times are the engine's, so their difference is right whatever its clock shows. */
  #ranByEngine(state: ContainerState | null): number | null {
    if (!state?.startedAtMs || !state.finishedAtMs) return null;
    return Math.max(0, state.finishedAtMs - state.startedAtMs - (this.#start.waitedMs ?? 0));
  }

  /**
   * Its time was up while the engine could not be reached, and it turns out that it had ended by itself before. An engine
   * that hung takes a signal also for a process whose end it has not noticed yet.
   */
  #endedInTime(ranMs: number, exitCode: number): boolean {
    if (this.#stopReason !== 'timeout') return false;
    if (this.#signal === 'none') return true;
    const mayBeOurs = this.#signal === 'taken' && OUR_SIGNALS.has(exitCode);
    return !mayBeOurs && ranMs < this.#start.timeoutMs;
  }

  async #collectOutput(missing: boolean, interrupted: boolean, endedAt: number) {
    const { clock, maxOutputBytes } = this.#context;
    const nothing = { bytes: new Uint8Array(0), totalBytes: 0, truncated: false };
    const live = this.#output;
    if (live !== null) await Promise.race([live.over, clock.sleep(DRAIN_LIMIT_MS, this.#lifetime.signal)]);
    const stdout = live?.stdout() ?? nothing;
    const stderr = live?.stderr() ?? nothing;
    const sawAll = live?.endedWell === true && live.overAtMs !== null && endedAt - live.overAtMs < EARLY_END_MS;
    if (missing || (sawAll && !interrupted) || maxOutputBytes === 0) return { stdout, stderr };
    const stored = await this.#openStoredOutput(false);
    if (stored === null) return { stdout, stderr };
    await Promise.race([stored.over, clock.sleep(STORED_OUTPUT_LIMIT_MS, this.#lifetime.signal)]);
    stored.close();
    this.#sawScript = stored.scriptStarted;
    this.#sawBootstrapEnd = stored.bootstrapIsOver;
    const both = interrupted ? joined : fuller;
    return { stdout: both(stdout, stored.stdout()), stderr: both(stderr, stored.stderr()) };
  }

  /** @returns null when the engine has none to give; what is there already has to do then. */
  async #openStoredOutput(follow: boolean): Promise<TaskOutput | null> {
    const { containers, maxOutputBytes, clock } = this.#context;
    try {
      const stream = await containers.logs(this.#start.containerId, follow, this.#lifetime.signal);
      const { mask, nonce } = this.#start;
      return new TaskOutput(stream, bootstrapReadyLine(nonce), maxOutputBytes, clock, mask);
    } catch {
      return null;
    }
  }

  async #enforceTimeLimit(): Promise<void> {
    await this.#context.clock.sleep(this.#start.remainingMs, this.#over.signal);
    if (!this.#over.signal.aborted) this.stop('timeout');
  }

  /** The last bound: a container that no engine will let end, or an engine that does not come back. */
  async #enforceLifetime(): Promise<void> {
    const limitMs = this.#start.remainingMs + STOP_GRACE_MS + ENGINE_OUTAGE_LIMIT_MS;
    await this.#context.clock.sleep(limitMs, this.#over.signal);
    if (this.#over.signal.aborted) return;
    const message = `the engine did not say how the container ended, ${ENGINE_OUTAGE_LIMIT_MS} ms past its time limit`;
    this.#lifetime.abort(new ExecutorError('engine-timeout', message));
  }

  /** For a script that was sent over a connection that is gone, or may be. */
  async #watchScript(): Promise<void> {
    const { clock } = this.#context;
    if (this.#start.program !== 'script' || this.#output?.scriptStarted) return;
    await clock.sleep(SCRIPT_START_LIMIT_MS, this.#over.signal);
    if (this.#over.signal.aborted || this.#output?.scriptStarted) return;
    const stored = await this.#openStoredOutput(false);
    if (stored === null) return; // the engine is in trouble again; the time limit has to do
    await Promise.race([stored.over, clock.sleep(STORED_OUTPUT_LIMIT_MS, this.#over.signal)]);
    const isLost = stored.endedWell && !stored.scriptStarted;
    stored.close();
    if (!isLost || this.#over.signal.aborted || this.#stopReason !== null) return;
    this.#scriptLost = true;
    void this.#terminate();
  }

  async #terminate(): Promise<void> {
    const { containers, clock } = this.#context;
    const send = async (signal: 'TERM' | 'KILL') => {
      const before = this.#signal;
      if (before === 'none') this.#signal = 'unclear';
      try {
        const taken = await containers.signal(this.#start.containerId, signal);
        this.#signal = taken ? 'taken' : before;
      } catch {
        // The engine may be away just now. The next round, or the deadline, takes care of it.
      }
    };
    await send('TERM');
    await clock.sleep(STOP_GRACE_MS, this.#over.signal);
    while (!this.#over.signal.aborted && !this.#lifetime.signal.aborted) {
      await send('KILL');
      await clock.sleep(KILL_AGAIN_MS, this.#over.signal);
    }
  }

  async #measure(): Promise<void> {
    const { containers, clock } = this.#context;
    if (!this.#start.adopted) await clock.sleep(USAGE_FROM_MS, this.#over.signal);
    if (this.#over.signal.aborted || this.#start.startError !== null) return;
    await followUsage(() => containers.stats(this.#start.containerId, this.#over.signal), this.#usage);
  }

  /** Waits for `work`, but not past the end of the run's lifetime. */
  async #whileAlive<T>(work: Promise<T>): Promise<T> {
    return await orAborted(work, this.#lifetime.signal);
  }
}
