/**
 * The container engine of a simulated machine. Its containers run on when the worker dies, and die with the machine.
 * A task's script is `MS CODE`: it runs so long and ends with that exit code.
 */
import {
  type CleanReport,
  type CleanStep,
  type EngineInfo,
  type Executor,
  ExecutorError,
  type FoundRun,
  type Job,
  type Reclaimable,
  type Run,
  type RunEnd,
  type RunKey,
  type RunVerdict,
  type StopReason,
} from '../../src/executor/executor.ts';
import type { NodeId } from '../../src/task/id.ts';
import type { Faults } from './faults.ts';
import type { Life } from './life.ts';
import type { SeededRandom } from './seeded-random.ts';
import type { CallOff, Timeline } from './timeline.ts';

const KILLED = 137;
const CALL_DEADLINE_MS = 5_000;
const LINE_EVERY_MS = 1_000;

interface SimContainer {
  key: RunKey;
  attempt: number;
  timeoutMs: number;
  startedAtMs: number;
  /** null while it runs. */
  end: { verdict: RunVerdict; atMs: number } | null;
  callOff: CallOff;
  /** Told when it ends. */
  waiting: Set<() => void>;
}

export class SimEngine {
  readonly containers = new Set<SimContainer>();
  readonly timeline: Timeline;
  readonly #onStart: (job: Job) => void;

  constructor(timeline: Timeline, onStart: (job: Job) => void) {
    this.timeline = timeline;
    this.#onStart = onStart;
  }

  /** The machine loses its power, or the engine was killed without live-restore. */
  crash(): void {
    for (const container of this.containers) this.finish(container, { kind: 'vanished', message: 'the engine died' });
  }

  start(job: Job): SimContainer {
    const script = job.program.kind === 'script' ? job.program.script : '0 127';
    const [runMs = 0, exitCode = 0] = script.split(' ').map(Number);
    const container: SimContainer = {
      key: job.key,
      attempt: job.attempt,
      timeoutMs: job.timeoutMs,
      startedAtMs: this.timeline.nowMs,
      end: null,
      callOff: () => undefined,
      waiting: new Set(),
    };
    this.containers.add(container);
    this.#onStart(job);
    container.callOff = this.timeline.after(Math.min(runMs, job.timeoutMs), () =>
      this.finish(
        container,
        runMs > job.timeoutMs
          ? { kind: 'stopped', reason: 'timeout', exitCode: KILLED }
          : { kind: 'exited', exitCode, outOfMemory: false },
      ),
    );
    return container;
  }

  finish(container: SimContainer, verdict: RunVerdict): void {
    if (container.end) return;
    container.callOff();
    container.end = { verdict, atMs: this.timeline.nowMs };
    for (const tell of container.waiting) tell();
    container.waiting.clear();
  }
}

/** What one life of a worker sees of the engine. */
export class SimExecutor implements Executor {
  readonly #engine: SimEngine;
  readonly #life: Life;
  readonly #faults: () => Faults;
  readonly #random: SeededRandom;

  constructor(parts: { engine: SimEngine; life: Life; faults: () => Faults; random: SeededRandom }) {
    this.#engine = parts.engine;
    this.#life = parts.life;
    this.#faults = parts.faults;
    this.#random = parts.random;
  }

  probe(): Promise<EngineInfo> {
    return this.#call(() => ({
      name: 'simulated',
      version: '1',
      apiVersion: '1',
      cgroupVersion: '2',
      weighsCpus: true,
      missingLimits: [],
      dataRoot: null,
      cpus: 2,
      memoryBytes: 2 ** 40,
    }));
  }

  foresee(): void {
    // There is nothing to find out.
  }

  ensureImage(image: string): Promise<{ name: string; id: null; digest: null; pullMs: number }> {
    return this.#call(() => ({ name: image, id: null, digest: null, pullMs: 0 }));
  }

  start(job: Job): Promise<Run> {
    return this.#call(() => this.#runOf(this.#engine.start(job)));
  }

  findRuns(nodeId: NodeId): Promise<FoundRun[]> {
    return this.#call(() =>
      [...this.#engine.containers]
        .filter(({ key }) => key.nodeId === nodeId)
        .map((container) => ({
          key: container.key,
          attempt: container.attempt,
          state: container.end ? ('ended' as const) : ('running' as const),
          resume: () => this.#runOf(container),
          discard: () => this.#runOf(container).dispose(),
        })),
    );
  }

  prepare(): void {}

  poolStats(): null {
    return null;
  }

  reclaimable(): Promise<Reclaimable[]> {
    return this.#call(() => []);
  }

  clean(step: CleanStep): Promise<CleanReport> {
    return this.#call(() => ({ step: step.kind, removed: [] }));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** May fail before it did anything, or after it did everything. */
  #call<T>(act: () => T): Promise<T> {
    const random = this.#random;
    return new Promise((resolve, reject) => {
      const { engineFails } = this.#faults();
      const callMs = random.between(1, 200);
      if (random.chance(engineFails / 2)) {
        this.#life.after(callMs, () => reject(new ExecutorError('engine-unavailable', 'the engine is away')));
        return;
      }
      const answerIsLost = random.chance(engineFails / 2);
      this.#engine.timeline.after(callMs, () => {
        const answer = act();
        if (answerIsLost) {
          this.#life.after(CALL_DEADLINE_MS, () => reject(new ExecutorError('engine-timeout', 'the engine is silent')));
        } else this.#life.after(random.between(1, 50), () => resolve(answer));
      });
    });
  }

  #runOf(container: SimContainer): Run {
    const engine = this.#engine;
    let stopReason: StopReason | null = null;
    const ended = new Promise<RunEnd>((resolve) => {
      const tell = (): void => {
        this.#life.after(this.#random.between(1, 100), () => resolve(endOf(container, stopReason)));
      };
      if (container.end) tell();
      else container.waiting.add(tell);
    });
    return {
      key: container.key,
      ended,
      written: (maxBytes) => {
        const all = writtenBy(container, engine.timeline.nowMs);
        const bytes = all.subarray(0, maxBytes);
        return {
          stdout: { bytes, isWhole: bytes.length === all.length },
          stderr: { bytes: new Uint8Array(), isWhole: true },
        };
      },
      stop: (reason) => {
        if (stopReason) return;
        stopReason = reason;
        engine.timeline.after(this.#random.between(1, 500), () =>
          engine.finish(container, { kind: 'stopped', reason, exitCode: KILLED }),
        );
      },
      dispose: () =>
        this.#call(() => {
          engine.finish(container, { kind: 'vanished', message: 'removed' });
          engine.containers.delete(container);
        }),
    };
  }
}

/** A line each second. */
function writtenBy(container: SimContainer, nowMs: number): Buffer {
  const lastMs = Math.min(nowMs, container.end?.atMs ?? nowMs);
  const lines = Math.floor((lastMs - container.startedAtMs) / LINE_EVERY_MS);
  return Buffer.from(Array.from({ length: lines }, (_, at) => `line ${at + 1}\n`).join(''));
}

/** A container that was stopped under an earlier life looks to the next one as if it had been killed by somebody. */
function endOf(container: SimContainer, stopReason: StopReason | null): RunEnd {
  const end = container.end ?? { verdict: { kind: 'vanished', message: 'gone' } as const, atMs: 0 };
  const ours = end.verdict.kind !== 'stopped' || end.verdict.reason === 'timeout' || end.verdict.reason === stopReason;
  const bytes = Buffer.concat([writtenBy(container, end.atMs), Buffer.from(`ran ${container.key.taskId}\n`)]);
  return {
    verdict: ours ? end.verdict : { kind: 'vanished', message: 'killed by an earlier life' },
    stdout: { bytes, totalBytes: bytes.length, truncated: false },
    stderr: { bytes: new Uint8Array(), totalBytes: 0, truncated: false },
    startedAtMs: 0,
    finishedAtMs: Math.floor(end.atMs),
    timingsMs: { pull: 0, start: 0, run: 0, collect: 0 },
    usage: { cpuSeconds: null, peakMemoryBytes: null },
    image: { name: 'busybox:stable', digest: null },
  };
}
