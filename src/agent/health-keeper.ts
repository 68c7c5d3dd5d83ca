/**
 * Keeps an eye on the machine and the engine, opens and closes the gate, and heals.
 *
 * Every cycle: thresholds and quota. Every so many cycles, or while the engine is away: the engine is asked too, what an
 * earlier trouble left is removed, and the whole is told as a health check.
 */
import type { EngineInfo, Executor, ExecutorError } from '../executor/executor.ts';
import {
  type AdmissionState,
  admitMemory,
  decideAdmission,
  type ExceededLimit,
  eventOfTransition,
  explainLimit,
  type MemoryVerdict,
  NOTHING_EXCEEDED,
  type Thresholds,
} from '../host/admission.ts';
import { Breaker } from '../host/breaker.ts';
import type { Healer } from '../host/healer.ts';
import type { HourlyQuota } from '../host/quota.ts';
import type { MachineReading } from '../host/reading.ts';
import type { Sensors } from '../host/sensors.ts';
import type { Emit } from '../observe/events.ts';
import { type Clock, isoTime } from '../runtime.ts';
import type { TaskId } from '../task/id.ts';
import type { Gate, GateReason } from './gate.ts';
import type { HoursKeeper } from './hours-keeper.ts';

/** Cleaning that freed too little is not tried again in every cycle. */
const HEAL_PAUSE_MS = 300_000;
/** Before another container is tried on an engine whose disk was full. */
const FULL_PAUSE_MS = 15_000;
/** An engine that takes longer to answer is waited for beside the cycle, and nothing is claimed meanwhile. */
const ENGINE_PATIENCE_MS = 3_000;
const AWAY_PATIENCE_MS = 1_000;
/** A nudged cycle does not measure again what was measured a moment ago. */
const READING_MAX_AGE_MS = 2_000;
/** An engine that answers, and starts nothing. */
const START_LIMITS = { failures: 3, firstPauseMs: 15_000, longestPauseMs: 300_000 };

/** By which word each resource pauses claiming. */
const REASON_OF: Readonly<Record<ExceededLimit['resource'], GateReason>> = {
  cpu: 'cpu',
  memory: 'memory',
  disk: 'disk',
  inodes: 'disk',
  'cpu-pressure': 'cpu-pressure',
  'memory-pressure': 'memory-pressure',
  'io-pressure': 'io-pressure',
  load: 'load',
};

export interface HealthKeeperParts {
  executor: Executor;
  sensors: Pick<Sensors, 'read' | 'readDisks'>;
  thresholds: Thresholds;
  memoryReserveBytes: number;
  hours: HoursKeeper;
  quota: HourlyQuota;
  healer: Healer;
  gate: Gate;
  allowUnlimitedTasks: boolean;
  /** Where the worker's own files lie; the engine's data directory joins them once the engine has told it. */
  ownDisks: readonly string[];
  /** Removes containers of this node that nothing here answers for. @returns false when it is too early for that. */
  reconcile: () => Promise<boolean>;
  /** Writes and removes something small in the state directory. */
  probeStateDir: () => Promise<void>;
  onDataRoot: (path: string | null) => void;
  clock: Clock;
  emit: Emit;
}

export interface HealthReport {
  healthy: boolean;
  checkedAt: string;
  problems: string[];
  engine: EngineInfo | null;
  machine: MachineReading | null;
}

export class HealthKeeper {
  readonly #parts: HealthKeeperParts;
  #admission: AdmissionState = NOTHING_EXCEEDED;
  #engine: EngineInfo | null = null;
  /** null also where it cannot be seen: in a container, or with an engine on another machine. */
  #dataRoot: string | null = null;
  #reading: MachineReading | null = null;
  #readAtMs = Number.NEGATIVE_INFINITY;
  #healedAtMs = Number.NEGATIVE_INFINITY;
  #lastCheck: HealthReport | null = null;
  /** Resolves with what is wrong, null when nothing is. Set while the engine is being asked. */
  #asking: Promise<string | null> | null = null;
  /** Something may be left over on the engine that a call which failed should have removed. */
  #reconcileIsDue = false;
  /** The engine would not remove something. */
  #isRefused = false;
  /** Until then the engine is not believed to have room, although it answers. */
  #fullUntilMs = Number.NEGATIVE_INFINITY;
  /** Of starts that the engine failed. */
  readonly #starts: Breaker;
  #failedTask: TaskId | null = null;
  /** One was counted since the engine last answered: others that failed with it say nothing more. */
  #isFailureCounted = false;
  /** That the engine is away was told, and not yet that it is back. */
  #toldAway = false;

  constructor(parts: HealthKeeperParts) {
    this.#parts = parts;
    this.#starts = new Breaker(START_LIMITS, parts.clock);
    // Until the engine has answered once there is nothing to claim for.
    parts.gate.close('engine', 'the container engine has not answered yet');
  }

  get lastCheck(): HealthReport | null {
    return this.#lastCheck;
  }

  get engine(): EngineInfo | null {
    return this.#engine;
  }

  /** The latest reading of the machine, and its monotonic instant. */
  get reading(): { machine: MachineReading; atMs: number } | null {
    return this.#reading && { machine: this.#reading, atMs: this.#readAtMs };
  }

  get engineBreaker(): Pick<Breaker, 'state' | 'failures' | 'pauseLeftMs' | 'problem'> {
    return this.#starts;
  }

  /** Never throws: what fails is a reason not to claim. @param options.full also ask the engine and tell the outcome. */
  async check(options: { full: boolean }): Promise<void> {
    const { emit, gate } = this.#parts;
    const engineAway = gate.isClosedBy('engine');
    // Measuring takes a while, the first time half a second: it begins while the engine is asked. `#checkMachine` gets it.
    if (options.full) void this.#parts.sensors.read([]);
    const engineProblem = options.full || engineAway || this.#reconcileIsDue ? await this.#askEngine() : null;
    const ageMs = this.#parts.clock.monotonicMs() - this.#readAtMs;
    if (options.full || ageMs >= READING_MAX_AGE_MS) await this.#checkMachine();
    if (gate.isClosedBy('state')) await this.#checkStateDir();
    this.#parts.hours.check();
    this.#checkQuota();
    if (!options.full) return;
    const problems = [
      ...(engineProblem ? [engineProblem] : []),
      ...(this.#reading?.failures ?? []).map(describeFailure),
    ];
    const healthy = engineProblem === null;
    this.#lastCheck = {
      healthy,
      checkedAt: isoTime(this.#parts.clock.wallMs()),
      problems,
      engine: this.#engine,
      machine: this.#reading,
    };
    emit(healthy ? 'health.passed' : 'health.failed', {
      ...(problems.length > 0 ? { problems } : {}),
      cpu_percent: rounded(this.#reading?.cpuPercent),
      memory_percent: rounded(this.#reading?.memory?.usedPercent),
      disk_percent: rounded(Math.max(...(this.#reading?.disks ?? []).map(({ disk }) => disk?.usedPercent ?? 0))),
      paused: gate.reasons.map(({ reason }) => reason),
    });
  }

  /** @param failedStart the task that it could not start; null: something else failed. */
  engineTrouble(error: ExecutorError, failedStart: TaskId | null): void {
    this.#reconcileIsDue = true;
    if (error.kind === 'engine-full') this.#fullUntilMs = this.#parts.clock.monotonicMs() + FULL_PAUSE_MS;
    if (error.kind !== 'engine-error') this.#engineAway(error);
    if (failedStart !== null) this.#startFailed(error, failedStart);
  }

  engineStarted(): void {
    this.#starts.succeeded();
    this.#failedTask = null;
  }

  /** The next start decides whether the engine is well again. */
  get isEngineOnTrial(): boolean {
    return this.#starts.state === 'trial';
  }

  #startFailed(error: ExecutorError, task: TaskId): void {
    // Of a full disk another pause takes care, which ends when there is room.
    if (error.kind === 'engine-full') return;
    // One task that the engine refuses again and again says nothing against the engine.
    if (error.kind === 'engine-error' && task === this.#failedTask) return;
    this.#failedTask = task;
    if (this.#isFailureCounted) return;
    this.#isFailureCounted = true;
    if (!this.#starts.failed(error.message)) return;
    const { failures, pauseLeftMs } = this.#starts;
    this.#parts.emit('engine.paused', { failures, pause_ms: Math.round(pauseLeftMs), err: error });
    this.#toldAway = true;
    this.#parts.gate.close('engine', this.#pauseText());
  }

  #pauseText(): string {
    const { failures, pauseLeftMs, problem } = this.#starts;
    return `it failed to start anything ${failures} times in a row, the next try comes in ${Math.ceil(pauseLeftMs / 1000)} s: ${problem}`;
  }

  get #isFull(): boolean {
    return this.#parts.clock.monotonicMs() < this.#fullUntilMs;
  }

  #engineAway(error: Error): void {
    const { emit, gate } = this.#parts;
    // Whoever leaves closes the connection, also on a question that is still open.
    if (!this.#toldAway && !gate.isClosedBy('draining')) emit('engine.unavailable', { err: error });
    this.#toldAway = true;
    gate.close('engine', error.message);
  }

  /** The state directory could not be written: nothing may be started whose traces would be lost. */
  stateTrouble(error: Error): void {
    const { emit, gate } = this.#parts;
    if (!gate.isClosedBy('state')) emit('state.unwritable', { err: error });
    gate.close('state', error.message);
  }

  async #checkStateDir(): Promise<void> {
    const { emit, gate, probeStateDir } = this.#parts;
    try {
      await probeStateDir();
      gate.open('state');
      emit('state.writable');
    } catch (error) {
      gate.close('state', (error as Error).message);
    }
  }

  /** Whether a task that may use this much fits next to what is promised already. */
  memoryFor(neededBytes: number, promisedBytes: number): MemoryVerdict {
    const memory = this.#reading?.memory ?? null;
    return admitMemory(neededBytes, {
      totalBytes: memory?.totalBytes ?? null,
      availableBytes: memory?.availableBytes ?? null,
      reserveBytes: this.#parts.memoryReserveBytes,
      promisedBytes,
    });
  }

  /**
   * An engine that hangs must not silence the whole worker, so the cycle waits a little and goes on.
   * @returns what is wrong; null when nothing is.
   */
  async #askEngine(): Promise<string | null> {
    const { clock, gate } = this.#parts;
    const patienceMs = this.#asking
      ? 0
      : gate.isClosedBy('engine') && this.#lastCheck
        ? AWAY_PATIENCE_MS
        : ENGINE_PATIENCE_MS;
    this.#asking ??= this.#checkEngine().finally(() => {
      this.#asking = null;
    });
    const answered = new AbortController();
    const late = clock.sleep(patienceMs, answered.signal).then(() => {
      const text = 'the container engine takes long to answer';
      if (!answered.signal.aborted && !gate.isClosedBy('engine')) gate.close('engine', text);
      return text;
    });
    return await Promise.race([this.#asking.finally(() => answered.abort()), late]);
  }

  async #checkEngine(): Promise<string | null> {
    const { emit, executor, gate, onDataRoot } = this.#parts;
    try {
      const info = await executor.probe();
      this.#isFailureCounted = false;
      if (gate.isClosedBy('engine') || this.#reconcileIsDue || this.#isRefused) await this.#removeLeftovers();
      const isNews = this.#toldAway || this.#engine === null;
      this.#engine = info;
      this.#dataRoot = await this.#visible(info.dataRoot);
      onDataRoot(this.#dataRoot);
      // It answers; but the next container would fail like the last one.
      if (this.#isFull) return 'the disk under the container engine is full, read-only or broken';
      this.#checkLimits(info, isNews);
      if (this.#starts.state === 'open') {
        gate.close('engine', this.#pauseText());
        return this.#pauseText();
      }
      gate.open('engine');
      this.#toldAway = false;
      if (isNews) emit('engine.ready', { engine: info.name, version: info.version, cgroup: info.cgroupVersion });
      return null;
    } catch (error) {
      this.#engineAway(error as Error);
      return (error as Error).message;
    }
  }

  /** A stranger's task without limits can take the whole machine: that is for the operator to decide. */
  #checkLimits({ missingLimits, name }: EngineInfo, isNews: boolean): void {
    const { allowUnlimitedTasks, emit, gate } = this.#parts;
    const isClosed = missingLimits.length > 0 && !allowUnlimitedTasks;
    if (missingLimits.length > 0 && (isNews || isClosed !== gate.isClosedBy('limits'))) {
      emit('engine.unlimited', { engine: name, missing: missingLimits, accepted: allowUnlimitedTasks });
    }
    const text = `the container engine cannot limit the ${missingLimits.join(', ')} of a task (ALLOW_UNLIMITED_TASKS)`;
    if (isClosed) gate.close('limits', text);
    else gate.open('limits');
  }

  /** @throws ExecutorError when the engine is away; what it refuses to remove is tried again at the next full check. */
  async #removeLeftovers(): Promise<void> {
    this.#reconcileIsDue = false;
    this.#isRefused = false;
    try {
      if (!(await this.#parts.reconcile())) this.#reconcileIsDue = true;
    } catch (error) {
      this.#isRefused = (error as Partial<ExecutorError>).kind === 'engine-error';
      if (!this.#isRefused) {
        this.#reconcileIsDue = true;
        throw error;
      }
      this.#parts.emit('cleanup.failed', { err: error });
    }
  }

  async #visible(path: string | null): Promise<string | null> {
    if (path === null) return null;
    const { disks } = await this.#parts.sensors.readDisks([path]);
    return disks[0]?.disk ? path : null;
  }

  async #checkMachine(): Promise<void> {
    const { clock, emit, gate, healer, ownDisks, sensors, thresholds } = this.#parts;
    const paths = [...new Set([...ownDisks, ...(this.#dataRoot === null ? [] : [this.#dataRoot])])];
    this.#reading = await sensors.read(paths);
    this.#readAtMs = clock.monotonicMs();
    let decision = decideAdmission(this.#admission, this.#reading, thresholds);
    const diskIsLow = decision.state.exceeded.some(({ resource }) => resource === 'disk' || resource === 'inodes');
    for (const transition of decision.transitions) emit(...eventOfTransition(transition));
    this.#admission = decision.state;
    const sinceMs = clock.monotonicMs() - this.#healedAtMs;
    if ((diskIsLow || this.#isFull) && sinceMs >= HEAL_PAUSE_MS) {
      this.#healedAtMs = clock.monotonicMs();
      await healer.heal();
      this.#reading = await sensors.read(paths);
      decision = decideAdmission(this.#admission, this.#reading, thresholds);
      for (const transition of decision.transitions) emit(...eventOfTransition(transition));
      this.#admission = decision.state;
    }
    for (const reason of new Set(Object.values(REASON_OF))) {
      const limits = this.#admission.exceeded.filter(({ resource }) => REASON_OF[resource] === reason);
      if (limits.length === 0) gate.open(reason);
      else gate.close(reason, limits.map(explainLimit).join('; '));
    }
  }

  #checkQuota(): void {
    const { emit, gate, quota } = this.#parts;
    if (quota.left() > 0) {
      if (gate.isClosedBy('rate')) emit('limit.rate-cleared');
      gate.open('rate');
      return;
    }
    if (!gate.isClosedBy('rate')) {
      emit('limit.rate', { used_this_hour: quota.usedThisHour(), next_free_ms: Math.round(quota.nextFreeInMs()) });
    }
    gate.close('rate', 'the tasks of this hour are used up (MAX_TASKS_PER_HOUR)');
  }

  /** After a start was taken: so that "rate limit reached" is told at once and not in the next cycle. */
  quotaTaken(): void {
    this.#checkQuota();
  }
}

function describeFailure(failure: { sensor: string; reason: string }): string {
  return `${failure.sensor}: ${failure.reason}`;
}

function rounded(percent: number | null | undefined): number | null {
  return percent === null || percent === undefined || !Number.isFinite(percent) ? null : Math.round(percent * 10) / 10;
}
