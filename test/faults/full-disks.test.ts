/**
 * The disk is full, out of inodes, or read-only: that of the clone, of the state directory, of the engine's data; before a
 * claim, while a task runs, while its result is made durable, while it is recorded. No record says more than is known,
 * nothing is lost, and everything goes on unaided as soon as there is room.
 */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { PrivateEngine } from '../support/engine.ts';
import { FillableDisk, SHORTAGES, type Shortage } from '../support/fillable-disk.ts';
import { initBare } from '../support/git.ts';
import { atScale } from '../support/scale.ts';
import { smallExt4 } from '../support/small-file-system.ts';
import { StubWorkerProcess } from '../support/stub-worker-process.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { testSeed } from '../support/test-seed.ts';
import { until } from '../support/until.ts';
import { WorkerProcess } from '../support/worker-process.ts';

const RECOVERY_BOUND_MS = 90_000;

const WHERE = ['clone', 'state'] as const;
const WHEN = [
  'before the claim',
  'while a task runs',
  'at the end of a task',
  'while recording',
  'before the start',
] as const;
type Place = (typeof WHERE)[number];
type Moment = (typeof WHEN)[number];

const ALL = WHERE.flatMap((where) => SHORTAGES.flatMap((shortage) => WHEN.map((when) => ({ where, shortage, when }))));
const COUNT = atScale(2, ALL.length);
const OFFSET = testSeed() % ALL.length;
/** Steps of 7 go through all 30, and neighbours differ in all three. */
const CHOSEN = Array.from({ length: COUNT }, (_, at) => ALL[(OFFSET + 7 * at) % ALL.length] as (typeof ALL)[number]);

let dir: TempDir;
const recoveredMs: number[] = [];
/** Of 401 lines each, by an engine whose disk was full for a part of the time. */
const keptLines: number[] = [];
const seen = { outbox: 0, polls: 0, pushes: 0, restarts: 0, state: 0 };

beforeAll(() => {
  dir = makeTempDir('disks');
});
afterAll(() => {
  console.info(
    `full disks: ${recoveredMs.length} times short (clone and state directory, from number ${OFFSET}), ` +
      `${seen.outbox} results not saved, ${seen.state} pauses for the state directory, ${seen.polls} polls and ` +
      `${seen.pushes} pushes failed, ${seen.restarts} starts that ended, slowest recovery ${Math.round(Math.max(0, ...recoveredMs))} ms; ` +
      `lines of 401 that the engine kept with a full disk and no worker: ${keptLines.join(', ')}`,
  );
  dir.remove();
});

function start(name: string, repoUrl: string, env: Record<string, string>): WorkerProcess {
  return StubWorkerProcess.start({
    directory: dir.path,
    name,
    repoUrl,
    env: {
      PULL_INTERVAL: '0.3',
      HEARTBEAT_INTERVAL: '1',
      NODE_TTL: '60',
      RECORD_DELAY: '0.5',
      RETRY_BASE_SECONDS: '0.1',
      RETRY_ATTEMPTS: '2',
      MAX_PARALLEL_TASKS: '2',
      MAX_TASKS_PER_HOUR: '1000',
      ...env,
    },
  });
}

describe('a worker whose disk is', () => {
  it.each(CHOSEN)(
    'short of $shortage for the $where $when goes on when there is room',
    { timeout: 300_000 },
    async (c) => {
      const number = ALL.indexOf(c);
      await shortage(`d${number}`, c.where, c.shortage, c.when);
    },
  );
});

async function shortage(name: string, where: Place, kind: Shortage, when: Moment): Promise<void> {
  const remote = dir.sub(`${name}.git`);
  await initBare(remote);
  const repo = new TaskRepository(remote);
  await repo.commit({ 'README.md': 'x' }, 'begin');
  const disk = await FillableDisk.make(kind);
  const state = where === 'state' ? join(disk.path, 'state') : dir.sub(name, 'state');
  const clone = where === 'clone' ? join(disk.path, 'clone.git') : dir.sub(name, 'clone.git');
  mkdirSync(state, { recursive: true });
  const env = { DGRID_STATE_DIR: state, DGRID_REPO_PATH: clone };
  let worker = start(name, remote, env);
  onTestFinished(async () => void (await worker.stop('SIGKILL')));
  const queue = (): Promise<string> =>
    repo.queue({ quick: { script: 'exit 0' }, slow: { script: 'sleep 1500' }, failing: { script: 'exit 3' } });
  await worker.logged('worker.ready');
  switch (when) {
    case 'before the start':
      await worker.stop();
      await disk.fill();
      worker = start(name, remote, env);
      await queue();
      break;
    case 'before the claim':
      await disk.fill();
      await queue();
      break;
    case 'while a task runs':
      await queue();
      await worker.logged('task.started', ({ task }) => task === 'slow');
      await disk.fill();
      break;
    case 'at the end of a task':
      await queue();
      await worker.logged('task.started', ({ task }) => task === 'slow');
      // Room for a name and a few bytes, not for a whole result.
      await disk.fill(kind === 'bytes' ? 2_048 : 0);
      break;
    case 'while recording':
      await queue();
      await worker.logged('result.acknowledged');
      await disk.fill();
      break;
  }
  // Long enough for each loop to come upon it more than once.
  const filledMs = performance.now();
  await until('some time', () => performance.now() - filledMs > 4_000, 10_000);
  await onlyTruth(repo);
  if (when !== 'before the start') expect(worker.ended, worker.output.slice(-6_000)).toBe(false);
  await disk.free();
  const freedMs = performance.now();
  // A supervisor starts again what could not start.
  if (worker.ended) {
    expect(await worker.exit()).not.toBe(2);
    seen.restarts += 1;
    worker = start(name, remote, env);
  }
  await until('all records', async () => (await repo.queued()).length === 0, RECOVERY_BOUND_MS).catch(
    (error: unknown) => {
      throw new Error(`${String(error)}\n${worker.output.slice(-10_000)}`, { cause: error });
    },
  );
  recoveredMs.push(performance.now() - freedMs);
  await onlyTruth(repo);
  expect((await repo.files()).filter((path) => /tasks\/(completed|failed)/.test(path))).toHaveLength(3);
  await until('the outbox to empty', () => readdirSync(join(state, 'outbox')).length === 0, 20_000);
  seen.outbox += worker.entries('outbox.failed').length;
  seen.state += worker.entries('state.unwritable').length;
  seen.polls += worker.entries('poll.failed').length;
  seen.pushes += worker.entries('push.failed').length;
  expect(await worker.stop()).toBe(0);
}

/** Whatever records there are say what really happened. */
async function onlyTruth(repo: TaskRepository): Promise<void> {
  const quick = await repo.record('quick');
  if (quick) expect(quick).toMatchObject({ status: 'success', exit_code: 0, stdout: 'ran quick\n' });
  const slow = await repo.record('slow');
  if (slow) {
    expect(slow).toMatchObject({ status: 'success', stdout: 'ran slow\n' });
    expect(slow.timings_ms.run).toBeGreaterThanOrEqual(1_400);
  }
  const failing = await repo.record('failing');
  if (failing) expect(failing).toMatchObject({ status: 'failed', reason: 'exit-code', exit_code: 3 });
}

describe('an engine whose disk is full', () => {
  const FULL_FOR_MS = atScale(12_000, 25_000);
  const LINES = 400;
  const TALK = `i=0; while [ $i -lt ${LINES} ]; do echo "line $i"; i=$((i+1)); [ $((i % 40)) -eq 0 ] && sleep 0.3; done; exit 0`;
  const spoken = Array.from({ length: LINES }, (_, at) => `line ${at}\n`).join('');

  const MOMENTS = ['before the claim', 'while a task runs', 'while the worker is away'] as const;
  const FIRST = OFFSET % MOMENTS.length;
  it.each(MOMENTS.slice(FIRST).concat(MOMENTS.slice(0, FIRST)).slice(0, atScale(1, MOMENTS.length)))(
    '%s loses no task, and blames none',
    { timeout: 300_000 },
    async (when) => {
      const root = await smallExt4(192);
      const engine = await PrivateEngine.start({ dataRoot: join(root, 'engine') });
      onTestFinished(() => engine.stop());
      await engine.importBusybox();
      const disk = FillableDisk.on(root);
      const name = `e${when.length}`;
      const remote = dir.sub(`${name}.git`);
      await initBare(remote);
      const repo = new TaskRepository(remote);
      await repo.commit({ 'README.md': 'x' }, 'begin');
      const startWorker = (): WorkerProcess =>
        WorkerProcess.start({
          directory: dir.path,
          name,
          repoUrl: remote,
          dockerHost: engine.host,
          env: { PULL_INTERVAL: '0.5', HEALTH_CHECK_EVERY: '2', MAX_PARALLEL_TASKS: '2' },
        });
      let worker = startWorker();
      onTestFinished(async () => void (await worker.stop('SIGKILL')));
      await worker.logged('worker.ready');
      // Long silent, so that it speaks when the disk is full.
      const script = when === 'while the worker is away' ? `echo ready; sleep 8; ${TALK}` : TALK;
      const output = when === 'while the worker is away' ? `ready\n${spoken}` : spoken;
      const tasks = { one: { script }, two: { script }, three: { script: 'exit 0' } };
      if (when === 'before the claim') {
        await disk.fill();
        await repo.queue(tasks);
      } else {
        await repo.queue(tasks);
        await worker.logged('task.started');
        if (when === 'while the worker is away') {
          await worker.logged('task.started', ({ task }) => task === 'one');
          await worker.logged('task.started', ({ task }) => task === 'two');
          await until('both to have begun', async () => (await saying(engine, 'ready')) === 2, 20_000);
          await worker.stop('SIGKILL');
        }
        await disk.fill();
      }
      const filledMs = performance.now();
      await until('some time', () => performance.now() - filledMs > FULL_FOR_MS, 60_000);
      await disk.free();
      if (worker.ended) worker = startWorker();
      await until('all records', async () => (await repo.queued()).length === 0, RECOVERY_BOUND_MS).catch(
        (error: unknown) => {
          throw new Error(`${String(error)}\n${worker.output.slice(-10_000)}`, { cause: error });
        },
      );
      for (const id of ['one', 'two']) {
        const record = await repo.record(id);
        expect(record, worker.output.slice(-8_000)).toMatchObject({ status: 'success', exit_code: 0 });
        if (when !== 'while the worker is away') {
          expect(record).toMatchObject({ stdout: output, stdout_truncated: false });
          continue;
        }
        // The engine alone kept this output, and drops what its disk does not take without telling anybody. What it kept
        // is the task's, in its order, and the end is known.
        const kept = (record?.stdout ?? '').split('\n').filter((line) => line !== '');
        let at = -1;
        for (const line of kept)
          expect((at = output.split('\n').indexOf(line, at + 1)), line).toBeGreaterThanOrEqual(0);
        keptLines.push(kept.length);
      }
      expect(await repo.record('three')).toMatchObject({ status: 'success', stdout: '' });
      await until('the containers to go', async () => (await engine.countLeftovers()) === 0, 30_000);
      expect(await worker.stop()).toBe(0);
    },
  );
});

/** How many running containers have said this. */
async function saying(engine: PrivateEngine, word: string): Promise<number> {
  const { body } = await engine.api<{ Id: string }[]>('GET', '/containers/json');
  const logs = await Promise.all(body.map(({ Id }) => engine.api('GET', `/containers/${Id}/logs?stdout=1`)));
  return logs.filter((answer) => String(answer.body).includes(word)).length;
}
