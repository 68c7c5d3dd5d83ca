/** docker/stack.yaml on a real swarm of three engines: a worker on each node, updated while tasks run, and rolled back. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectNoViolations } from '../support/broken-rule.ts';
import { CANARY_TOKEN } from '../support/canary.ts';
import { GitServer } from '../support/git-server.ts';
import { judge } from '../support/oracle/judge.ts';
import { ServerHistory } from '../support/oracle/server-history.ts';
import { WorkerHistory } from '../support/oracle/worker-history.ts';
import { atScale } from '../support/scale.ts';
import { nodeStates, SERVICE, TestSwarm } from '../support/swarm.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';
import { WORKER_IMAGE } from '../support/worker-image.ts';
import { workerImageArchive } from '../support/worker-image-archive.ts';
import type { LogEntry } from '../support/worker-process.ts';

/** One of them with a name that no node id may be. */
const HOST_NAMES = ['box-1', 'Box-2.example.com', 'box-3'];
const NODE_IDS = ['box-1', 'box-2-example-com', 'box-3'];
const NEXT_IMAGE = 'dgrid-worker:next';
const BROKEN_IMAGE = 'dgrid-worker:broken';
const NEXT_VERSION = '77.0.0';
const SET_UP_BOUND_MS = 900_000;
const UPDATE_BOUND_MS = 300_000;
const TASKS = 60;
const BATCHES = 6;
const BATCH_EVERY_MS = 5_000;
/** In seconds. Longer than a swarm waits for an old worker to end before it starts the new one beside it: a minute. */
const LONG_TASK = atScale(0, 120);
/** Past which no update or rollback comes. */
const PAUSED = new Set(['paused', 'rollback_paused']);

let directory: TempDir;
let server: GitServer;
let swarm: TestSwarm;
let repo: TaskRepository;
let truth: ServerHistory;
let variables: Record<string, string>;
/** What runs everywhere, as long as no update is under way. */
let deployed = WORKER_IMAGE;
let queued = 0;

beforeAll(async () => {
  directory = makeTempDir('swarm');
  swarm = await TestSwarm.start(HOST_NAMES, directory.sub('docker'));
  server = await GitServer.start({
    address: swarm.hosts.address,
    auth: { user: 'x-access-token', token: CANARY_TOKEN },
  });
  repo = new TaskRepository(await server.createRepository('fleet'));
  truth = await ServerHistory.install(repo.path);
  await makeImages();
  writeFileSync(directory.sub('token'), CANARY_TOKEN);
  await swarm.docker(['secret', 'create', 'dgrid-git-token', directory.sub('token')]);
  writeFileSync(
    directory.sub('settings.env'),
    // What no figure of a busy machine may change, and little patience: tests wait for what happens.
    'PULL_INTERVAL=1\nRECORD_DELAY=1\nHEARTBEAT_INTERVAL=5\nMAX_PARALLEL_TASKS=3\nDOCKER_MEMORY=64m\nDOCKER_WORK_SIZE=16m\n' +
      'MAX_CPU_PERCENT=100\nMAX_MEMORY_PERCENT=100\nMAX_DISK_PERCENT=100\nMAX_MEMORY_PRESSURE=0\nLOG_LEVEL=debug\n',
  );
  variables = {
    DGRID_IMAGE: WORKER_IMAGE,
    DGRID_REPO_URL: server.url('fleet'),
    DGRID_SETTINGS_FILE: directory.sub('settings.env'),
    SHUTDOWN_GRACE_SECONDS: String(Math.max(30, LONG_TASK + 10)),
    DOCKER_GID: String(swarm.socketGroup),
    DOCKER_SOCKET: swarm.socketTemplate,
  };
}, SET_UP_BOUND_MS);

afterAll(async () => {
  await server?.stop();
  await swarm?.stop();
  directory.remove();
}, 120_000);

/** The next version differs in what it says of itself, the broken one cannot be started. */
async function makeImages(): Promise<void> {
  const [first, ...others] = swarm.nodes;
  // Not built in the swarm, which has no way out.
  await swarm.docker(['load', '--input', await workerImageArchive()], { node: first });
  const next = `USER root\nRUN sed -i 's/"version": "[^"]*"/"version": "${NEXT_VERSION}"/' /opt/dgrid/package.json\nUSER dgrid\n`;
  await derive(NEXT_IMAGE, next);
  await derive(BROKEN_IMAGE, 'ENTRYPOINT ["/bin/false"]\n');
  const archive = directory.sub('images.tar');
  await swarm.docker(['save', '--output', archive, WORKER_IMAGE, NEXT_IMAGE, BROKEN_IMAGE]);
  for (const node of others) await swarm.docker(['load', '--input', archive], { node });
  await rm(archive);
}

async function derive(tag: string, lines: string): Promise<void> {
  const context = directory.sub(tag.replace(':', '-'));
  mkdirSync(context);
  writeFileSync(`${context}/Dockerfile`, `FROM ${WORKER_IMAGE}\n${lines}`);
  await swarm.docker(['build', '--network', 'host', '--tag', tag, context], { env: { DOCKER_BUILDKIT: '0' } });
}

async function queueAll(tasks: Record<string, object>): Promise<void> {
  queued += Object.keys(tasks).length;
  await repo.queue(tasks);
}

const versions = async (): Promise<unknown[]> => {
  const states = await nodeStates(repo.path);
  return NODE_IDS.map((id) => (states.get(id)?.state === 'alive' ? states.get(id)?.info['version'] : null));
};

async function untilRecorded(ids: readonly string[], boundMs: number): Promise<void> {
  const isDone = async (): Promise<boolean> => {
    const files = new Set(await repo.files());
    return ids.every((id) => files.has(`tasks/completed/${id}.json`));
  };
  await until('all records', isDone, boundMs).catch(async (error: unknown) => {
    throw new Error(`${String(error)}\n${await swarm.story()}`, { cause: error });
  });
}

/** The workers' containers, of which only that of one node may be another one after a rollback. */
async function running(): Promise<string[]> {
  return (await swarm.workers()).filter((worker) => worker.running).map(({ id }) => id);
}

/**
 * Deploys what cannot last. @returns resolves once the swarm calls it rolled back. A worker that its restart policy has
 * replaced meanwhile it leaves alone, and does not wait for: then that comes early.
 */
async function deployInVain(env: Readonly<Record<string, string>>): Promise<{ rolledBack: () => Promise<void> }> {
  // What is left of an earlier one says the same.
  const { startedAt: before } = await swarm.update();
  await swarm.deploy(env);
  const isOver = async (): Promise<boolean> => {
    const { startedAt, state } = await swarm.update();
    if (startedAt === null || startedAt === before) return false;
    if (PAUSED.has(state)) throw new Error(`the swarm has given up: ${state}`);
    return state === 'rollback_completed';
  };
  const rolledBack = (): Promise<void> =>
    until('the rollback', isOver, UPDATE_BOUND_MS).catch(async (error: unknown) => {
      const { state } = await swarm.update();
      throw new Error(`${String(error)}\n${state}\n${await swarm.story()}`, { cause: error });
    });
  return { rolledBack };
}

async function entries(): Promise<{ node: string; log: LogEntry[] }[]> {
  const workers = await swarm.workers();
  return Promise.all(
    workers.map(async (worker) => {
      const log = await swarm.logOf(worker);
      return { node: NODE_IDS[swarm.nodes.indexOf(worker.node)] ?? '', log };
    }),
  );
}

/** The longest time, in milliseconds, between two claims of one node while the queue had something for it. */
function longestPauseMs(logs: { node: string; log: LogEntry[] }[], fromMs: number, toMs: number): number {
  return Math.max(
    ...NODE_IDS.map((id) => {
      const claims = logs
        .filter(({ node }) => node === id)
        .flatMap(({ log }) => log.filter(({ event }) => event === 'task.claimed').map(({ time }) => Date.parse(time)))
        .filter((ms) => ms >= fromMs && ms <= toMs)
        .toSorted((one, other) => one - other);
      return Math.max(...claims.map((ms, at) => ms - (claims[at - 1] ?? fromMs)));
    }),
  );
}

describe('docker/stack.yaml', () => {
  it('names the variables that it cannot do without', async () => {
    await expect(swarm.deploy({})).rejects.toThrow(/DGRID_IMAGE|DGRID_REPO_URL|DOCKER_GID/);
  });

  it('starts one worker on each node that has the label, locked down, under an id of its own', {
    timeout: 180_000,
  }, async () => {
    await swarm.deploy(variables);
    await swarm.untilHealthy(120_000);
    const states = await nodeStates(repo.path);
    expect([...states.keys()].toSorted()).toEqual(NODE_IDS.toSorted());
    for (const worker of await swarm.workers()) {
      const { Config, HostConfig, Mounts } = await swarm.inspect<{
        Config: { User: string; Labels: Record<string, string> };
        HostConfig: { ReadonlyRootfs: boolean; CapDrop: string[]; Memory: number; PidsLimit: number };
        Mounts: { Type: string; Destination: string; Name?: string }[];
      }>(worker);
      expect(Config.User).toBe(`10001:${variables['DOCKER_GID']}`);
      expect(HostConfig).toMatchObject({
        ReadonlyRootfs: true,
        CapDrop: ['ALL'],
        Memory: 512 * 1024 ** 2,
        PidsLimit: 256,
      });
      expect(Mounts.find(({ Destination }) => Destination === '/var/lib/dgrid')).toMatchObject({
        Type: 'volume',
        Name: 'dgrid_state',
      });
      // Nobody may take it for a task.
      expect(Object.keys(Config.Labels).filter((label) => label.startsWith('io.dgrid.'))).toEqual([]);
      const seen = await swarm.docker(['exec', worker.id, 'sh', '-c', LOOK_AROUND], { node: worker.node });
      expect(seen.split('\n').slice(0, 3)).toEqual(['10001 400', '1777 tmpfs', 'refused']);
    }
  });

  it('is updated node by node while tasks run: none is lost, none is done twice', { timeout: 600_000 }, async () => {
    const short = Array.from({ length: TASKS }, (_, index) => `t${String(index).padStart(2, '0')}`);
    const ids = LONG_TASK > 0 ? ['long', ...short] : short;
    const script = (index: number): string => `sleep ${1 + ((index * 7) % 20)}; echo t${index}`;
    const queue = async (batch: number): Promise<void> => {
      const mine = short.flatMap((id, index) =>
        index % BATCHES === batch ? [[id, { script: script(index) }] as const] : [],
      );
      await queueAll(Object.fromEntries(mine));
    };
    if (LONG_TASK > 0) {
      await queueAll({ long: { script: `sleep ${LONG_TASK}; echo long`, timeout_seconds: LONG_TASK + 60 } });
      await until('the long one to run', async () => (await repo.refs('refs/dgrid/tasks/')).length > 0, 60_000);
    }
    await queue(0);
    await queue(1);
    await until('tasks to run', async () => (await repo.refs('refs/dgrid/tasks/')).length >= 6, 60_000);
    const startedMs = Date.now();
    await swarm.deploy({ ...variables, DGRID_IMAGE: NEXT_IMAGE });
    for (let batch = 2; batch < BATCHES; batch += 1) {
      await new Promise((resolve) => setTimeout(resolve, BATCH_EVERY_MS));
      await queue(batch);
    }
    const isNew = async (): Promise<boolean> => (await versions()).every((version) => version === NEXT_VERSION);
    await until('the new version everywhere', isNew, UPDATE_BOUND_MS).catch(async (error: unknown) => {
      throw new Error(`${String(error)}\n${await swarm.story()}`, { cause: error });
    });
    const replacedMs = Date.now();
    deployed = NEXT_IMAGE;
    await untilRecorded(ids, UPDATE_BOUND_MS);
    const doneMs = Date.now();
    await until('the update to be over', async () => (await swarm.update()).state === 'completed', UPDATE_BOUND_MS);
    for (const id of ids) {
      // Long enough a grace for every one of them: nobody was handed back.
      expect(await repo.record(id)).toMatchObject({
        status: 'success',
        attempt: 1,
        stdout: `${id.replace(/^t0/, 't')}\n`,
      });
    }
    const logs = await entries();
    const starts = logs.flatMap(({ log }) => log.filter(({ event }) => event === 'task.started'));
    expect(starts.map(({ task }) => String(task)).toSorted()).toEqual(ids);
    console.info(
      `rolling update of ${NODE_IDS.length} nodes with ${TASKS} tasks: the last node had the new version after ` +
        `${seconds(replacedMs - startedMs)} s, the swarm called it complete after ${seconds(Date.now() - startedMs)} s, all ` +
        `tasks were recorded after ${seconds(doneMs - startedMs)} s; a node claimed nothing for ` +
        `${seconds(longestPauseMs(logs, startedMs, replacedMs))} s at most; workers that waited for the one before them: ` +
        String(logs.flatMap(({ log }) => log.filter(({ event }) => event === 'worker.waiting')).length),
    );
  });

  it('is rolled back when the next version cannot be started, and the grid goes on', { timeout: 400_000 }, async () => {
    const before = await running();
    const wereThere = await versions();
    const ids = Array.from({ length: 12 }, (_, index) => `r${String(index).padStart(2, '0')}`);
    const startedMs = Date.now();
    const { rolledBack } = await deployInVain({ ...variables, DGRID_IMAGE: BROKEN_IMAGE });
    await queueAll(Object.fromEntries(ids.map((id) => [id, { script: `sleep 3; echo ${id}` }])));
    await untilRecorded(ids, 60_000);
    const recordedMs = Date.now();
    await rolledBack();
    const rolledBackMs = Date.now();
    expect((await running()).filter((id) => before.includes(id))).toHaveLength(NODE_IDS.length - 1);
    await swarm.untilHealthy(60_000);
    expect(await versions()).toEqual(wereThere);
    const image = await swarm.docker([
      'service',
      'inspect',
      '--format',
      '{{.Spec.TaskTemplate.ContainerSpec.Image}}',
      SERVICE,
    ]);
    expect(image.trim()).toBe(deployed);
    console.info(
      `rollback: complete after ${seconds(rolledBackMs - startedMs)} s, ` +
        `12 tasks queued at its beginning were recorded after ${seconds(recordedMs - startedMs)} s`,
    );
  });

  it('is rolled back when the next worker never takes its place, as with a repository that nobody answers for', async () => {
    const wereThere = await versions();
    const startedMs = Date.now();
    const { rolledBack } = await deployInVain({
      ...variables,
      DGRID_IMAGE: deployed,
      DGRID_REPO_URL: `http://${swarm.hosts.address}:9/fleet`,
      DGRID_START_PERIOD: '5s',
    });
    await rolledBack();
    await swarm.untilHealthy(60_000);
    expect(await versions()).toEqual(wereThere);
    console.info(`rollback of a worker that never got healthy: complete after ${seconds(Date.now() - startedMs)} s`);
  }, 400_000);

  it('signs off everywhere when it is removed, and has done nothing wrong', { timeout: 300_000 }, async () => {
    const said = new WorkerHistory();
    for (const { log, node } of await entries()) said.take(node, log);
    await swarm.removeStack();
    const states = await nodeStates(repo.path);
    expect(NODE_IDS.map((id) => states.get(id)?.state)).toEqual(NODE_IDS.map(() => 'stopped'));
    const { figures, violations } = await judge(truth, said, { settled: true });
    expectNoViolations(violations);
    expect(figures).toMatchObject({ tasks: queued, records: queued, startedMoreThanOnce: 0 });
    for (const { engine } of swarm.nodes) expect(await engine.countLeftovers()).toBe(0);
  });
});

/** The token is for the worker alone, there is room for temporary files, and its own files cannot be changed. */
const LOOK_AROUND =
  'stat -c "%u %a" /run/secrets/git-token; echo "$(stat -c %a /tmp) $(stat -f -c %T /tmp)"; ' +
  'touch /opt/dgrid/x 2>/dev/null && echo written || echo refused';

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(0);
}
