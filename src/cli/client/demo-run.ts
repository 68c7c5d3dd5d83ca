/** The course of `dgrid demo`, in a directory that somebody else removes. */
import { join } from 'node:path';
import type { GridClient } from '../../client/grid-client.ts';
import { layOut } from '../../client/layout.ts';
import { openClient } from '../../client/open-client.ts';
import { submit } from '../../client/submit.ts';
import { type LoadInput, loadClientSettings, loadSettings } from '../../config/load.ts';
import { makeBareRepository } from '../../git/bare-repository.ts';
import type { GridView } from '../../ledger/grid-view.ts';
import { readResults } from '../../ledger/results.ts';
import { standingOf } from '../../ledger/task-standing.ts';
import { systemRandomFraction, systemRandomHex } from '../../runtime.ts';
import { configurationFailure, Failure } from '../failure.ts';
import type { Output } from '../output.ts';
import type { Cli } from '../program.ts';
import type { Cell } from '../table.ts';
import { type DemoTask, demoTasks } from './demo-tasks.ts';
import { DemoWorker, demoExecutor, requireEngine, workerEnvironment } from './demo-worker.ts';
import { printResults, type ResultRow, resultRow, statusCell } from './result-table.ts';
import { tellRetries } from './with-client.ts';

const LOOK_INTERVAL_MS = 300;
/** An engine that has to pull or build its first image takes a while; no demo takes this long. */
const MAX_DEMO_MS = 240_000;

/** null when it was interrupted. @throws Failure */
export async function runDemo(cli: Cli, output: Output, dir: string): Promise<ResultRow[] | null> {
  const { clock } = cli;
  const signal = cli.interruption.signal();
  const repoPath = join(dir, 'tasks.git');
  // Its own, because the engine may have a second demo on it.
  const nodeId = `demo-${systemRandomHex(3)}`;
  const env = workerEnvironment(cli.env, dir, repoPath, nodeId);
  const input: LoadInput = { env, flags: {}, envFile: null, machine: { ...cli.machine, cwd: dir } };
  const emit = tellRetries(output);
  await makeBareRepository(repoPath, 'main', { clock, emit, operatorEnv: cli.env, signal });
  const worker = loadSettings(input);
  const client = loadClientSettings(input);
  if (!worker.ok) throw configurationFailure(worker.problems);
  if (!client.ok) throw configurationFailure(client.problems);
  const executor = demoExecutor(worker.settings, clock);
  try {
    const engine = await requireEngine(executor);
    if (signal.aborted) return null;
    output.line(`Container engine: ${engine.name} ${engine.version}`);
    output.line(`Repository: ${repoPath}`);
    const opened = await openClient({
      settings: client.settings,
      cacheHome: join(dir, 'cache'),
      clock,
      random: systemRandomFraction,
      randomHex: systemRandomHex,
      emit,
      operatorEnv: cli.env,
      signal,
    });
    try {
      const tasks = demoTasks();
      await layOut(opened.client);
      await submit(opened.client, tasks);
      output.line(`Worker: ${nodeId}, two tasks at a time`);
      output.line();
      const process = await DemoWorker.start(dir, env);
      try {
        return await watch(opened.client, output, process, tasks);
      } finally {
        if (!(await process.stop(clock))) {
          for (const left of await executor.findRuns(worker.settings.nodeId)) await left.discard();
        }
      }
    } finally {
      await opened.close();
    }
  } catch (error) {
    // What an interruption breaks off is no failure.
    if (signal.aborted) return null;
    throw error;
  } finally {
    await executor.close();
  }
}

/** Shows the tasks until the worker has nothing left to do. */
async function watch(
  client: GridClient,
  output: Output,
  worker: DemoWorker,
  tasks: readonly DemoTask[],
): Promise<ResultRow[] | null> {
  const { clock, signal } = client;
  const startedMs = clock.monotonicMs();
  const live = new LiveTable(output, tasks);
  const over = worker.ended.then(() => undefined);
  while (worker.isRunning && !signal.aborted) {
    if (clock.monotonicMs() - startedMs > MAX_DEMO_MS) throw await failed('it takes too long', worker);
    live.show(await client.refresh());
    const waited = new AbortController();
    await Promise.race([over, clock.sleep(LOOK_INTERVAL_MS, AbortSignal.any([signal, waited.signal]))]);
    waited.abort();
  }
  if (signal.aborted) return null;
  const view = await client.refresh();
  live.show(view);
  live.clear();
  const exitCode = await worker.ended;
  if (exitCode !== 0) throw await failed(`the worker ended with ${exitCode ?? 'a signal'}`, worker);
  const results = await readResults(
    client,
    view,
    tasks.map(({ taskId }) => taskId),
  );
  const rows: ResultRow[] = [];
  const surprises: string[] = [];
  for (const { taskId, expected } of tasks) {
    const result = results.get(taskId);
    if (result) rows.push(resultRow(taskId, result));
    if (!result?.ok || result.record.reason !== expected) surprises.push(taskId);
  }
  if (surprises.length > 0) {
    printResults(output, rows);
    throw await failed(`not the expected ending: ${surprises.join(', ')}`, worker);
  }
  return rows;
}

async function failed(what: string, worker: DemoWorker): Promise<Failure> {
  return new Failure('failed', `${what}\nthe worker's log ends with:\n${await worker.lastLines()}`);
}

/** A table that is redrawn on a terminal; elsewhere a line for each change. */
class LiveTable {
  readonly #output: Output;
  readonly #tasks: readonly DemoTask[];
  readonly #shown = new Map<string, string>();

  constructor(output: Output, tasks: readonly DemoTask[]) {
    this.#output = output;
    this.#tasks = tasks;
  }

  show(view: GridView): void {
    const states = this.#tasks.map((task) => ({ task, ...stateOf(view, task) }));
    if (this.#output.width === null) {
      for (const { task, state, remark } of states) {
        const text = remark === '' ? state : `${state}, ${remark}`;
        if (this.#shown.get(task.taskId) === text) continue;
        this.#shown.set(task.taskId, text);
        this.#output.line(`${task.taskId}: ${text}`);
      }
      return;
    }
    const columns = [{ title: 'TASK' }, { title: 'IS' }, { title: 'STATE' }, { title: 'REMARK', shrinks: true }];
    const rows = states.map(({ task, state, remark }): Cell[] => [
      task.taskId,
      task.shows,
      statusCell(this.#output, state),
      remark,
    ]);
    this.#output.picture(this.#output.tableLines(columns, rows));
  }

  /** Makes room for the results. */
  clear(): void {
    if (this.#output.width === null) this.#output.line();
    else this.#output.picture([]);
  }
}

function stateOf(view: GridView, task: DemoTask): { state: string; remark: string } {
  const standing = standingOf(view, task.taskId);
  switch (standing.kind) {
    case 'recorded':
      return { state: standing.status, remark: 'recorded on the branch' };
    case 'finished':
      return { state: standing.state.status, remark: standing.state.reason ?? '' };
    case 'claimed':
      return { state: 'in work', remark: '' };
    case 'queued':
    case 'waiting':
    case 'unreadable':
    case 'unknown':
      return { state: standing.kind, remark: '' };
  }
}
