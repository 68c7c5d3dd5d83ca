/** A thread of the seed runner: every so-maniest seed of a range. */
import { parentPort, workerData } from 'node:worker_threads';
import type { SeedReport, SeedTask } from './seed-runner.ts';
import { MAX_READING_GAP_MS } from './sim-machine.ts';
import { simulate } from './simulation.ts';

const PROGRESS_EVERY = 50;

const task = workerData as SeedTask;
const startedMs = performance.now();
const report: SeedReport = {
  seeds: 0,
  ms: 0,
  failures: [],
  tasks: 0,
  starts: 0,
  startedMoreThanOnce: 0,
  takeovers: 0,
  fencings: 0,
  lateResultsRejected: 0,
  slowestRestMs: 0,
  asleep: 0,
};
let current = task.from;
process.on('unhandledRejection', (error) => {
  throw new Error(`seed ${current}: nobody looked at a failure`, { cause: error });
});
for (let seed = task.from; seed < task.until; seed += task.step) {
  current = seed;
  const outcome = await simulate(seed);
  report.seeds += 1;
  report.tasks += outcome.figures.tasks;
  report.starts += outcome.figures.starts;
  report.startedMoreThanOnce += outcome.figures.startedMoreThanOnce;
  report.takeovers += outcome.figures.takeovers;
  report.fencings += outcome.figures.fencings;
  report.lateResultsRejected += outcome.figures.lateResultsRejected;
  if (outcome.slowestPaceMs > MAX_READING_GAP_MS) report.asleep += 1;
  report.slowestRestMs = Math.max(report.slowestRestMs, outcome.settledAfterMs ?? 0);
  if (outcome.violations.length > 0) report.failures.push(outcome);
  if (report.failures.length >= task.maxFailures) break;
  if (report.seeds % PROGRESS_EVERY === 0) tell(PROGRESS_EVERY);
}
report.ms = performance.now() - startedMs;
tell(report);

function tell(message: number | SeedReport): void {
  // A port has no origin to name; the rule is about windows.
  // oxlint-disable-next-line unicorn/require-post-message-target-origin
  parentPort?.postMessage(message);
}
