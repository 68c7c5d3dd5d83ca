/** `dgrid bench-grid`: how fast and how reliable a grid is that is at work, as a submitter sees it. */
import { open } from 'node:fs/promises';
import type { Command } from 'commander';
import { cancel } from '../../client/cancel.ts';
import type { GridClient } from '../../client/grid-client.ts';
import { cleanUpProbes } from '../../client/probe-cleanup.ts';
import { type ProbeReport, reportOf } from '../../client/probe-report.ts';
import { NO_RUN, newProbe, openProbes, ProbeError, type ProbeRun, runProbes } from '../../client/probe-run.ts';
import { signTasks } from '../../client/sign-tasks.ts';
import { UnclearSubmitError } from '../../client/submit.ts';
import type { NewTask } from '../../client/task-input.ts';
import type { ClientSettings } from '../../config/settings.ts';
import { readResults } from '../../ledger/results.ts';
import { systemRandomHex } from '../../runtime.ts';
import { SigningError } from '../../signing/ssh-keygen.ts';
import type { ResultRecord } from '../../task/result.ts';
import { EXIT } from '../exit-code.ts';
import { Failure } from '../failure.ts';
import { counted } from '../figures.ts';
import type { Output } from '../output.ts';
import { type Cli, clientSettings, defineCommand, outputOf } from '../program.ts';
import { BENCH_DEFAULTS, type BenchGridFlags, type BenchGridPlan, benchGridPlan } from './bench-grid-flags.ts';
import { printReport } from './bench-grid-output.ts';
import { withClient } from './with-client.ts';

const RUN_BYTES = 4;
const DAY_MS = 86_400_000;
/** After an interruption: to take back what is still queued. A second one ends the program at once. */
const CANCEL_MS = 30_000;

export function addBenchGridCommand(program: Command, cli: Cli): void {
  const command = defineCommand(program, cli, {
    name: 'bench-grid',
    summary: 'measure a grid that is at work',
    description:
      'Queues probe tasks at a steady rate, follows them to their results, and tells how long each phase took, how many\n' +
      'succeeded, and on which nodes. They are real tasks: they take slots, and count for MAX_TASKS_PER_HOUR. Their records\n' +
      'stay on the branch unless --cleanup takes them away. Exits with 1 when a target is not met, or, without any, when\n' +
      'not all probes succeeded.',
    examples: [
      'dgrid bench-grid',
      "dgrid bench-grid --tasks 200 --rate 10/s --target 'e2e.p95<10s' --target 'success>=99%'",
      'dgrid bench-grid --requires gpu --warmup 5 --json --output before.json',
    ],
    settings: 'client',
  });
  const collect = (value: string, all: string[] | undefined): string[] => [...(all ?? []), value];
  command
    .option('--tasks <n>', 'how many probes', BENCH_DEFAULTS.tasks)
    .option(
      '--rate <rate>',
      'how many are queued in which time: 5/s, 90/min, or "max" for all at once',
      BENCH_DEFAULTS.rate,
    )
    .option('--script <text>', 'what a probe does', BENCH_DEFAULTS.script)
    .option('--image <name>', 'run them in this container image')
    .option('--requires <label>', 'only on nodes with this label; may be given again', collect)
    .option('--task-timeout <seconds>', 'time limit of each probe', BENCH_DEFAULTS.taskTimeout)
    .option('--warmup <n>', 'so many before, all at once, which do not count', BENCH_DEFAULTS.warmup)
    .option(
      '--timeout <seconds>',
      'the longest that all of it may take; what is open then is cancelled',
      BENCH_DEFAULTS.timeout,
    )
    .option('--target <target>', 'what is expected, as e2e.p95<10s; may be given again', collect)
    .option('--sign <key>', 'sign the probes with this SSH private key')
    .option('--output <file>', 'write the figures to this file too, as JSON')
    .option('--cleanup', 'take the records of the probes off the branch at the end, in one commit');
  command.action(async () => {
    const output = outputOf(command, cli);
    const flags: BenchGridFlags = command.opts();
    const settings = clientSettings(command, cli);
    const plan = benchGridPlan(flags, systemRandomHex(RUN_BYTES), settings);
    const file = plan.output === null ? null : await createOutput(plan.output);
    try {
      const report = await benchGrid(plan, { command, cli, output });
      const document = `${JSON.stringify(report, null, 2)}\n`;
      await file?.writeFile(document);
      output.document(report);
      printReport(output, report);
      if (!isGood(report)) cli.setExitCode(EXIT.failed);
    } finally {
      await file?.close();
    }
  });
}

/** Before anything is queued: a place that cannot be written is no news for the end of an hour. */
async function createOutput(path: string): Promise<Awaited<ReturnType<typeof open>>> {
  return await open(path, 'w').catch((error: NodeJS.ErrnoException) => {
    throw new Failure(
      'usage',
      `--output: ${path} cannot be written (${error.code}): name a file in a directory of yours`,
    );
  });
}

export function isGood({ targets, tasks, ended }: ProbeReport): boolean {
  if (targets.length > 0) return targets.every(({ met }) => met);
  return ended === 'done' && tasks.succeeded === tasks.wanted;
}

interface Place {
  command: Command;
  cli: Cli;
  output: Output;
}

async function benchGrid(plan: BenchGridPlan, place: Place): Promise<ProbeReport> {
  const { command, cli, output } = place;
  const runs: ProbeRun[] = [];
  const measured = withClient(command, cli, output, async (client, settings) => {
    const { clock } = client;
    const endMs = clock.monotonicMs() + plan.timeoutMs;
    const rounds = [
      { tasks: plan.warmUp, everyMs: 0, awaitRecords: false },
      { tasks: plan.tasks, everyMs: plan.everyMs, awaitRecords: true },
    ];
    let last: ProbeRun = NO_RUN;
    for (const { tasks, ...how } of rounds) {
      if (tasks.length === 0 || last.ended !== 'done') continue;
      const prepared = await signed(tasks, plan, settings, clock.wallMs());
      const bar = output.progress(tasks.length);
      const options = { ...how, timeoutMs: Math.max(0, endMs - clock.monotonicMs()) };
      last = await runProbes(client, prepared, { ...options, onLook: (done) => bar.update(done, 'probes done') });
      bar.finish();
      runs.push(last);
    }
    const run = runs.length === rounds.filter(({ tasks }) => tasks.length > 0).length ? last : notBegun(plan, last);
    if (run.ended === 'failed') {
      // What failed says more than that it cannot be taken back either.
      await takeBack(client, output, runs).catch(() => output.note('probes may still be queued: see "dgrid status"'));
      throw explained(run.error);
    }
    if (run.ended === 'timeout') await takeBack(client, output, runs);
    const records = await recordsOf(client, run);
    if (plan.cleanup && run.ended !== 'aborted') await cleanUp(client, output, plan);
    return reportOf(plan.runId, run, records, plan.targets);
  });
  try {
    return await measured;
  } finally {
    if (cli.interruption.signal().aborted) await takeBackAfterwards(runs, place);
  }
}

/** With a client of its own: the one of before ended with the interruption. Never throws. */
async function takeBackAfterwards(runs: readonly ProbeRun[], { command, cli, output }: Place): Promise<void> {
  if (runs.flatMap(openProbes).length === 0) return;
  const signal = AbortSignal.timeout(CANCEL_MS);
  try {
    await withClient(command, cli, output, (client) => takeBack(client, output, runs), { signal });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    output.note(`probes may still be queued: ${why}; "dgrid status", and "dgrid cancel" takes them back`);
  }
}

/** The warm-up was not over in time: nothing of what counts was begun. */
function notBegun({ tasks }: BenchGridPlan, last: ProbeRun): ProbeRun {
  const ended = last.ended === 'done' ? 'timeout' : last.ended;
  return { ...last, probes: tasks.map((task) => newProbe(task, 0)), lookGapsMs: [], ended };
}

async function signed(
  tasks: readonly NewTask[],
  { signKey }: BenchGridPlan,
  { grid, maxTaskBytes }: ClientSettings,
  wallMs: number,
): Promise<readonly NewTask[]> {
  if (signKey === null) return tasks;
  const wish = { keyFile: signKey, grid, maxTaskBytes, notBeforeMs: null, randomHex: systemRandomHex };
  try {
    return await signTasks(tasks, { ...wish, expiresAtMs: wallMs + DAY_MS });
  } catch (error) {
    if (error instanceof SigningError)
      throw new Failure('failed', `nothing was queued: ${error.message}`, { cause: error });
    throw error;
  }
}

function explained(error: unknown): unknown {
  if (error instanceof ProbeError || error instanceof UnclearSubmitError) {
    return new Failure('failed', `the probes could not be queued: ${error.message}`, { cause: error });
  }
  return error;
}

/** Cancels what was queued and has no result. */
async function takeBack(client: GridClient, output: Output, runs: readonly ProbeRun[]): Promise<void> {
  const ids = runs.flatMap(openProbes);
  if (ids.length === 0) return;
  const outcomes = [...(await cancel(client, ids)).values()];
  const cancelled = outcomes.filter(({ kind }) => kind === 'cancelled').length;
  const finished = outcomes.filter(({ kind }) => kind === 'already-finished').length;
  output.note(
    `cancelled ${counted(cancelled, 'probe', 'probes')} that had no result${finished > 0 ? `; ${finished} had one by then` : ''}`,
  );
  // One whose push was cut off may never have been queued.
  const left = outcomes.filter(({ kind }) => !['cancelled', 'already-finished', 'unknown'].includes(kind)).length;
  if (left > 0) {
    output.note(`${left} could not be cancelled: "dgrid status" shows them`);
  }
}

async function recordsOf(client: GridClient, { probes, view, ended }: ProbeRun): Promise<Map<string, ResultRecord>> {
  // With the interruption nothing can be read any more.
  if (view === null || ended === 'aborted') return new Map();
  const done = probes.flatMap(({ doneMs, task }) => (doneMs === null ? [] : [task.taskId]));
  const results = await readResults(client, view, done);
  return new Map([...results].flatMap(([id, found]) => (found.ok ? [[id, found.record] as const] : [])));
}

async function cleanUp(client: GridClient, output: Output, { warmUp, tasks }: BenchGridPlan): Promise<void> {
  const outcome = await cleanUpProbes(
    client,
    [...warmUp, ...tasks].map(({ taskId }) => taskId),
  );
  if (outcome.kind === 'done') {
    output.note(
      `removed the records of ${counted(outcome.removed, 'probe', 'probes')}; the branch's history keeps them`,
    );
    if (outcome.kept > 0) output.note(`${outcome.kept} stay: their refs are not gone yet`);
  } else if (outcome.kind === 'refused')
    output.note(`the records stay, the host refuses their removal: ${outcome.reason}`);
  else output.note('the records stay: others kept pushing at the same time');
}
