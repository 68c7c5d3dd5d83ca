/** A node that changes its version in its place, with a real engine: its containers, notes and saved results go over. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectNoViolations } from '../support/broken-rule.ts';
import { PrivateEngine } from '../support/engine.ts';
import { GitServer } from '../support/git-server.ts';
import { clientOf } from '../support/mixed-fleet.ts';
import { type OldVersion, oldVersion, whyNoHistory } from '../support/old-version.ts';
import { judge } from '../support/oracle/judge.ts';
import { ServerHistory } from '../support/oracle/server-history.ts';
import { WorkerHistory } from '../support/oracle/worker-history.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';
import { WorkerProcess } from '../support/worker-process.ts';

type Version = 'old' | 'new';

const missing = await whyNoHistory();
const where = missing === null ? '' : ` (${missing})`;

let engine: PrivateEngine;
let server: GitServer;
let directory: TempDir;

beforeAll(async () => {
  engine = await PrivateEngine.start();
  await engine.importBusybox();
  server = await GitServer.start();
  directory = makeTempDir('versions');
});

afterAll(async () => {
  await server.stop();
  await engine.stop();
  directory.remove();
});

/** One box, its state, and all that its lives said. */
class Box {
  readonly repo: TaskRepository;
  readonly truth: ServerHistory;
  readonly #name: string;
  readonly #old: OldVersion;
  readonly lives: WorkerProcess[] = [];

  private constructor(name: string, old: OldVersion, repo: TaskRepository, truth: ServerHistory) {
    this.#name = name;
    this.#old = old;
    this.repo = repo;
    this.truth = truth;
  }

  static async create(name: string, old: OldVersion): Promise<Box> {
    const repo = new TaskRepository(await server.createRepository(name));
    return new Box(name, old, repo, await ServerHistory.install(repo.path));
  }

  async start(version: Version, env: Record<string, string> = {}): Promise<WorkerProcess> {
    const worker = WorkerProcess.start({
      directory: directory.path,
      name: this.#name,
      repoUrl: server.url(this.#name),
      dockerHost: engine.host,
      env: { LOG_LEVEL: 'debug', WARM_POOL_SIZE: '1', ...env },
      ...(version === 'old' ? { program: this.#old.worker } : {}),
    });
    this.lives.push(worker);
    await worker.logged('worker.ready', undefined, 60_000);
    return worker;
  }

  async recorded(id: string): Promise<void> {
    await until(`${id} to be recorded`, async () => (await this.repo.record(id)) !== null, 60_000).catch(
      (error: unknown) => {
        throw new Error(`${String(error)}\n${this.lives.at(-1)?.output}`, { cause: error });
      },
    );
  }

  async mustBeRight(): Promise<void> {
    const said = new WorkerHistory();
    for (const life of this.lives) said.take(life.name, life.log);
    await until('the refs to go', async () => (await this.repo.refs('refs/dgrid/tasks/')).length === 0, 30_000);
    for (const life of this.lives) await life.stop('SIGTERM');
    const { violations } = await judge(this.truth, said, { settled: true });
    expectNoViolations(violations);
  }
}

const LONG = 'echo begin; sleep 6; echo end';

describe.skipIf(missing !== null).each(['before-sandbox', 'before-fleets'] as const)(`a node of %s${where}`, (name) => {
  it.each([
    ['up', 'old', 'new'],
    ['down', 'new', 'old'],
  ] as const)(
    'goes %s by force: its container is taken up again, and its saved result is published',
    { timeout: 300_000 },
    async (way, from, to) => {
      const box = await Box.create(`forced-${name}-${way}`, await oldVersion(name));
      const first = await box.start(from);
      // A container waits for the second one, as on any node that has been at work.
      await box.repo.queue({ opener: { script: 'true' } });
      await box.recorded('opener');
      await first.logged('pool.filled');
      await box.repo.queue({ long: { script: LONG } });
      await first.logged('task.started', ({ task }) => task === 'long');
      await first.stop('SIGKILL');

      const second = await box.start(to);
      await box.recorded('long');
      expect(await box.repo.record('long')).toMatchObject({ status: 'success', attempt: 1, stdout: 'begin\nend\n' });
      expect(second.entries('task.adopted')).toMatchObject([{ task: 'long' }]);
      await second.stop('SIGTERM');

      // A result that was made while nobody could take it.
      const third = await box.start(from);
      await box.repo.queue({ saved: { script: 'sleep 2; echo saved' } });
      await third.logged('task.started', ({ task }) => task === 'saved');
      await server.down();
      await third.logged('step.done', ({ step }) => step === 'outbox.sync');
      await third.stop('SIGKILL');
      await server.up();
      const fourth = await box.start(to);
      await box.recorded('saved');
      expect(await box.repo.record('saved')).toMatchObject({ status: 'success', attempt: 1, stdout: 'saved\n' });
      expect(fourth.entries('task.started')).toEqual([]);
      await box.mustBeRight();
      expect(await engine.countLeftovers()).toBe(0);
    },
  );

  it.each([
    ['up', 'old', 'new'],
    ['down', 'new', 'old'],
  ] as const)(
    'goes %s in order: what is not done within the grace is handed on',
    { timeout: 300_000 },
    async (way, from, to) => {
      const box = await Box.create(`ordered-${name}-${way}`, await oldVersion(name));
      const first = await box.start(from, { SHUTDOWN_GRACE_SECONDS: '3', MAX_PARALLEL_TASKS: '2' });
      await box.repo.queue({ short: { script: 'sleep 2; echo short' }, endless: { script: 'sleep 12; echo endless' } });
      for (const id of ['short', 'endless']) await first.logged('task.started', ({ task }) => task === id);
      expect(await first.stop('SIGTERM')).toBe(0);
      expect(first.entries('task.handed-back')).toMatchObject([{ task: 'endless' }]);
      await box.start(to);
      await box.recorded('endless');
      expect(await box.repo.record('short')).toMatchObject({ status: 'success', attempt: 1 });
      expect(await box.repo.record('endless')).toMatchObject({ status: 'success', attempt: 2, stdout: 'endless\n' });
      await box.mustBeRight();
      expect(await engine.countLeftovers()).toBe(0);
    },
  );
});

describe.skipIf(missing !== null)(`a client and a worker of different versions${where}`, () => {
  it.each([
    ['old', 'new'],
    ['new', 'old'],
  ] as const)('understand each other: %s client, %s worker', { timeout: 180_000 }, async (client, version) => {
    const name = `client-${client}`;
    const old = await oldVersion('before-sandbox');
    const box = await Box.create(name, old);
    await box.start(version, { WARM_POOL_SIZE: '0', MAX_PARALLEL_TASKS: '2' });
    const dgrid = clientOf({ old, repoUrl: server.url(name), directory: directory.sub(`home-${client}`) });
    const submitted = await dgrid(client, 'submit', '--script', 'echo out', '--id', 'good', '--wait');
    expect(submitted, submitted.stderr).toMatchObject({ code: 0 });
    expect((await dgrid(client, 'submit', '--script', 'exit 5', '--id', 'bad', '--wait')).code).toBe(3);
    expect(await dgrid(client, 'logs', 'good')).toEqual({ code: 0, stdout: 'out\n', stderr: '' });
    const shown = JSON.parse((await dgrid(client, 'show', 'bad', '--json')).stdout) as object;
    expect(JSON.stringify(shown)).toContain('exit-code');
    expect((await dgrid(client, 'submit', '--script', 'sleep 60', '--id', 'sleepy')).code).toBe(0);
    await box.lives[0]?.logged('task.started', ({ task }) => task === 'sleepy');
    const status = JSON.parse((await dgrid(client, 'status', '--json')).stdout) as Record<string, unknown>;
    expect(status).toMatchObject({ in_work: [{ task_id: 'sleepy' }], nodes: [{ node_id: name, state: 'alive' }] });
    expect((await dgrid(client, 'cancel', 'sleepy')).code).toBe(0);
    expect((await dgrid(client, 'wait', 'sleepy')).code).toBe(3);
    await box.recorded('sleepy');
    expect(await box.repo.record('sleepy')).toMatchObject({ reason: 'cancelled' });
    await box.mustBeRight();
  });

  it('fail a task with fields that the worker does not know: old workers do not wait for newer ones', async () => {
    const box = await Box.create('unknown-fields', await oldVersion('before-sandbox'));
    await box.start('old', { WARM_POOL_SIZE: '0' });
    await box.repo.queue({ novel: { script: 'true', network: 'none', requires: ['never'] } });
    await box.recorded('novel');
    // Not even labels keep it from judging.
    expect(await box.repo.record('novel')).toMatchObject({
      reason: 'invalid-task',
      message: expect.stringMatching(/"network" is not a field of a task/),
    });
    await box.mustBeRight();
  });
});
