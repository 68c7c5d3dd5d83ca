/**
 * The engine's daemon killed in the middle of everything, at calls picked in advance and at random, with containers that
 * die with it and with containers that outlive it: what a task did is told as it was, and nothing stays behind.
 */
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type Busybox, busyboxRootTar, findBusybox } from '../../src/executor/docker/busybox-image.ts';
import { systemClock } from '../../src/runtime.ts';
import { PrivateEngine } from '../support/engine.ts';
import { type EngineCall, EngineProxy } from '../support/engine-proxy.ts';
import { git } from '../support/git.ts';
import { GitServer } from '../support/git-server.ts';
import { mustBeRight } from '../support/must-be-right.ts';
import { ServerHistory } from '../support/oracle/server-history.ts';
import { allProcesses } from '../support/processes.ts';
import { TestRegistry } from '../support/registry.ts';
import { atScale } from '../support/scale.ts';
import { seeded } from '../support/seeded.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { testSeed } from '../support/test-seed.ts';
import { until } from '../support/until.ts';
import { type LogEntry, WorkerProcess } from '../support/worker-process.ts';

const KILLS = atScale(2, 20);
const ROUND_LIMIT_MS = 120_000;
/** A call that does not come within this time is not waited for: the engine is killed all the same. */
const MOMENT_LIMIT_MS = 6_000;
const LONGEST_ABSENCE_MS = 2_000;
/** So long after a task has ended its engine may still be taking that in, and not have written it down. */
const LONGEST_END_MS = 40;

/** The call at which the engine is killed. */
interface Moment {
  name: string;
  matches: (call: EngineCall) => boolean;
}

const on = (method: string, path: RegExp) => (call: EngineCall) => call.method === method && path.test(call.path);
const isStart = on('POST', /^\/containers\/[^/]+\/start/);
const MOMENTS: readonly Moment[] = [
  { name: 'run', matches: () => false },
  { name: 'end', matches: () => false },
  { name: 'remove', matches: on('DELETE', /^\/containers\//) },
  { name: 'start', matches: isStart },
  { name: 'pull', matches: on('POST', /^\/images\/create/) },
  { name: 'collect', matches: on('GET', /^\/containers\/[^/]+\/json/) },
  { name: 'create', matches: on('POST', /^\/containers\/create/) },
  { name: 'attach', matches: on('POST', /^\/containers\/[^/]+\/attach/) },
  { name: 'wait', matches: on('POST', /^\/containers\/[^/]+\/wait/) },
];

let server: GitServer;
let registry: TestRegistry;
let busybox: Busybox;
let directory: TempDir;

beforeAll(async () => {
  server = await GitServer.start();
  registry = await TestRegistry.start();
  const found = await findBusybox('amd64');
  if (found === null) throw new Error('no static busybox on this machine: install busybox-static');
  busybox = found;
  directory = makeTempDir('engine');
});

afterAll(async () => {
  await registry.stop();
  await server.stop();
  directory.remove();
});

interface Figures {
  kills: Record<string, number>;
  workersKilled: number;
  tasks: number;
  /** Tasks that ran when the engine was killed, and whose first container told the result. */
  ranOn: number;
  triedAgain: number;
  /** Tasks that ended while the engine was away, which cost them the end of their output. */
  cut: number;
  /** Tasks that ended as the engine was killed, which forgot how. */
  lost: number;
  /** Containers that a daemon was starting when it was killed, and that no daemon after it knows of. */
  forgotten: number;
  slowestMs: number;
}

async function killAgainAndAgain(name: string, liveRestore: boolean): Promise<Figures> {
  const seed = testSeed();
  const random = seeded(seed);
  const engine = await PrivateEngine.start({ liveRestore });
  onTestFinished(() => engine.stop());
  await engine.importBusybox();
  const proxy = await EngineProxy.start(`${engine.directory}/proxy`, engine.socketPath);
  onTestFinished(() => proxy.stop());
  const repo = new TaskRepository(await server.createRepository(name));
  const history = await ServerHistory.install(repo.path);
  await repo.commit({ 'README.md': 'x' }, 'begin');
  const lives: WorkerProcess[] = [];
  const started = new Set<string>();
  const start = (): WorkerProcess => {
    const life = WorkerProcess.start({
      directory: directory.path,
      name,
      repoUrl: server.url(name),
      dockerHost: proxy.host,
      env: {
        MAX_PARALLEL_TASKS: '3',
        MAX_TAKEOVERS: '50',
        HEARTBEAT_INTERVAL: '1',
        ENGINE_CALL_TIMEOUT: '15',
        LOG_LEVEL: 'debug',
        ALLOWED_IMAGES: `busybox:stable,${registry.address}/killed/*`,
      },
    });
    lives.push(life);
    return life;
  };
  let worker = start();
  onTestFinished(() => void worker.stop('SIGKILL'));
  await worker.logged('engine.ready');
  const figures: Figures = {
    kills: {},
    workersKilled: 0,
    tasks: 0,
    ranOn: 0,
    triedAgain: 0,
    cut: 0,
    lost: 0,
    forgotten: 0,
    slowestMs: 0,
  };
  const offset = random(MOMENTS.length);
  /** @param task that may be over before anybody has seen it run */
  const dueAfter = async (moment: Moment, task: string, isRunning: () => boolean): Promise<void> => {
    if (moment.name !== 'end')
      return await systemClock.sleep(moment.name === 'run' ? 1_000 + random(4_000) : MOMENT_LIMIT_MS);
    const isOver = () => worker.entries('task.finished').some((entry) => entry['task'] === task);
    await until('the task to run', () => isRunning() || isOver(), ROUND_LIMIT_MS);
    while (isRunning()) await systemClock.sleep(1);
    await systemClock.sleep(random(LONGEST_END_MS));
  };

  for (let round = 0; round < KILLS; round += 1) {
    const moment = MOMENTS[(offset + round) % MOMENTS.length] as Moment;
    const afterwards = random(2) === 1;
    const alsoTheWorker = round % 3 === 2;
    const told = `seed ${seed}, round ${round}: ${moment.name}${afterwards ? ', answered' : ''}`;
    const { name: image } = registry.add(`killed/${name}`, String(round), busyboxRootTar(busybox));
    const [ok, bad, pulled] = [`ok-${round}`, `bad-${round}`, `pulled-${round}`];
    const killed = Promise.withResolvers<void>();
    let armed = true;
    // Each is told from all others by how long it sleeps.
    const sleeps = new Map([
      [ok, `${random(4)}.1${round}`],
      [bad, `${random(3)}.2${round}`],
      [pulled, `1.3${round}`],
    ]);
    const isRunning = (id: string) => allProcesses().some((entry) => entry.commandLine === `sleep ${sleeps.get(id)}`);
    let outlived: string[] = [];
    const kill = async (): Promise<void> => {
      if (!armed) return await killed.promise;
      armed = false;
      await Promise.all([engine.kill(), alsoTheWorker ? worker.stop('SIGKILL') : null]);
      outlived = [...sleeps.keys()].filter(isRunning);
      killed.resolve();
    };
    const watch = async (call: EngineCall): Promise<void> => {
      if (armed && moment.matches(call)) await kill();
    };
    // A container is looked at once it has ended; before, only what is started is.
    proxy.onCall = afterwards ? null : watch;
    proxy.onAnswer = async (call) => {
      if (isStart(call)) started.add(call.path.split('/')[2] ?? '');
      if (afterwards) await watch(call);
    };
    await repo.queue({
      [ok]: { script: `echo begin; sleep ${sleeps.get(ok)}; echo end` },
      [bad]: { script: `echo begin; sleep ${sleeps.get(bad)}; echo end >&2; exit 7` },
      [pulled]: { script: `echo begin; sleep ${sleeps.get(pulled)}; echo end`, image },
    });
    const due = dueAfter(moment, bad, () => isRunning(bad)).then(kill);
    await Promise.all([killed.promise, due]);
    armed = false;
    figures.kills[moment.name] = (figures.kills[moment.name] ?? 0) + 1;
    const workerFirst = random(2) === 1;
    if (alsoTheWorker) {
      figures.workersKilled += 1;
      if (workerFirst) worker = start();
    }
    await systemClock.sleep(random(LONGEST_ABSENCE_MS));
    await engine.restart();
    const backAtMs = performance.now();
    if (alsoTheWorker && !workerFirst) worker = start();
    const ids = [ok, bad, pulled];
    figures.tasks += ids.length;
    await until(`the records (${told})`, async () => (await repo.queued()).length === 0, ROUND_LIMIT_MS).catch(
      (error: unknown) => {
        throw new Error(`${String(error)}\n${worker.output}`, { cause: error });
      },
    );
    figures.slowestMs = Math.max(figures.slowestMs, performance.now() - backAtMs);
    const records = await Promise.all(ids.map((id) => repo.record(id)));
    const success = { status: 'success', exit_code: 0 };
    const whole = { stdout: 'begin\nend\n', stderr: '', stdout_truncated: false };
    const outputs = [whole, { stdout: 'begin\n', stderr: 'end\n', stderr_truncated: false }, whole];
    for (const [index, record] of records.entries()) {
      expect(record, told).toMatchObject(index === 1 ? { reason: 'exit-code', exit_code: 7 } : success);
      // What a container that outlives the engine writes last, while the engine is away, nobody gets to read.
      const isCut = liveRestore && record?.message.includes('the engine was away when it ended') === true;
      if (isCut) figures.cut += 1;
      else expect(record, told).toMatchObject(outputs[index] as object);
      if ((record?.attempt ?? 0) > 1) figures.triedAgain += 1;
      const isLost = (entry: LogEntry) => entry['problem'] === 'the engine lost sight of the container';
      if (worker.entries('task.engine-failed').some((entry) => entry['task'] === record?.task_id && isLost(entry)))
        figures.lost += 1;
      if (!outlived.includes(record?.task_id ?? '')) continue;
      // Who outlives the engine is not run again, as long as its worker lives too.
      if (liveRestore && !alsoTheWorker) expect(record?.attempt, `${told}: ${record?.task_id}`).toBe(1);
      if (record?.attempt === 1) figures.ranOn += 1;
    }
  }

  await until('the refs to go', async () => (await repo.refs('refs/dgrid/tasks/')).length === 0, 30_000);
  await until('the containers to go', async () => (await engine.countLeftovers()) === 0, 30_000);
  // Only what the engine once said it had started can be asked of the worker.
  const known = async () => (await engine.remains()).filter((rest) => [...started].some((id) => rest.includes(id)));
  await until('all that held them to go', async () => (await known()).length === 0, 30_000).catch(
    async (error: unknown) => {
      throw new Error(`${String(error)}: ${(await known()).join(', ')}`, { cause: error });
    },
  );
  figures.forgotten = (await engine.remains()).length;
  expect(await worker.stop()).toBe(0);
  const added = [
    'log',
    '--format=',
    '--name-status',
    '--diff-filter=A',
    'main',
    '--',
    'tasks/completed',
    'tasks/failed',
  ];
  const lines = (await git(repo.path, added)).split('\n').filter((line) => line.endsWith('.json'));
  expect(lines).toHaveLength(figures.tasks);
  await mustBeRight(history, lives);
  return figures;
}

describe('an engine that is killed while tasks run', () => {
  it.each([
    ['takes its containers along', false],
    ['leaves its containers running', true],
  ])('and %s falsifies nothing', { timeout: KILLS * 2 * ROUND_LIMIT_MS }, async (mode, liveRestore) => {
    const figures = await killAgainAndAgain(liveRestore ? 'survive' : 'die', liveRestore);
    const kills = Object.entries(figures.kills).map(([moment, count]) => `${moment} ${count}`);
    console.info(
      `engine killed (${mode}): ${KILLS} kills (${kills.join(', ')}), ${figures.workersKilled} workers killed with it, ` +
        `${figures.tasks} tasks with 1 true record each, ${figures.ranOn} ran on and told their result, ` +
        `${figures.triedAgain} tried again, ${figures.cut} marked as cut, ${figures.lost} whose end the engine lost, 0 containers, shim processes and tmpfs mounts left of what the engine had started, ${figures.forgotten} forgotten by a daemon that was killed while it started them, 0 rules broken, ` +
        `slowest recovery ${(figures.slowestMs / 1000).toFixed(1)} s after the engine was back`,
    );
  });
});
