/**
 * Workers of two versions on one queue: they share it, take over from each other's dead both ways, are cancelled by clients
 * of both, and each node changes its version in its place while tasks run, up and down, in order and by force. Judged by
 * the server's own history.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { LABEL_OF, type MixedTask, mixedTasks } from './mixed-tasks.ts';
import type { OldVersion } from './old-version.ts';
import type { Violation } from './oracle/check.ts';
import type { Figures } from './oracle/figures.ts';
import { judge } from './oracle/judge.ts';
import type { ServerHistory } from './oracle/server-history.ts';
import { WorkerHistory } from './oracle/worker-history.ts';
import { type ProgramEnd, tryProgram } from './programs.ts';
import type { TaskRepository } from './task-repository.ts';
import { hermeticEnv } from './temp.ts';
import { until } from './until.ts';
import { type LogEntry, WorkerProcess } from './worker-process.ts';

const ROOT = join(import.meta.dirname, '../..');
const PRESENT: Pick<OldVersion, 'stubWorker' | 'client'> = {
  stubWorker: [process.execPath, join(import.meta.dirname, 'stub-worker.ts')],
  client: [join(ROOT, 'bin/dgrid')],
};
const READY_BOUND_MS = 60_000;
const DONE_BOUND_MS = 240_000;
/** Of four workers. */
const SLOTS_EACH = '4';
const STARTED_BEFORE_KILLS = 10;

type Version = 'old' | 'new';

export interface MixedFleetParts {
  old: OldVersion;
  repo: TaskRepository;
  /** Installed before anything is pushed. */
  truth: ServerHistory;
  repoUrl: string;
  directory: string;
  /** How many tasks are shared out, beside those that have a part of their own. */
  shared: number;
  tell: (line: string) => void;
}

export interface MixedFleetReport {
  violations: Violation[];
  figures: Figures;
  /** Tasks whose record is not what it should be, with what it is. */
  wrong: string[];
  /** `taker from owner`, by version. */
  takeovers: string[];
  /** Exit codes of lives that were asked to end. */
  exits: (number | null)[];
  tookMs: number;
}

class MixedFleet {
  readonly history = new WorkerHistory();
  readonly takeovers: { task: string; by: string; from: string }[] = [];
  readonly started = new Set<string>();
  readonly #parts: MixedFleetParts;
  readonly #lives = new Map<string, { process: WorkerProcess; version: Version }>();

  constructor(parts: MixedFleetParts) {
    this.#parts = parts;
  }

  async start(name: string, version: Version): Promise<void> {
    const { directory, old, repoUrl } = this.#parts;
    const process = WorkerProcess.start({
      directory,
      name,
      repoUrl,
      dockerHost: 'unix:///nowhere',
      program: (version === 'old' ? old : PRESENT).stubWorker,
      onEntry: (entry) => this.#take(name, version, entry),
      env: {
        LOG_LEVEL: 'debug',
        MAX_PARALLEL_TASKS: SLOTS_EACH,
        HEARTBEAT_INTERVAL: '1',
        NODE_TTL: '5',
        NODE_LABELS: LABEL_OF[name] ?? '',
      },
    });
    this.#lives.set(name, { process, version });
    await process.logged('worker.ready', undefined, READY_BOUND_MS);
  }

  async end(name: string, signal: NodeJS.Signals): Promise<number | null> {
    const code = await this.#life(name).process.stop(signal);
    this.#lives.delete(name);
    return code;
  }

  /** In its place: the same id, the same state directory. */
  async change(name: string, to: Version, signal: NodeJS.Signals): Promise<number | null> {
    const code = await this.end(name, signal);
    await this.start(name, to);
    return code;
  }

  async endAll(): Promise<(number | null)[]> {
    return Promise.all([...this.#lives.keys()].map((name) => this.end(name, 'SIGTERM')));
  }

  killAll(): void {
    for (const { process } of this.#lives.values()) process.child.kill('SIGKILL');
  }

  #life(name: string): { process: WorkerProcess; version: Version } {
    const life = this.#lives.get(name);
    if (!life) throw new Error(`${name} does not run`);
    return life;
  }

  #take(name: string, version: Version, entry: LogEntry): void {
    this.history.take(name, [entry]);
    const task = String(entry['task']);
    if (entry.event === 'task.started') this.started.add(task);
    if (entry.event === 'task.taken-over') {
      this.takeovers.push({ task, by: `${name} (${version})`, from: String(entry['from_node']) });
    }
  }
}

/** `dgrid` of either version, with a home of its own. */
export function clientOf(parts: { old: OldVersion; repoUrl: string; directory: string }) {
  return async (version: Version, ...args: string[]): Promise<ProgramEnd> => {
    const home = join(parts.directory, `client-${version}`);
    mkdirSync(home, { recursive: true });
    const [program = '', ...first] = (version === 'old' ? parts.old : PRESENT).client;
    return tryProgram(program, [...first, ...args], {
      cwd: home,
      env: hermeticEnv(home, { DGRID_REPO_URL: parts.repoUrl, RETRY_BASE_SECONDS: '0.1' }),
    });
  };
}

export async function runMixedFleet(parts: MixedFleetParts): Promise<MixedFleetReport> {
  const { repo, shared, tell, truth } = parts;
  const tasks = mixedTasks(shared);
  const fleet = new MixedFleet(parts);
  const dgrid = clientOf(parts);
  const startedMs = performance.now();
  const exits: (number | null)[] = [];
  try {
    // Alone, so that it is certain who has them.
    await Promise.all([fleet.start('old-2', 'old'), fleet.start('new-2', 'new')]);
    await queue(repo, tasks, ({ part }) => part === 'taken-over');
    await until('both to be started', () => fleet.started.has('from-old') && fleet.started.has('from-new'), 30_000);
    await Promise.all([fleet.start('old-1', 'old'), fleet.start('new-1', 'new')]);
    await queue(repo, tasks, ({ part }) => part === 'shared' || part === 'cancelled');
    tell('four workers of two versions share the queue');
    await until('some to be started', () => fleet.started.size >= 2 + STARTED_BEFORE_KILLS, 30_000);
    await Promise.all([fleet.end('old-2', 'SIGKILL'), fleet.end('new-2', 'SIGKILL')]);
    tell('one of each version is killed');
    const taken = (): boolean =>
      ['from-old', 'from-new'].every((id) => fleet.takeovers.some(({ task }) => task === id));
    await until('both to be taken over', taken, 60_000);
    await cancelWhenStarted(tasks, fleet, dgrid);
    await queue(repo, tasks, ({ part }) => part === 'late');
    await Promise.all([fleet.start('old-2', 'new'), fleet.start('new-2', 'old')]);
    tell('each has come back as the other version, with the same state');
    await until(
      'late tasks to run',
      () => tasks.some(({ id, part }) => part === 'late' && fleet.started.has(id)),
      60_000,
    );
    exits.push(await fleet.change('old-1', 'new', 'SIGTERM'));
    exits.push(await fleet.change('new-1', 'old', 'SIGTERM'));
    tell('the other two have changed their version in order');

    await until('all records', async () => (await repo.queued()).length === 0, DONE_BOUND_MS);
    await until('the refs to go', async () => (await repo.refs('refs/dgrid/tasks/')).length === 0, 60_000);
    exits.push(...(await fleet.endAll()));
    const tookMs = performance.now() - startedMs;
    const { violations, figures } = await judge(truth, fleet.history, { settled: true });
    const takeovers = fleet.takeovers.map(({ task, by, from }) => `${task}: ${by} from ${from}`);
    return { violations, figures, wrong: await wrongRecords(repo, tasks), takeovers, exits, tookMs };
  } finally {
    fleet.killAll();
  }
}

async function queue(repo: TaskRepository, tasks: readonly MixedTask[], which: (task: MixedTask) => boolean) {
  await repo.queue(Object.fromEntries(tasks.filter(which).map(({ id, file }) => [id, file])));
}

/** By clients of both versions in turn, whichever worker has the task. */
async function cancelWhenStarted(
  tasks: readonly MixedTask[],
  fleet: MixedFleet,
  dgrid: ReturnType<typeof clientOf>,
): Promise<void> {
  const cancelled = tasks.filter(({ part }) => part === 'cancelled');
  for (const [index, { id }] of cancelled.entries()) {
    await until(`${id} to be started`, () => fleet.started.has(id), 60_000);
    const side = index % 2 === 0 ? 'old' : 'new';
    // The old one leaves it to its user to look again when a task moves on under its eyes.
    const tries = side === 'old' ? 5 : 1;
    let { code, stderr } = await dgrid(side, 'cancel', id);
    for (let tried = 1; tried < tries && stderr.includes('could not be fetched yet'); tried += 1) {
      ({ code, stderr } = await dgrid(side, 'cancel', id));
    }
    if (code !== 0) throw new Error(`cancelling ${id} ended with ${code}: ${stderr}`);
  }
}

async function wrongRecords(repo: TaskRepository, tasks: readonly MixedTask[]): Promise<string[]> {
  const wrong: string[] = [];
  for (const { expected, id } of tasks) {
    const record = await repo.record(id);
    const found = record === null ? 'none' : (record.reason ?? record.status);
    if (found !== expected) wrong.push(`${id}: ${found} instead of ${expected}`);
  }
  return wrong;
}
