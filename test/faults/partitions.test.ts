/**
 * Workers in networks of their own: cut off for longer than their time-to-live, cut off while they watch others, and on lines
 * that lose and delay what they carry.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/runtime.ts';
import { expectNoViolations } from '../support/broken-rule.ts';
import { GitServer } from '../support/git-server.ts';
import { Mainland, type NetworkIsland } from '../support/network-island.ts';
import type { Figures } from '../support/oracle/figures.ts';
import { judge } from '../support/oracle/judge.ts';
import { ServerHistory } from '../support/oracle/server-history.ts';
import { WorkerHistory } from '../support/oracle/worker-history.ts';
import { atScale } from '../support/scale.ts';
import { SlowRelay } from '../support/slow-relay.ts';
import { StubWorkerProcess } from '../support/stub-worker-process.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';
import type { LogEntry, WorkerProcess } from '../support/worker-process.ts';

const CUTS = atScale(1, 50);
const TTL_S = 6;
/** A busy machine is slow, and that is no fault. */
const STEP_MS = 120_000;
const LOSS_PERCENT = 30;
const LOSSY_TASKS = atScale(2, 40);

let mainland: Mainland;
let server: GitServer;
let directory: TempDir;
const started: WorkerProcess[] = [];

beforeAll(async () => {
  mainland = Mainland.create();
  server = await GitServer.start({ address: mainland.address });
  directory = makeTempDir('partitions');
});

afterAll(async () => {
  await Promise.all(started.map((worker) => worker.stop('SIGKILL')));
  await server.stop();
  mainland.remove();
  directory.remove();
});

class Grid {
  readonly repo: TaskRepository;
  readonly history: ServerHistory;
  /** Each worker on an island of its own, in the same order. */
  readonly workers: readonly WorkerProcess[];
  readonly islands: readonly NetworkIsland[];

  private constructor(
    repo: TaskRepository,
    history: ServerHistory,
    workers: readonly WorkerProcess[],
    islands: readonly NetworkIsland[],
  ) {
    this.repo = repo;
    this.history = history;
    this.workers = workers;
    this.islands = islands;
  }

  static async start(name: string, env: Readonly<Record<string, string>>, ports: readonly number[]): Promise<Grid> {
    const repo = new TaskRepository(await server.createRepository(name));
    await repo.queue({});
    const history = await ServerHistory.install(repo.path);
    const islands = ['a', 'b'].map((node) => mainland.island(`${name}-${node}`));
    const workers = islands.map((island, at) =>
      StubWorkerProcess.start({
        directory: directory.sub(name),
        name: at === 0 ? 'a' : 'b',
        repoUrl: server.url(name).replace(`:${server.port}/`, `:${ports[at] ?? server.port}/`),
        command: island.command,
        env: {
          NO_PROXY: mainland.address,
          RETRY_BASE_SECONDS: '0.2',
          RECORD_DELAY: '0.3',
          PULL_INTERVAL: '0.7',
          ...env,
        },
      }),
    );
    started.push(...workers);
    await Promise.all(workers.map((worker) => worker.logged('worker.ready', undefined, STEP_MS)));
    return new Grid(repo, history, workers, islands);
  }

  /** Who began this task, under which epoch. */
  async started(task: string, epoch: number): Promise<number> {
    const found = (worker: WorkerProcess): LogEntry | undefined =>
      worker.entries('task.started').find((entry) => entry['task'] === task && entry['epoch'] === epoch);
    await until(`${task} to be started (${epoch})`, () => this.workers.some(found), STEP_MS);
    return this.workers.findIndex(found);
  }

  async settled(): Promise<void> {
    await until('all records', async () => (await this.repo.queued()).length === 0, STEP_MS);
    await until('the refs to go', async () => (await this.repo.refs('refs/dgrid/tasks/')).length === 0, STEP_MS);
  }

  async stop(): Promise<Figures> {
    expect(await Promise.all(this.workers.map((worker) => worker.stop()))).toEqual([0, 0]);
    const told = new WorkerHistory();
    for (const worker of this.workers) told.take(worker.name, worker.log);
    const verdict = await judge(this.history, told, { settled: true });
    expectNoViolations(verdict.violations);
    return verdict.figures;
  }
}

const QUICK = { HEARTBEAT_INTERVAL: '1', NODE_TTL: String(TTL_S), GIT_COMMAND_TIMEOUT: '5', RETRY_ATTEMPTS: '1' };

// Most of each is waiting.
describe.concurrent('a network', { timeout: atScale(150_000, 3_600_000) }, () => {
  it('that cuts the owner of a task off for longer than its time-to-live makes another take over', async () => {
    const grid = await Grid.start('owner', QUICK, []);
    let slowestMs = 0;
    for (let round = 0; round < CUTS; round += 1) {
      const task = `cut${round}`;
      await grid.repo.queue({ [task]: { script: `sleep ${TTL_S * 1500}` } });
      const at = await grid.started(task, 1);
      const [owner, other] = [grid.workers[at] as WorkerProcess, grid.workers[1 - at] as WorkerProcess];
      const island = grid.islands[at] as NetworkIsland;
      const registered = owner.entries('node.registered').length;
      const cutMs = performance.now();
      island.cut();
      expect(await grid.started(task, 2)).toBe(1 - at);
      slowestMs = Math.max(slowestMs, performance.now() - cutMs);
      await owner.logged('task.finished', (entry) => entry['task'] === task, STEP_MS);
      island.join();
      await owner.logged('task.fenced', (entry) => entry['task'] === task, STEP_MS);
      await until(
        'the owner to be back under another incarnation',
        () => owner.entries('node.registered').length > registered,
        STEP_MS,
      );
      const lives = owner.entries('node.registered').map(({ incarnation }) => incarnation);
      expect(new Set(lives).size).toBe(lives.length);
      await grid.settled();
      expect(await grid.repo.record(task)).toMatchObject({ node_id: other.name, attempt: 2, status: 'success' });
    }
    const figures = await grid.stop();
    expect(figures).toMatchObject({ records: CUTS, takeovers: CUTS, fencings: CUTS });
    console.info(
      `cut owner: ${CUTS} cuts, ${figures.takeovers} take-overs, ${figures.lateResultsRejected} late results rejected, ` +
        `slowest take-over after ${(slowestMs / 1000 / TTL_S).toFixed(1)} x TTL`,
    );
  });

  it('that cuts an observer off makes it declare nobody dead', async () => {
    const grid = await Grid.start('observer', QUICK, []);
    for (let round = 0; round < CUTS; round += 1) {
      const task = `seen${round}`;
      await grid.repo.queue({ [task]: { script: `sleep ${TTL_S * 3000}` } });
      const at = await grid.started(task, 1);
      const observer = grid.workers[1 - at] as WorkerProcess;
      const failed = observer.entries('poll.failed').length;
      grid.islands[1 - at]?.cut();
      await systemClock.sleep(TTL_S * 1500);
      await until('the cut to be felt', () => observer.entries('poll.failed').length > failed, STEP_MS);
      grid.islands[1 - at]?.join();
      await grid.settled();
      expect(await grid.repo.record(task)).toMatchObject({ attempt: 1, status: 'success' });
    }
    const figures = await grid.stop();
    expect(figures).toMatchObject({ records: CUTS, takeovers: 0, fencings: 0, startedMoreThanOnce: 0 });
    console.info(`cut observer: ${CUTS} cuts, ${figures.fencings} nodes declared dead`);
  });

  it(`that loses ${LOSS_PERCENT} % of the packets, and is slow as well, lets everything through in the end`, async () => {
    const relay = await SlowRelay.start({ address: mainland.address, serverPort: server.port, fromMs: 50, toMs: 350 });
    const patient = { HEARTBEAT_INTERVAL: '5', NODE_TTL: '600', GIT_COMMAND_TIMEOUT: '15', MAX_PARALLEL_TASKS: '2' };
    const grid = await Grid.start('lossy', patient, [server.port, relay.port]);
    for (const island of grid.islands) island.lose(LOSS_PERCENT);
    const startMs = performance.now();
    const ids = Array.from({ length: LOSSY_TASKS }, (_, at) => `lossy${at}`);
    await grid.repo.queue(Object.fromEntries(ids.map((id) => [id, { script: 'sleep 200' }])));
    await until('all records', async () => (await grid.repo.queued()).length === 0, atScale(100_000, 1_800_000));
    const tookS = (performance.now() - startMs) / 1000;
    const lost = grid.islands.reduce((sum, island) => sum + island.lost(), 0);
    for (const island of grid.islands) island.lose(0);
    await grid.settled();
    const figures = await grid.stop();
    relay.stop();
    // That packets were lost at all: a run that goes smoothly sends few.
    expect(lost).toBeGreaterThan(0);
    expect(figures).toMatchObject({ records: LOSSY_TASKS, fencings: 0, startedMoreThanOnce: 0 });
    console.info(`lossy line: ${lost} packets lost, ${LOSSY_TASKS} tasks recorded in ${tookS.toFixed(0)} s`);
  });
});
