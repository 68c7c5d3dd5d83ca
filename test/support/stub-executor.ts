/**
 * The second executor: runs no containers, but keeps every promise of the port. Its "containers" survive the worker that
 * started them, as real ones do. A task's script says what happens: `exit N`, `sleep MS`, `hang`, `oom`, `unstartable`,
 * `lines COUNT MS` (one line each so many milliseconds, with its number and the time), `write BYTES MS` (then it sleeps).
 */
import {
  type CleanReport,
  type CleanStep,
  type EngineInfo,
  type Executor,
  ExecutorError,
  type FoundRun,
  type Job,
  type Readiness,
  type Reclaimable,
  type Run,
  type RunEnd,
  type RunKey,
  type RunVerdict,
  type StopReason,
} from '../../src/executor/executor.ts';
import type { Clock } from '../../src/runtime.ts';
import type { NodeId } from '../../src/task/id.ts';

interface StubContainer {
  key: RunKey;
  attempt: number;
  startedAtMs: number;
  ended: Promise<RunEnd>;
  state: 'running' | 'ended';
  /** What it has written so far. */
  stdout: { text: string };
  stop: (reason: StopReason) => void;
  /** Its task ends well now. */
  finish: () => void;
}

/** What an engine does with a call. `reject`: it is not to be asked for such a thing. `hang`: no answer until `release`, then the answer of one that works. */
type Behaviour = 'work' | 'fail' | 'hang' | 'reject';
type FaultyCall = 'probe' | 'start' | 'findRuns' | 'dispose' | 'stop';

/** The engine of one machine: outlives executors. */
export class StubEngine {
  readonly containers = new Set<StubContainer>();
  /** Asked at each such call. */
  readonly faults: Record<FaultyCall, () => Behaviour> = {
    probe: () => 'work',
    start: () => 'work',
    findRuns: () => 'work',
    dispose: () => 'work',
    stop: () => 'work',
  };
  #released = Promise.withResolvers<void>();
  readonly starts: { taskId: string; nodeId: string; epoch: number }[] = [];
  /** Images that cannot be had here, beside those whose names say so. */
  readonly lacks = new Set<string>();
  /** Images that were asked for. */
  readonly asked: string[] = [];
  available = true;
  missingLimits: EngineInfo['missingLimits'] = [];
  /** What was said last of containers that are made ahead. */
  readiness: Readiness | null = null;
  readonly clock: Clock;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Answers every call that hangs. */
  release(): void {
    this.#released.resolve();
    this.#released = Promise.withResolvers();
  }

  /** @throws ExecutorError */
  async answer(call: FaultyCall): Promise<void> {
    const behaviour = this.available ? this.faults[call]() : 'fail';
    if (behaviour === 'hang') await this.#released.promise;
    if (behaviour === 'reject') throw new ExecutorError('rejected', 'the stub engine is not asked for that');
    if (behaviour === 'fail') throw new ExecutorError('engine-unavailable', 'the stub engine is away');
  }

  run(job: Job): StubContainer {
    this.starts.push({ taskId: job.key.taskId, nodeId: job.key.nodeId, epoch: job.key.epoch });
    const startedAtMs = this.clock.wallMs();
    const stopped = Promise.withResolvers<RunVerdict>();
    const cancelSleep = new AbortController();
    const stdout = { text: '' };
    const container: StubContainer = {
      key: job.key,
      attempt: job.attempt,
      startedAtMs,
      state: 'running',
      stdout,
      stop: (reason) => {
        stopped.resolve({ kind: 'stopped', reason, exitCode: 143 });
        cancelSleep.abort();
      },
      finish: () => {
        stopped.resolve({ kind: 'exited', exitCode: 0, outOfMemory: false });
        cancelSleep.abort();
      },
      ended: Promise.race([
        this.#behave(job, cancelSleep.signal, (text) => {
          stdout.text += text;
        }),
        stopped.promise,
      ]).then((verdict) => {
        container.state = 'ended';
        const empty = { bytes: new Uint8Array(), totalBytes: 0, truncated: false };
        stdout.text ||= `ran ${job.key.taskId}\n`;
        const bytes = Buffer.from(stdout.text);
        return {
          verdict,
          stdout: { ...empty, bytes, totalBytes: bytes.length },
          stderr: empty,
          startedAtMs,
          finishedAtMs: this.clock.wallMs(),
          timingsMs: { pull: 0, start: 0, run: this.clock.wallMs() - startedAtMs, collect: 0 },
          usage: { cpuSeconds: null, peakMemoryBytes: null },
          image: { name: job.image, digest: null },
        };
      }),
    };
    this.containers.add(container);
    return container;
  }

  async #behave(job: Job, signal: AbortSignal, write: (text: string) => void): Promise<RunVerdict> {
    const script = job.program.kind === 'script' ? job.program.script : job.program.argv.join(' ');
    const [word, figure = '0', pauseMs = '0'] = script.split(' ');
    switch (word) {
      case 'exit':
        return { kind: 'exited', exitCode: Number(figure), outOfMemory: false };
      case 'oom':
        return { kind: 'exited', exitCode: 137, outOfMemory: true };
      case 'unstartable':
        return { kind: 'unstartable', exitCode: 127, message: 'no such program' };
      case 'vanish':
        return { kind: 'vanished', message: 'the container is gone' };
      case 'lines':
        for (let line = 1; line <= Number(figure) && !signal.aborted; line += 1) {
          write(`line ${line} ${this.clock.wallMs()}\n`);
          await this.clock.sleep(Number(pauseMs), signal);
        }
        return { kind: 'exited', exitCode: 0, outOfMemory: false };
      case 'write':
        write('0123456789abcde\n'.repeat(Math.ceil(Number(figure) / 16)).slice(0, Number(figure)));
        await this.clock.sleep(Number(pauseMs), signal);
        return { kind: 'exited', exitCode: 0, outOfMemory: false };
      case 'hang':
        await this.clock.sleep(job.timeoutMs, signal);
        return { kind: 'stopped', reason: 'timeout', exitCode: 137 };
      default:
        await this.clock.sleep(Number(figure), signal);
        return { kind: 'exited', exitCode: 0, outOfMemory: false };
    }
  }
}

export class StubExecutor implements Executor {
  readonly #engine: StubEngine;

  constructor(engine: StubEngine) {
    this.#engine = engine;
  }

  async probe(): Promise<EngineInfo> {
    await this.#engine.answer('probe');
    return {
      name: 'stub',
      version: '1',
      apiVersion: '1',
      cgroupVersion: '2',
      weighsCpus: true,
      missingLimits: this.#engine.missingLimits,
      dataRoot: null,
      cpus: 2,
      memoryBytes: 2 ** 40,
    };
  }

  foresee(): void {
    // There is nothing to find out.
  }

  async ensureImage(image: string): Promise<{ name: string; id: null; digest: null; pullMs: number }> {
    this.#mustAnswer();
    this.#engine.asked.push(image);
    if (image.startsWith('missing') || this.#engine.lacks.has(image))
      throw new ExecutorError('image-unavailable', `no such image: ${image}`);
    return { name: image, id: null, digest: null, pullMs: 0 };
  }

  async start(job: Job): Promise<Run> {
    await this.#engine.answer('start');
    if (job.network === 'absent') throw new ExecutorError('rejected', 'network: "absent" does not exist on this node');
    return this.#runOf(this.#engine.run(job));
  }

  prepare(readiness: Readiness): void {
    this.#engine.readiness = readiness;
  }

  poolStats(): null {
    return null;
  }

  async findRuns(nodeId: NodeId): Promise<FoundRun[]> {
    await this.#engine.answer('findRuns');
    return [...this.#engine.containers]
      .filter(({ key }) => key.nodeId === nodeId)
      .map((container) => ({
        key: container.key,
        attempt: container.attempt,
        state: container.state,
        resume: () => this.#runOf(container),
        discard: () => this.#runOf(container).dispose(),
      }));
  }

  async reclaimable(): Promise<Reclaimable[]> {
    return [];
  }

  async clean(step: CleanStep): Promise<CleanReport> {
    return { step: step.kind, removed: [] };
  }

  async close(): Promise<void> {}

  #runOf(container: StubContainer): Run {
    return {
      key: container.key,
      ended: container.ended,
      written: (maxBytes) => {
        const all = Buffer.from(container.stdout.text);
        const bytes = all.subarray(0, maxBytes);
        return {
          stdout: { bytes, isWhole: bytes.length === all.length },
          stderr: { bytes: new Uint8Array(), isWhole: true },
        };
      },
      stop: (reason) => {
        if (this.#engine.faults.stop() === 'work') container.stop(reason);
      },
      dispose: async () => {
        await this.#engine.answer('dispose');
        container.stop('fenced');
        this.#engine.containers.delete(container);
      },
    };
  }

  #mustAnswer(): void {
    if (!this.#engine.available) throw new ExecutorError('engine-unavailable', 'the stub engine is away');
  }
}
