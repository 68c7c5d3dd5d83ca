/** Workers that are killed, paused and started again, and all that they ever said to the oracle. */
import { WorkerHistory } from './oracle/worker-history.ts';
import { until } from './until.ts';
import type { LogEntry, WorkerProcess } from './worker-process.ts';

/** Starts a life of a worker; every life of a name has the same home. It logs at the level `debug`. */
export type StartWorker = (name: string, onEntry: (entry: LogEntry) => void) => WorkerProcess;

const READY_LIMIT_MS = 300_000;

export class Fleet {
  readonly names: readonly string[];
  readonly history = new WorkerHistory();
  readonly #startWorker: StartWorker;
  readonly #workers = new Map<string, WorkerProcess>();
  readonly #ready = new Set<WorkerProcess>();
  kills = 0;
  /** How long a worker took last from its start until it worked: what this machine can do just now. */
  lastStartMs = 0;

  private constructor(names: readonly string[], startWorker: StartWorker) {
    this.names = names;
    this.#startWorker = startWorker;
  }

  static start(names: readonly string[], startWorker: StartWorker): Fleet {
    const fleet = new Fleet(names, startWorker);
    for (const name of names) fleet.#start(name);
    return fleet;
  }

  /** The present life. @throws Error when it has ended by itself */
  worker(name: string): WorkerProcess {
    const worker = this.#workers.get(name);
    if (!worker || worker.ended) throw new Error(`${name} has ended: ${worker?.output}`);
    return worker;
  }

  /** The present life of each, or the last one while the next is on its way. */
  get lives(): WorkerProcess[] {
    return [...this.#workers.values()];
  }

  async ready(name: string): Promise<void> {
    const worker = this.worker(name);
    await until(`${name} to be ready`, () => this.#ready.has(worker) || worker.ended, READY_LIMIT_MS);
    this.worker(name);
  }

  /**
   * SIGKILL, and the next life at once.
   * @param how.onceReady not before it works, so that a busy machine gets something done between kills
   */
  async killAndRestart(name: string, how: { onceReady: boolean }): Promise<void> {
    if (how.onceReady) await this.ready(name);
    await this.worker(name).stop('SIGKILL');
    this.kills += 1;
    this.#start(name);
  }

  /** In order, and the next life after that. Answers the exit code. */
  async restart(name: string): Promise<number | null> {
    await this.ready(name);
    const code = await this.worker(name).stop('SIGTERM');
    this.#start(name);
    return code;
  }

  /** In order, all at the same time, once each has begun. Answers the exit codes. */
  async stop(): Promise<(number | null)[]> {
    await Promise.all(this.names.map((name) => this.ready(name)));
    return Promise.all(this.names.map((name) => this.worker(name).stop('SIGTERM')));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.lives.map((worker) => worker.stop('SIGKILL')));
  }

  #start(name: string): void {
    const startedMs = performance.now();
    const worker: WorkerProcess = this.#startWorker(name, (entry) => {
      if (entry.event === 'worker.ready') {
        this.#ready.add(worker);
        this.lastStartMs = performance.now() - startedMs;
      }
      this.history.take(name, [entry]);
    });
    this.#workers.set(name, worker);
  }
}
