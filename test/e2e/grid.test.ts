/** Real worker processes, a real Git server over HTTP, a real container engine. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PrivateEngine } from '../support/engine.ts';
import { git } from '../support/git.ts';
import { GitServer } from '../support/git-server.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';
import { WorkerProcess } from '../support/worker-process.ts';

let engine: PrivateEngine;
let server: GitServer;
let directory: TempDir;

beforeAll(async () => {
  engine = await PrivateEngine.start();
  await engine.importBusybox();
  server = await GitServer.start();
  directory = makeTempDir('e2e');
});

afterAll(async () => {
  await server.stop();
  const leftovers = await engine.countLeftovers();
  await engine.stop();
  directory.remove();
  expect(leftovers).toBe(0);
});

async function repository(name: string): Promise<TaskRepository> {
  return new TaskRepository(await server.createRepository(name));
}

function worker(
  name: string,
  repo: string,
  env: Record<string, string> = {},
  args: readonly string[] = [],
): WorkerProcess {
  return WorkerProcess.start({
    directory: directory.sub(repo),
    name,
    repoUrl: server.url(repo),
    dockerHost: engine.host,
    env,
    args,
  });
}

describe('a grid of processes', () => {
  it('takes 30 tasks through 3 workers: one result each, nothing left behind', async () => {
    const repo = await repository('thirty');
    const ids = Array.from({ length: 30 }, (_, index) => `task-${String(index).padStart(2, '0')}`);
    await repo.queue(Object.fromEntries(ids.map((id) => [id, { script: `echo ${id}` }])));
    const workers = ['a', 'b', 'c'].map((name) =>
      worker(name, 'thirty', { MAX_PARALLEL_TASKS: '2', WARM_POOL_SIZE: '2' }, ['--until-idle']),
    );
    expect(await Promise.all(workers.map((each) => each.exit()))).toEqual([0, 0, 0]);
    const accepted: string[] = [];
    for (const id of ids) {
      const record = await repo.record(id);
      expect(record).toMatchObject({ task_id: id, status: 'success', attempt: 1, stdout: `${id}\n` });
      accepted.push(record?.node_id ?? '');
    }
    expect(new Set(accepted).size).toBeGreaterThan(1);
    expect(await repo.queued()).toEqual([]);
    expect(await repo.refs('refs/dgrid/tasks/')).toEqual([]);
    const started = workers.flatMap((each) => each.entries('task.started').map(({ task }) => task));
    expect(new Set(started)).toEqual(new Set(ids));
    expect(started).toHaveLength(ids.length);
    for (const subject of await repo.subjects()) expect(subject).toMatch(/^(queue$|Record \d+ results?: )/);
    expect(await engine.countLeftovers()).toBe(0);
  });

  it('costs an idle grid nothing but the question for the refs and heartbeats', async () => {
    const repo = await repository('idle');
    await repo.queue({ one: { script: 'true' } });
    expect(await worker('a', 'idle', {}, ['--until-idle']).exit()).toBe(0);
    await using idle = worker('b', 'idle', { HEARTBEAT_INTERVAL: '5' });
    await idle.logged('worker.ready');
    await until('a first poll', () => idle.entries('poll.skipped').length >= 2, 20_000);
    const tip = await git(repo.path, ['rev-parse', 'main']);
    const before = idle.log.length;
    server.resetCounts();
    await until('twenty polls', () => entriesSince(idle, before, 'poll.skipped') >= 20, 60_000);
    expect(entriesSince(idle, before, 'poll.pulling')).toBe(0);
    expect(server.counts.fetch).toBe(0);
    // A push is an advertisement and the push itself; a beat every 5 s over 20 polls a second apart.
    expect(server.counts['receive-pack']).toBeLessThanOrEqual(6);
    expect(await git(repo.path, ['rev-parse', 'main'])).toBe(tip);
    expect(idle.entries('poll.skipped')[0]?.msg).toBe('Skipping pull - repository already up-to-date');
    expect(await idle.stop()).toBe(0);
  });

  it('takes up its container again when it is killed and comes back', async () => {
    const repo = await repository('restart');
    await repo.queue({ long: { script: 'echo begin; sleep 8; echo end' } });
    const first = worker('a', 'restart');
    await first.logged('task.started');
    await first.stop('SIGKILL');
    await using second = worker('a', 'restart');
    await second.logged('result.recorded', undefined, 40_000);
    expect(await repo.record('long')).toMatchObject({ attempt: 1, status: 'success', stdout: 'begin\nend\n' });
    expect(second.entries('task.adopted')).toHaveLength(1);
    expect(second.entries('task.started')).toHaveLength(0);
    expect(await second.stop()).toBe(0);
    expect(await repo.refs('refs/dgrid/tasks/')).toEqual([]);
  });

  it('lets another worker take over when the first stays away', async () => {
    const repo = await repository('takeover');
    await repo.queue({ long: { script: 'sleep 4; echo done by $DGRID_NODE_ID' } });
    const ttl = { NODE_TTL: '6', HEARTBEAT_INTERVAL: '2' };
    const first = worker('a', 'takeover', ttl);
    await first.logged('task.started');
    await using second = worker('b', 'takeover', ttl);
    await second.logged('worker.ready');
    await first.stop('SIGKILL');
    await second.logged('result.recorded', undefined, 60_000);
    expect(await repo.record('long')).toMatchObject({ attempt: 2, node_id: 'b', stdout: 'done by b\n' });
    expect(second.entries('node.dead')).toMatchObject([{ dead_node: 'a' }]);
    // The first comes back: its container belongs to nobody any more.
    await using again = worker('a', 'takeover', ttl);
    await again.logged('worker.ready');
    await until('the leftover to go', async () => (await engine.countLeftovers()) === 0, 20_000);
    expect(await repo.subjects()).toEqual(['Record 1 result: long', 'queue']);
    expect([await again.stop(), await second.stop()]).toEqual([0, 0]);
  });

  it('publishes what finishes in time and hands back what does not, on SIGTERM', async () => {
    const repo = await repository('drain');
    await repo.queue({
      short: { script: 'sleep 2; echo short' },
      long: { script: 'if [ "$DGRID_NODE_ID" = a ]; then sleep 60; fi; echo long' },
    });
    const first = worker('a', 'drain', { MAX_PARALLEL_TASKS: '2', SHUTDOWN_GRACE_SECONDS: '6' });
    await until('both to run', () => first.entries('task.started').length === 2, 30_000);
    expect(await first.stop('SIGTERM')).toBe(0);
    expect(first.entries('task.handed-back')).toMatchObject([{ task: 'long' }]);
    expect(await repo.record('short')).toMatchObject({ node_id: 'a', status: 'success', attempt: 1 });
    expect(first.entries('worker.summary')[0]).toMatchObject({ tasks_executed_this_hour: 2, failed_pushes: 0 });
    expect(await worker('b', 'drain', {}, ['--until-idle']).exit()).toBe(0);
    expect(await repo.record('long')).toMatchObject({ node_id: 'b', status: 'success', attempt: 2 });
  });

  it('stops its containers at once on a second signal, and loses nothing', async () => {
    const repo = await repository('kill');
    await repo.queue({ long: { script: 'sleep 60' } });
    const first = worker('a', 'kill');
    await first.logged('task.started');
    first.child.kill('SIGTERM');
    await first.logged('worker.stopping');
    expect(await first.stop('SIGTERM')).toBe(0);
    expect(await engine.countLeftovers()).toBe(0);
    const message = await git(repo.path, ['log', '-1', '--format=%B', 'refs/dgrid/tasks/long']);
    expect(message).toContain('DGrid-State: waiting');
    expect(await repo.queued()).toEqual(['tasks/queue/long.json']);
  });

  it('keeps to its hourly quota over a restart', async () => {
    const repo = await repository('quota');
    await repo.queue(Object.fromEntries(['a', 'b', 'c', 'd', 'e'].map((id) => [id, { script: 'true' }])));
    const env = { MAX_TASKS_PER_HOUR: '3' };
    const first = worker('w', 'quota', env);
    await first.logged('limit.rate', undefined, 40_000);
    await until('three records', async () => (await repo.queued()).length === 2, 30_000);
    expect(await first.stop()).toBe(0);
    await using second = worker('w', 'quota', env);
    await until('some polls', () => second.entries('poll.skipped').length >= 4, 30_000);
    expect(second.entries('task.claimed')).toEqual([]);
    expect(second.entries('limit.rate')[0]?.msg).toBe('Rate limit reached');
    expect(await second.stop()).toBe(0);
    expect((await repo.queued()).length).toBe(2);
  });
});

function entriesSince(process: WorkerProcess, index: number, event: string): number {
  return process.log.slice(index).filter((entry) => entry.event === event).length;
}
