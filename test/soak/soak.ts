/**
 * A grid that runs for as long as one likes, with tasks of every kind, and workers that are killed, restarted and paused
 * all the time. In the end it must come to rest, the oracle must have nothing to object, and nothing may be left over.
 */
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../../src/runtime.ts';
import { SeededRandom } from '../simulation/seeded-random.ts';
import { runClient } from '../support/client-program.ts';
import { PrivateEngine } from '../support/engine.ts';
import { Fleet } from '../support/fleet.ts';
import { git } from '../support/git.ts';
import { GitServer } from '../support/git-server.ts';
import type { Violation } from '../support/oracle/check.ts';
import type { Figures } from '../support/oracle/figures.ts';
import { judge } from '../support/oracle/judge.ts';
import { ServerHistory } from '../support/oracle/server-history.ts';
import { processesWith } from '../support/processes.ts';
import { StubWorkerProcess } from '../support/stub-worker-process.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';
import { WorkerProcess } from '../support/worker-process.ts';
import { Sampler, type SeriesSlope, sizeOf } from './sampler.ts';
import { drawTask } from './task-maker.ts';

export interface SoakOptions {
  durationMs: number;
  workers: number;
  engine: 'stub' | 'docker';
  seed: number;
  tell: (line: string) => void;
}

export interface SoakReport {
  violations: Violation[];
  /** What should not be there any more, in words. */
  leftovers: string[];
  figures: Figures;
  /** Tasks by kind. */
  kinds: Record<string, number>;
  deeds: Record<string, number>;
  slopes: SeriesSlope[];
  warmUpMs: number;
  /** Of the server's repository, for each task: as it grew, and after Git has packed it. */
  serverBytesPerTask: { grown: number; packed: number };
}

const REPOSITORY = 'soak';
const PARALLEL_TASKS = 3;
const SAMPLE_EVERY_MS = 3_000;
const SUBMIT_EVERY_MS = 2_000;
const DEED_EVERY_MS = { min: 3_000, max: 12_000 };
const PAUSE_MS = { min: 500, max: 20_000 };
const WARM_UP_MS = 300_000;
/** Of a run that is too short for that. */
const WARM_UP_SHARE = 0.2;
const REST_LIMIT_MS = 600_000;
const TELL_EVERY_MS = 60_000;

export async function soak(options: SoakOptions): Promise<SoakReport> {
  const engine = options.engine === 'docker' ? await PrivateEngine.start() : null;
  try {
    await engine?.importBusybox();
    await using server = await GitServer.start();
    return await run(options, server, engine);
  } finally {
    await engine?.stop();
  }
}

async function run(options: SoakOptions, server: GitServer, engine: PrivateEngine | null): Promise<SoakReport> {
  using directory = makeTempDir('soak');
  const repository = new TaskRepository(await server.createRepository(REPOSITORY));
  const truth = await ServerHistory.install(repository.path);
  const emptyBytes = (await sizeOf(join(repository.path, 'objects'))) ?? 0;
  const names = Array.from({ length: options.workers }, (_, index) => `w${index}`);
  const repoUrl = server.url(REPOSITORY);
  await using fleet = Fleet.start(names, (name, onEntry) => {
    const common = { directory: directory.path, name, repoUrl, onEntry };
    const env = {
      LOG_LEVEL: 'debug',
      MAX_PARALLEL_TASKS: String(PARALLEL_TASKS),
      NODE_TTL: '10',
      SHUTDOWN_GRACE_SECONDS: '5',
    };
    return engine
      ? WorkerProcess.start({ ...common, dockerHost: engine.host, env })
      : StubWorkerProcess.start({ ...common, env });
  });
  await mkdir(directory.sub('client'));
  const life = new Life(options, { fleet, repository, repoUrl, home: directory.sub('client') });
  const sampler = new Sampler({
    workers: () => fleet.lives,
    stateDir: (name) => directory.sub(name, 'state'),
    repository: repository.path,
    countContainers: async () => (engine ? engine.countLeftovers() : 0),
  });
  await life.live(sampler);
  options.tell('coming to rest');
  await until('the queue to be worked off', async () => (await repository.queued()).length === 0, REST_LIMIT_MS);
  await until('the refs to go', async () => (await repository.refs('refs/dgrid/tasks/')).length === 0, REST_LIMIT_MS);
  const codes = await fleet.stop();
  const leftovers = codes.flatMap((code, index) => (code === 0 ? [] : [`${names[index]} ended with ${code}`]));
  leftovers.push(...(await leftBehind(names, directory.path, engine)), ...life.complaints);
  const { violations, figures } = await judge(truth, fleet.history, { settled: true });
  const grownBytes = ((await sizeOf(join(repository.path, 'objects'))) ?? 0) - emptyBytes;
  await git(repository.path, ['gc', '--quiet', '--prune=now']);
  const packedBytes = ((await sizeOf(join(repository.path, 'objects'))) ?? 0) - emptyBytes;
  const warmUpMs = Math.min(WARM_UP_MS, options.durationMs * WARM_UP_SHARE);
  return {
    violations,
    leftovers,
    figures,
    kinds: life.kinds,
    deeds: life.deeds,
    slopes: sampler.slopes(warmUpMs),
    warmUpMs,
    serverBytesPerTask: { grown: grownBytes / figures.tasks, packed: packedBytes / figures.tasks },
  };
}

async function leftBehind(
  names: readonly string[],
  directory: string,
  engine: PrivateEngine | null,
): Promise<string[]> {
  const left: string[] = [];
  const containers = engine ? await engine.countLeftovers() : 0;
  if (containers > 0) left.push(`${containers} containers`);
  if (engine) left.push(...(await engine.remains()));
  for (const name of names) {
    const entries = await readdir(join(directory, name, 'state', 'outbox')).catch(() => []);
    left.push(...entries.map((entry) => `outbox of ${name}: ${entry}`));
  }
  left.push(...processesWith(directory).map(({ commandLine }) => `process: ${commandLine}`));
  return left;
}

interface LifeParts {
  fleet: Fleet;
  repository: TaskRepository;
  repoUrl: string;
  home: string;
}

/** All that happens to the grid from outside. */
class Life {
  readonly kinds: Record<string, number> = {};
  readonly deeds: Record<string, number> = {};
  readonly complaints: string[] = [];
  readonly #options: SoakOptions;
  readonly #parts: LifeParts;
  readonly #random: SeededRandom;
  readonly #endMs: number;
  readonly #paused = new Map<string, Promise<void>>();
  /** What people do to tasks they have queued. */
  readonly #afterwards = new Set<Promise<void>>();
  #submitted = 0;

  constructor(options: SoakOptions, parts: LifeParts) {
    this.#options = options;
    this.#parts = parts;
    this.#random = new SeededRandom(options.seed);
    this.#endMs = performance.now() + options.durationMs;
  }

  async live(sampler: Sampler): Promise<void> {
    await Promise.all([
      this.#repeat(
        () => SUBMIT_EVERY_MS,
        () => this.#submit(),
      ),
      this.#repeat(
        () => this.#random.between(DEED_EVERY_MS.min, DEED_EVERY_MS.max),
        () => this.#doHarm(),
      ),
      this.#repeat(
        () => SAMPLE_EVERY_MS,
        () => sampler.take(),
      ),
      this.#repeat(
        () => TELL_EVERY_MS,
        () => this.#tell(),
      ),
    ]);
    await Promise.all([...this.#paused.values(), ...this.#afterwards]);
  }

  async #repeat(everyMs: () => number, work: () => Promise<void>): Promise<void> {
    while (performance.now() < this.#endMs) {
      await systemClock.sleep(Math.min(everyMs(), this.#endMs - performance.now()));
      await work();
    }
  }

  /** Never more than the workers can take on soon, so that the run comes to an end. */
  async #submit(): Promise<void> {
    const { repository } = this.#parts;
    const { engine, workers } = this.#options;
    const room = 4 * workers * PARALLEL_TASKS - (await repository.queued()).length;
    const count = Math.min(room, this.#random.below(2 * PARALLEL_TASKS * workers));
    if (count <= 0) return;
    const tasks = Array.from({ length: count }, () => drawTask(this.#random, (this.#submitted += 1), engine));
    await repository.queue(Object.fromEntries(tasks.map(({ file, id }) => [id, file])));
    for (const { id, kind, next } of tasks) {
      count1(this.kinds, kind);
      if (!next) continue;
      const afterwards: Promise<void> = systemClock
        .sleep(next.afterMs)
        .then(() => this.#act(id, next.act))
        .catch((error: unknown) => void this.complaints.push(`${next.act} ${id}: ${String(error)}`))
        .finally(() => this.#afterwards.delete(afterwards));
      this.#afterwards.add(afterwards);
    }
  }

  async #act(id: string, act: 'cancel' | 'withdraw'): Promise<void> {
    const { home, repoUrl, repository } = this.#parts;
    if (act === 'withdraw') {
      const path = (await repository.queued()).find((file) => file.endsWith(`/${id}.json`));
      if (path === undefined) return;
      await repository.commit({ [path]: null }, `withdraw ${id}`);
      count1(this.deeds, 'withdrawals');
      return;
    }
    const { code, err } = await runClient(['cancel', id], { home, env: { DGRID_REPO_URL: repoUrl } });
    // Too late for some: that is an answer too.
    if (code !== 0 && code !== 1) this.complaints.push(`cancel ${id} ended with ${code}: ${err}`);
    count1(this.deeds, code === 0 ? 'cancellations' : 'cancellations that came too late');
  }

  /** The first worker is paused only: how a long life goes can be seen in it. */
  async #doHarm(): Promise<void> {
    const { fleet } = this.#parts;
    const names = fleet.names.filter((name) => !this.#paused.has(name));
    if (names.length === 0) return;
    const name = this.#random.pick(names);
    const dice = this.#random.fraction();
    if (name === fleet.names[0] || dice < 0.4) this.#pause(name);
    else if (dice < 0.75) {
      await fleet.killAndRestart(name, { onceReady: this.#random.chance(0.7) });
      count1(this.deeds, 'kills');
    } else {
      const code = await fleet.restart(name);
      if (code !== 0) this.complaints.push(`${name} ended with ${code} when it was asked to stop`);
      count1(this.deeds, 'restarts');
    }
  }

  #pause(name: string): void {
    const worker = this.#parts.fleet.worker(name);
    const pauseMs = this.#random.between(PAUSE_MS.min, PAUSE_MS.max);
    process.kill(worker.pid, 'SIGSTOP');
    const resumed = systemClock.sleep(pauseMs).then(() => {
      process.kill(worker.pid, 'SIGCONT');
      this.#paused.delete(name);
    });
    this.#paused.set(name, resumed);
    count1(this.deeds, 'pauses');
  }

  async #tell(): Promise<void> {
    const left = Math.max(0, this.#endMs - performance.now());
    const queued = (await this.#parts.repository.queued()).length;
    this.#options.tell(
      `${(left / 60_000).toFixed(0)} minutes left, ${this.#submitted} tasks so far, ${queued} of them queued`,
    );
  }
}

function count1(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}
