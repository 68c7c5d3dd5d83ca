/** Stub workers that are killed and started again, and all that they ever said. */
import { WorkerHistory } from './oracle/worker-history.ts';
import { StubWorkerProcess } from './stub-worker-process.ts';
import { until } from './until.ts';
import type { WorkerProcess } from './worker-process.ts';

export interface StubFleetOptions {
  /** Home directories are made below it. */
  directory: string;
  repoUrl: string;
  names: readonly string[];
  env?: Readonly<Record<string, string>>;
}

const READY_LIMIT_MS = 60_000;

export class StubFleet {
  readonly history = new WorkerHistory();
  readonly #options: StubFleetOptions;
  readonly #workers = new Map<string, WorkerProcess>();
  readonly #ready = new Set<WorkerProcess>();
  kills = 0;

  private constructor(options: StubFleetOptions) {
    this.#options = options;
  }

  static start(options: StubFleetOptions): StubFleet {
    const fleet = new StubFleet(options);
    for (const name of options.names) fleet.#start(name);
    return fleet;
  }

  /**
   * SIGKILL, and the next life at once.
   * @param how.onceReady not before it works, so that a busy machine gets something done between kills
   * @throws Error when the worker had ended by itself
   */
  async killAndRestart(name: string, how: { onceReady: boolean }): Promise<void> {
    const worker = this.#workers.get(name);
    if (!worker) throw new Error(`no such worker: ${name}`);
    if (how.onceReady) {
      await until(`${name} to be ready`, () => this.#ready.has(worker) || worker.ended, READY_LIMIT_MS);
    }
    if (worker.ended) throw new Error(`${name} had ended: ${worker.output}`);
    await worker.stop('SIGKILL');
    this.kills += 1;
    this.#start(name);
  }

  /** In order, all at the same time, once each has begun. Answers the exit codes. */
  async stop(): Promise<(number | null)[]> {
    const workers = [...this.#workers.values()];
    const begun = (): boolean => workers.every((worker) => this.#ready.has(worker) || worker.ended);
    await until('all workers to be ready', begun, READY_LIMIT_MS);
    return Promise.all(workers.map((worker) => worker.stop('SIGTERM')));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#workers.values()].map((worker) => worker.stop('SIGKILL')));
  }

  #start(name: string): void {
    const { directory, env = {}, repoUrl } = this.#options;
    const worker: WorkerProcess = StubWorkerProcess.start({
      directory,
      name,
      repoUrl,
      env,
      onEntry: (entry) => {
        if (entry.event === 'worker.ready') this.#ready.add(worker);
        this.history.take(name, [entry]);
      },
    });
    this.#workers.set(name, worker);
  }
}
