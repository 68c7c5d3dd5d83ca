/**
 * Where attacks take place: a private engine, a Git server, canaries, and one worker that runs all of them. Beside the
 * attacks ordinary tasks run, one after the other, as long as an attack does and once more afterwards: each has to find its
 * surroundings as it would without them.
 */
import { networkInterfaces } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { ResultRecord } from '../../../src/task/result.ts';
import { PrivateEngine } from '../engine.ts';
import { git, gitBytes } from '../git.ts';
import { GitServer } from '../git-server.ts';
import { TaskRepository } from '../task-repository.ts';
import { makeTempDir, type TempDir } from '../temp.ts';
import { until } from '../until.ts';
import { type LogEntry, WorkerProcess } from '../worker-process.ts';
import { type Attack, type Seen, type Targets, taskIdOf, taskOf, type Way } from './attack.ts';
import { ATTACK_IMAGE, importAttackImages, VOLUME_IMAGE } from './attack-image.ts';
import { BoxWatch } from './box-watch.ts';
import { Canaries } from './canaries.ts';
import { added, type Traces, tracesOf } from './leftovers.ts';
import { TaskProcesses } from './task-processes.ts';

/** What the worker gives to a task. */
export const LIMITS = { memoryMib: 64, workMib: 16, cpus: 1, processes: 64, parallel: 3, warm: 2, outputMib: 1 };
const NODE = 'box';
const REPOSITORY = 'abuse';
export const ROUND_LIMIT_MS = 170_000;
/** Between two ordinary tasks: few of them are beside two attacks. */
const NEIGHBOUR_PAUSE_MS = 200;

/** Uses what a task may use, and tells of what it finds there. */
const NEIGHBOUR = [
  'seq 1 2000 >mine; sha256sum <mine; ls -A . /dev/shm',
  'i=0; while [ $i -lt 20 ]; do i=$((i+1)); (exit 0) & done; wait; mkfifo pipe; echo through >pipe & cat pipe',
  'head -c 4000000 /dev/zero | tail -c 1 | wc -c; wait; set -- /proc/[0-9]*; echo $#',
].join('\n');
const NEIGHBOUR_SAYS = [
  '6251e5743b6fd6a7d606130bdf7c15077ce85ebd3a0fdee284d15a46df199e38  -',
  '.:',
  '.script',
  'mine',
  '',
  '/dev/shm:',
  'through',
  '1',
  // The init process and the shell.
  '2',
  '',
].join('\n');

/** What the worker says only when something went wrong that is not the task's own affair. */
const TROUBLES: ReadonlySet<string> = new Set([
  'container.leftover',
  'container.remove-failed',
  'engine.unavailable',
  'pool.died',
  'pool.failed',
  'task.engine-failed',
  'task.handed-back',
]);

export interface Outcome extends Seen {
  attack: Attack;
  way: Way;
  /** Whether its container had waited for it. */
  warm: boolean;
  /** By the record. */
  seconds: number;
  /** Until the last of its processes was seen on this machine. */
  aliveS: number;
  /** The most memory that the worker held meanwhile. */
  workerMib: number;
  /** Processes of it that were there when its container had ended. */
  left: number[];
  /** How many ordinary tasks ran at the same time. */
  beside: number;
  /** These, and the next one. */
  neighbours: ResultRecord[];
}

interface Parts {
  engine: PrivateEngine;
  canaries: Canaries;
  repo: TaskRepository;
  server: GitServer;
  directory: TempDir;
  before: Traces;
}

export class Arena {
  readonly engine: PrivateEngine;
  readonly canaries: Canaries;
  readonly repo: TaskRepository;
  readonly worker: WorkerProcess;
  readonly watch: BoxWatch;
  /** Entries of the log in which a secret stood. */
  readonly leaks: string[] = [];
  /** Entries that tell of a trouble of the worker or its engine. */
  readonly troubles: string[] = [];
  readonly #parts: Parts;
  /** By the task: processes that were left when it had ended. */
  readonly #ended = new Map<string, number[]>();
  readonly #warm = new Set<string>();
  readonly #processes = new TaskProcesses();
  readonly #neighbours: string[] = [];

  private constructor(parts: Parts) {
    this.#parts = parts;
    this.engine = parts.engine;
    this.canaries = parts.canaries;
    this.repo = parts.repo;
    this.worker = this.#startWorker(parts);
    this.watch = new BoxWatch(this.worker.pid, parts.engine);
  }

  static async open(): Promise<Arena> {
    const engine = await PrivateEngine.start();
    try {
      return await Arena.#around(engine);
    } catch (error) {
      await engine.stop();
      throw error;
    }
  }

  static async #around(engine: PrivateEngine): Promise<Arena> {
    await importAttackImages(engine);
    const canaries = await Canaries.place(engine.dataRoot);
    const server = await GitServer.start({ auth: { user: 'x-access-token', token: canaries.secrets[0] ?? '' } });
    const repo = new TaskRepository(await server.createRepository(REPOSITORY));
    const before = await tracesOf(engine);
    const arena = new Arena({ engine, canaries, repo, server, directory: makeTempDir('arena'), before });
    await until('containers to wait', () => arena.worker.entries('pool.filled').length > 0, 30_000);
    return arena;
  }

  #startWorker({ directory, server, engine, canaries }: Parts): WorkerProcess {
    const [token = '', other = ''] = canaries.secrets;
    return WorkerProcess.start({
      directory: directory.path,
      name: NODE,
      repoUrl: server.url(REPOSITORY),
      dockerHost: engine.host,
      onEntry: (entry) => this.#take(entry),
      env: {
        GIT_TOKEN: token,
        // Nothing of ours: what a service manager may have put there.
        CANARY_SECRET: other,
        DOCKER_IMAGE: ATTACK_IMAGE,
        ALLOWED_IMAGES: `${ATTACK_IMAGE},${VOLUME_IMAGE}`,
        DOCKER_MEMORY: `${LIMITS.memoryMib}m`,
        DOCKER_WORK_SIZE: `${LIMITS.workMib}m`,
        DOCKER_CPUS: String(LIMITS.cpus),
        DOCKER_PIDS_LIMIT: String(LIMITS.processes),
        MAX_OUTPUT_BYTES: `${LIMITS.outputMib}m`,
        MAX_PARALLEL_TASKS: String(LIMITS.parallel),
        WARM_POOL_SIZE: String(LIMITS.warm),
        PULL_INTERVAL: '0.3',
        PULL_INTERVAL_MAX: '0',
        RECORD_DELAY: '0.5',
        LOG_LEVEL: 'debug',
      },
    });
  }

  #take(entry: LogEntry): void {
    const text = JSON.stringify(entry);
    if (this.canaries.secrets.some((secret) => text.includes(secret))) this.leaks.push(text);
    if (TROUBLES.has(entry.event)) this.troubles.push(text);
    const id = String(entry['task']);
    if (entry.event === 'task.finished') this.#ended.set(id, this.#processes.of(id));
    if (entry.event === 'step.done' && entry['step'] === 'container.hand-over') this.#warm.add(id);
  }

  /** Queues them all at once, and waits until all have a record, and an ordinary task has one that began after the last. */
  async run(attacks: readonly Attack[]): Promise<Outcome[]> {
    const targets = this.#targets();
    const entered = attacks.flatMap((attack) =>
      (attack.ways ?? ['script']).map((way) => ({ attack, way, id: taskIdOf(attack, way) })),
    );
    await this.repo.queue(Object.fromEntries(entered.map(({ attack, way, id }) => [id, taskOf(attack, way, targets)])));
    const endMs = performance.now() + ROUND_LIMIT_MS;
    for (;;) {
      const areOver = entered.every(({ id }) => this.#ended.has(id));
      const neighbour = `neighbour-${this.#neighbours.length + 1}`;
      this.#neighbours.push(neighbour);
      await this.repo.queue({ [neighbour]: { script: NEIGHBOUR, timeout_seconds: 30, priority: 'critical' } });
      await this.#until(`${neighbour} to end`, () => this.#ended.has(neighbour), endMs);
      if (areOver) break;
      await delay(NEIGHBOUR_PAUSE_MS);
    }
    await this.#until('all records', async () => (await this.repo.queued()).length === 0, endMs);
    const neighbours = await Promise.all(this.#neighbours.map((id) => this.#record(id)));
    return await Promise.all(entered.map((entry) => this.#outcome(entry, neighbours)));
  }

  /** Everything that came out of this worker into the repository, with every path. */
  async everythingPublished(): Promise<string> {
    const objects = await gitBytes(this.repo.path, ['cat-file', '--batch-all-objects', '--batch', '--buffer']);
    return objects.toString('latin1');
  }

  /** Every path that the repository ever had. */
  async paths(): Promise<string[]> {
    const listed = await git(this.repo.path, ['log', '--all', '--name-only', '--format=']);
    return [...new Set(listed.split('\n').filter((path) => path !== ''))];
  }

  /** Lets the worker leave in order. @returns its exit code, and what is left of the tasks on this machine */
  async leave(): Promise<{ code: number | null; leftovers: string[] }> {
    const code = await this.worker.stop();
    return { code, leftovers: added(this.#parts.before, await tracesOf(this.engine)) };
  }

  async close(): Promise<void> {
    this.watch.stop();
    this.#processes.stop();
    await this.worker.stop('SIGKILL');
    await this.#parts.server.stop();
    await this.canaries.remove();
    await this.engine.stop();
    this.#parts.directory.remove();
  }

  #targets(): Targets {
    const { abstractName, files, pid, port } = this.canaries;
    const addresses = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address));
    const sockets = [this.engine.socketPath, '/var/run/docker.sock', '/run/containerd/containerd.sock'];
    return { abstractName, addresses, files, pid, port, sockets };
  }

  async #until(what: string, holds: () => boolean | Promise<boolean>, endMs: number): Promise<void> {
    const orDead = async () => this.worker.ended || (await holds());
    await until(what, orDead, Math.max(1, endMs - performance.now())).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${this.worker.output.slice(-10_000)}`, { cause: error });
    });
    if (this.worker.ended) throw new Error(`the worker ended:\n${this.worker.output.slice(-10_000)}`);
  }

  async #record(id: string): Promise<ResultRecord> {
    const record = await this.repo.record(id);
    if (record === null) throw new Error(`${id} has no record`);
    return record;
  }

  async #outcome(entry: { attack: Attack; way: Way; id: string }, neighbours: ResultRecord[]): Promise<Outcome> {
    const { attack, way, id } = entry;
    const record = await this.#record(id);
    const startedMs = timeOf(record.started_at);
    const finishedMs = timeOf(record.finished_at);
    const beside = neighbours.filter(
      (other) => timeOf(other.started_at) < finishedMs && timeOf(other.finished_at) > startedMs,
    );
    const next = neighbours.find((other) => timeOf(other.started_at) >= finishedMs);
    if (next === undefined) throw new Error(`no ordinary task began after ${id}`);
    const directory = `tasks/${record.status === 'success' ? 'completed' : 'failed'}/${id}`;
    const output = async (name: 'stdout' | 'stderr'): Promise<Buffer> =>
      await gitBytes(this.repo.path, ['show', `${this.repo.ref}:${directory}/${name}.log`]).catch(() =>
        Buffer.from(record[name]),
      );
    return {
      attack,
      way,
      record,
      stdout: await output('stdout'),
      stderr: await output('stderr'),
      warm: this.#warm.has(id),
      seconds: (finishedMs - startedMs) / 1000,
      aliveS: Math.max(0, (this.#processes.lastSeenMs(id) ?? startedMs) - startedMs) / 1000,
      workerMib: this.watch.workerPeakMib(startedMs, finishedMs),
      left: this.#ended.get(id) ?? [],
      beside: beside.length,
      neighbours: [...beside, next],
    };
  }
}

/** How long an ordinary task took, from its claim to its end. */
export function secondsOf(neighbour: ResultRecord): number {
  return (timeOf(neighbour.finished_at) - timeOf(neighbour.claimed_at)) / 1000;
}

/** @returns what became of an ordinary task, where it is not what it should be */
export function harmOf(neighbour: ResultRecord): string | null {
  const { status, stdout, stderr } = neighbour;
  const isRight = status === 'success' && stdout === NEIGHBOUR_SAYS && stderr === '';
  return isRight ? null : JSON.stringify({ ...neighbour, task: undefined });
}

function timeOf(iso: string | null): number {
  return Date.parse(iso ?? '');
}
