/** Workers that empty a queue, with what they say of it added up. */

import { git } from '../../test/support/git.ts';
import type { WorkerProcess } from '../../test/support/worker-process.ts';
import { fastImport, historyStream, queueTasks } from './fixtures.ts';
import type { Lab } from './suite.ts';
import { startTaskServer } from './task-server.ts';
import { BenchWorker, type BenchWorkerOptions, type SeenEntry } from './worker.ts';

export interface QueueRunOptions {
  tasks: number;
  workers: number;
  env: Readonly<Record<string, string>>;
  engine: BenchWorkerOptions['engine'];
  boundMs: number;
}

export interface QueueRun {
  /** From the commit that queued the tasks until the last one was recorded, as the workers said it. */
  ms: number;
  /** From the first claim until the last result was accepted: without the wait for the first poll, and without records. */
  workMs: number;
  claimed: number;
  /** Claims that others were faster with, or that turned out settled. */
  lost: number;
  /** Starts beyond the first of each task. */
  startedAgain: number;
  /** From claim to acknowledged result, of each task. */
  resultMs: number[];
}

const READY_BOUND_MS = 120_000;
let runs = 0;

/** The workers are ready before the tasks come. @throws Error when a task was not recorded */
export async function emptyQueue(lab: Lab, options: QueueRunOptions): Promise<QueueRun> {
  const { boundMs, engine, env, tasks } = options;
  runs += 1;
  await using server = await startTaskServer();
  const { path } = server;
  await fastImport(path, historyStream({ commits: 20, results: 40, queued: 0 }));
  const tally = new Tally(tasks);
  const workers = Array.from({ length: options.workers }, (_, at) =>
    lab.use(
      BenchWorker.start({
        directory: lab.directory.sub(`run-${runs}`),
        name: `worker-${at + 1}`,
        repoUrl: server.url,
        engine,
        env: { LOG_LEVEL: 'debug', ...env },
        onEntry: (entry) => tally.take(entry),
      }),
    ),
  );
  await Promise.all(workers.map((worker) => worker.next('worker.ready', READY_BOUND_MS)));
  const startedMs = performance.now();
  await queueTasks(path, tasks, 'fresh');
  const queuedMs = performance.now();
  // As a webhook would: the wait for the next poll is not what is measured.
  for (const { process } of workers) process.child.kill('SIGUSR2');
  await tally.recorded(
    workers.map(({ process }) => process),
    boundMs,
  );
  await Promise.all(workers.map((worker) => worker.stop()));
  const left = await git(path, ['ls-tree', '--name-only', 'refs/heads/main:tasks']);
  if (left.split('\n').includes('queue'))
    throw new Error('the workers say that all is recorded, but the queue is not empty');
  // The commit is visible to workers somewhere in between.
  return tally.sum((startedMs + queuedMs) / 2);
}

class Tally {
  readonly #tasks: number;
  readonly #done = Promise.withResolvers<void>();
  readonly #starts = new Map<string, number>();
  readonly #claimedMs = new Map<string, number>();
  readonly #resultMs: number[] = [];
  #claimed = 0;
  #lost = 0;
  #recorded = 0;
  #lastMs = 0;
  #firstClaimMs = Number.POSITIVE_INFINITY;
  #lastResultMs = 0;

  constructor(tasks: number) {
    this.#tasks = tasks;
  }

  take(entry: SeenEntry): void {
    const { arrivedMs, event } = entry;
    const task = String(entry['task']);
    if (event === 'task.claimed') {
      this.#claimed += 1;
      this.#firstClaimMs = Math.min(this.#firstClaimMs, arrivedMs);
      this.#claimedMs.set(task, arrivedMs);
    } else if (event === 'task.claim-lost' || event === 'task.claim-given-up') {
      this.#lost += 1;
    } else if (event === 'task.started') {
      this.#starts.set(task, (this.#starts.get(task) ?? 0) + 1);
    } else if (event === 'result.acknowledged') {
      this.#lastResultMs = arrivedMs;
      this.#resultMs.push(arrivedMs - (this.#claimedMs.get(task) ?? Number.NaN));
    } else if (event === 'result.recorded') {
      this.#recorded += Number(entry['tasks']);
      this.#lastMs = arrivedMs;
      if (this.#recorded >= this.#tasks) this.#done.resolve();
    }
  }

  async recorded(workers: readonly WorkerProcess[], boundMs: number): Promise<void> {
    const late = setTimeout(() => {
      const told = workers.map(({ output }) => output.slice(-500)).join('\n');
      this.#done.reject(new Error(`${this.#recorded} of ${this.#tasks} recorded after ${boundMs} ms\n${told}`));
    }, boundMs);
    try {
      await this.#done.promise;
    } finally {
      clearTimeout(late);
    }
  }

  sum(fromMs: number): QueueRun {
    const starts = [...this.#starts.values()];
    return {
      ms: this.#lastMs - fromMs,
      workMs: this.#lastResultMs - this.#firstClaimMs,
      claimed: this.#claimed,
      lost: this.#lost,
      startedAgain: starts.reduce((again, count) => again + count - 1, 0),
      resultMs: this.#resultMs,
    };
  }
}
