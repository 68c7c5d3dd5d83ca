/** Runs many seeds on all processors, each in a thread of its own, and stops early when enough of them have failed. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { SimulationOutcome } from './simulation.ts';

export interface SeedRange {
  from: number;
  count: number;
}

export interface SeedReport {
  seeds: number;
  ms: number;
  /** Only those that the oracle objects to. */
  failures: SimulationOutcome[];
  tasks: number;
  starts: number;
  startedMoreThanOnce: number;
  takeovers: number;
  fencings: number;
  lateResultsRejected: number;
  slowestRestMs: number;
  /** Runs in which a worker read so rarely that each reading came after a gap. */
  asleep: number;
}

export interface SeedTask {
  from: number;
  until: number;
  step: number;
  maxFailures: number;
}

/** Further failures say little that the first have not said. */
const MAX_FAILURES = 20;

export async function runSeeds(
  range: SeedRange,
  onProgress: (done: number) => void = () => undefined,
): Promise<SeedReport> {
  const threads = Math.min(availableParallelism(), range.count);
  const startedMs = performance.now();
  const until = range.from + range.count;
  let done = 0;
  const parts = await Promise.all(
    Array.from({ length: threads }, (_, index) =>
      runThread({ from: range.from + index, until, step: threads, maxFailures: MAX_FAILURES }, (more) => {
        done += more;
        onProgress(done);
      }),
    ),
  );
  const sum = (key: Exclude<keyof SeedReport, 'failures'>): number =>
    parts.reduce((total, part) => total + part[key], 0);
  return {
    seeds: sum('seeds'),
    ms: performance.now() - startedMs,
    failures: parts.flatMap(({ failures }) => failures),
    tasks: sum('tasks'),
    starts: sum('starts'),
    startedMoreThanOnce: sum('startedMoreThanOnce'),
    takeovers: sum('takeovers'),
    fencings: sum('fencings'),
    lateResultsRejected: sum('lateResultsRejected'),
    asleep: sum('asleep'),
    slowestRestMs: Math.max(...parts.map(({ slowestRestMs }) => slowestRestMs)),
  };
}

function runThread(task: SeedTask, onProgress: (more: number) => void): Promise<SeedReport> {
  return new Promise((resolve, reject) => {
    const thread = new Worker(new URL('./seed-thread.ts', import.meta.url), { workerData: task });
    thread.on('message', (message: number | SeedReport) => {
      if (typeof message === 'number') onProgress(message);
      else resolve(message);
    });
    thread.on('error', reject);
    thread.on('exit', (code) => reject(new Error(`a thread ended with ${code} before its seeds were run`)));
  });
}
