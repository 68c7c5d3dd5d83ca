/** A worker as a process of its own, whose log is followed as it comes: nothing is searched for again and again. */
import { join } from 'node:path';
import type { EventName } from '../../src/observe/events.ts';
import { type LogEntry, WorkerProcess } from '../../test/support/worker-process.ts';

const STUB_PROGRAM = join(import.meta.dirname, '../../test/support/stub-worker.ts');

export interface SeenEntry extends LogEntry {
  /** When the line arrived here, on this process's monotonic clock. */
  arrivedMs: number;
  /** When it was written by the worker's word, on the same clock; good to a millisecond. */
  loggedMs: number;
}

export interface BenchWorkerOptions {
  directory: string;
  name: string;
  repoUrl: string;
  /** `stub`: tasks end at once, and there is no engine. `none`: the real worker, whose engine is away. */
  engine: 'stub' | 'none' | { host: string };
  env?: Readonly<Record<string, string>>;
  onEntry?: (entry: SeenEntry) => void;
}

interface Waiter {
  event: EventName;
  matches: (entry: SeenEntry) => boolean;
  resolve: (entry: SeenEntry) => void;
}

export class BenchWorker {
  readonly process: WorkerProcess;
  readonly startedMs = performance.now();
  readonly counts = new Map<EventName, number>();
  readonly #waiters = new Set<Waiter>();
  readonly #onEntry: ((entry: SeenEntry) => void) | undefined;

  private constructor(options: BenchWorkerOptions) {
    const { directory, engine, env = {}, name, repoUrl } = options;
    this.#onEntry = options.onEntry;
    this.process = WorkerProcess.start({
      directory,
      name,
      repoUrl,
      // Tests want no containers made ahead; whoever starts a worker gets what is set by default.
      env: { WARM_POOL_SIZE: '', ...env },
      dockerHost: typeof engine === 'object' ? engine.host : 'unix:///nowhere',
      ...(engine === 'stub' ? { program: [process.execPath, STUB_PROGRAM] } : {}),
      onEntry: (entry) => this.#take({ ...entry, arrivedMs: performance.now(), loggedMs: fromWall(entry.time) }),
    });
  }

  static start(options: BenchWorkerOptions): BenchWorker {
    return new BenchWorker(options);
  }

  /** The next entry that fits; call it before what causes it. @throws Error when the worker ends, or in vain */
  async next(
    event: EventName,
    boundMs: number,
    matches: (entry: SeenEntry) => boolean = () => true,
  ): Promise<SeenEntry> {
    const { promise, resolve, reject } = Promise.withResolvers<SeenEntry>();
    const waiter = { event, matches, resolve };
    this.#waiters.add(waiter);
    const name = `${this.process.name}: ${event}`;
    const late = setTimeout(() => reject(new Error(`waited ${boundMs} ms in vain for ${name}`)), boundMs);
    void this.process
      .exit()
      .then(() => reject(new Error(`ended before ${name}\n${this.process.output.slice(-2_000)}`)));
    try {
      return await promise;
    } finally {
      clearTimeout(late);
      this.#waiters.delete(waiter);
    }
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.process.stop(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process.stop('SIGKILL');
  }

  #take(entry: SeenEntry): void {
    this.counts.set(entry.event, (this.counts.get(entry.event) ?? 0) + 1);
    this.#onEntry?.(entry);
    for (const waiter of this.#waiters)
      if (waiter.event === entry.event && waiter.matches(entry)) waiter.resolve(entry);
  }
}

/** Entries carry whole milliseconds of the wall clock, cut off; both are read anew because that clock may be moved. */
function fromWall(time: string): number {
  return performance.now() - (Date.now() - Date.parse(time));
}
