/** Whatever people put into the repository: a clear record or a log line, never a crash, and nothing lost. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
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
  directory = makeTempDir('input');
});

afterAll(async () => {
  await server.stop();
  await engine.stop();
  directory.remove();
});

function worker(repo: string, env: Record<string, string> = {}, args: readonly string[] = []): WorkerProcess {
  return WorkerProcess.start({
    directory: directory.path,
    name: repo,
    repoUrl: server.url(repo),
    dockerHost: engine.host,
    env,
    args,
  });
}

async function repository(name: string, options: { branch?: string } = {}): Promise<TaskRepository> {
  return new TaskRepository(await server.createRepository(name, options), `refs/heads/${options.branch ?? 'main'}`);
}

const task = (id: string, rest: object = { script: 'true' }): string => JSON.stringify({ task_id: id, ...rest });

describe('task files', () => {
  it('settles every bad one by a record that says what to mend, and names the rest', async () => {
    const repo = await repository('bad');
    const longId = 'x'.repeat(300);
    await repo.commit({
      'tasks/queue/not-json.json': 'script: true',
      'tasks/queue/not-utf8.json': Buffer.from([0x7b, 0xff, 0xfe, 0x7d]),
      'tasks/queue/unknown.json': task('unknown', { script: 'true', colour: 'red' }),
      'tasks/queue/other-id.json': task('another'),
      'tasks/queue/both.json': task('both', { script: 'true', command: ['true'] }),
      'tasks/queue/huge.json': task('huge', { script: `true # ${'x'.repeat(400_000)}` }),
      'tasks/queue/deep.json': `{"task_id":"deep","script":"true","env":${'['.repeat(5000)}${']'.repeat(5000)}}`,
      'tasks/queue/late.json': task('late', { script: 'true', timeout_seconds: 999_999 }),
      'tasks/queue/foreign.json': task('foreign', { script: 'true', image: 'elsewhere.example/x:1' }),
      'tasks/queue/sub/dir/nested.json': task('nested', { script: 'echo nested' }),
      'tasks/queue/good.json': task('good', { script: 'echo good' }),
      [`tasks/queue/${longId.slice(0, 200)}.json`]: task('a'),
      'tasks/queue/Upper.json': task('Upper'),
      'tasks/queue/with.dot.json': task('with.dot'),
      'tasks/queue/täsk.json': task('täsk'),
      'tasks/queue/notes.txt': 'no task',
    });
    await using run = worker('bad');
    const bad = ['not-json', 'not-utf8', 'unknown', 'other-id', 'both', 'huge', 'deep'];
    await until('all to be settled', async () => (await repo.queued()).length === 4, 60_000);
    for (const id of bad) {
      const record = await repo.record(id);
      expect({ id, reason: record?.reason, status: record?.status }).toEqual({
        id,
        reason: 'invalid-task',
        status: 'failed',
      });
      expect(record?.message.length).toBeGreaterThan(10);
    }
    expect((await repo.record('unknown'))?.message).toContain('"colour"');
    expect((await repo.record('huge'))?.message).toContain('MAX_TASK_BYTES');
    expect((await repo.record('late'))?.reason).toBe('rejected');
    expect((await repo.record('foreign'))?.message).toContain('ALLOWED_IMAGES');
    expect((await repo.record('good'))?.stdout).toBe('good\n');
    expect((await repo.record('nested'))?.stdout).toBe('nested\n');
    const named = run.entries('queue.illegal-name').map(({ path }) => path);
    expect(named).toHaveLength(5);
    expect(named).toContain('tasks/queue/Upper.json');
    expect(await run.stop()).toBe(0);
  });

  it('does not follow a symbolic link or a submodule in the queue', async () => {
    const repo = await repository('links');
    await repo.commit({ 'README.md': 'x' });
    const link = await git(repo.path, ['hash-object', '-w', '--stdin'], { input: '/etc/passwd' });
    const commit = await git(repo.path, ['rev-parse', 'main']);
    const tree = await git(repo.path, ['mktree', '--missing'], {
      input: `120000 blob ${link}\tlink.json\n160000 commit ${commit}\tmodule.json\n`,
    });
    const tasks = await git(repo.path, ['mktree'], { input: `040000 tree ${tree}\tqueue\n` });
    const root = await git(repo.path, ['mktree'], { input: `040000 tree ${tasks}\ttasks\n` });
    const tip = await git(repo.path, ['commit-tree', root, '-m', 'links']);
    await git(repo.path, ['update-ref', 'refs/heads/main', tip]);
    expect(await worker('links', {}, ['--until-idle']).exit()).toBe(0);
    for (const id of ['link', 'module']) {
      const record = await repo.record(id);
      expect(record?.reason).toBe('invalid-task');
      expect(JSON.stringify(record)).not.toContain('root:');
    }
  });

  it('does not run a task again that has its record', async () => {
    const repo = await repository('again');
    await repo.queue({ once: { script: 'echo first' } });
    expect(await worker('again', {}, ['--until-idle']).exit()).toBe(0);
    await repo.queue({ once: { script: 'echo second' } });
    await using run = worker('again');
    await run.logged('queue.already-recorded');
    await until('some polls', () => run.entries('poll.skipped').length >= 2, 20_000);
    expect((await repo.record('once'))?.stdout).toBe('first\n');
    expect(await repo.queued()).toEqual(['tasks/queue/once.json']);
    expect(await run.stop()).toBe(0);
  });
});

describe('repositories', () => {
  it('waits in an empty one for the first task', async () => {
    const repo = await repository('empty');
    await using run = worker('empty');
    await run.logged('worker.ready');
    await until('some polls', () => run.entries('poll.skipped').length >= 2, 20_000);
    await repo.queue({ first: { script: 'echo first' } });
    await run.logged('result.recorded');
    expect((await repo.record('first'))?.stdout).toBe('first\n');
    expect(await run.stop()).toBe(0);
  });

  it('follows the remote when its branch is renamed', async () => {
    const repo = await repository('renamed', { branch: 'master' });
    await repo.queue({ before: { script: 'true' } });
    await using run = worker('renamed');
    await run.logged('result.recorded');
    await git(repo.path, ['branch', '-m', 'master', 'trunk']);
    const trunk = new TaskRepository(repo.path, 'refs/heads/trunk');
    await trunk.queue({ after: { script: 'true' } });
    await until('the record on the new branch', async () => (await trunk.record('after')) !== null, 30_000);
    expect(await trunk.queued()).toEqual([]);
    expect(await run.stop()).toBe(0);
  });

  it('goes on after people rewrote the history', async () => {
    const repo = await repository('rewritten');
    await repo.queue({ one: { script: 'true' } });
    await using run = worker('rewritten');
    await run.logged('result.recorded');
    const tree = await git(repo.path, ['rev-parse', 'main^{tree}']);
    const orphan = await git(repo.path, ['commit-tree', tree, '-m', 'begin anew']);
    await git(repo.path, ['update-ref', 'refs/heads/main', orphan]);
    await repo.queue({ two: { script: 'true' } });
    await until('the record', async () => (await repo.record('two')) !== null, 30_000);
    expect(await repo.record('one')).not.toBeNull();
    expect((await repo.subjects()).at(-1)).toBe('begin anew');
    expect(await run.stop()).toBe(0);
  });

  it('keeps its results while the remote is gone, and delivers them after', async () => {
    const repo = await repository('away');
    await repo.queue({ work: { script: 'sleep 3; echo worked' } });
    await using run = worker('away', { RETRY_ATTEMPTS: '2', RETRY_BASE_SECONDS: '1' });
    await run.logged('task.started');
    await server.down();
    await run.logged('task.finished');
    await run.logged('push.failed');
    await server.up();
    await run.logged('result.recorded', undefined, 60_000);
    expect(await repo.record('work')).toMatchObject({ attempt: 1, stdout: 'worked\n' });
    expect(await run.stop()).toBe(0);
  });

  it('heals a damaged clone by itself', async () => {
    const repo = await repository('damaged');
    await repo.queue({ one: { script: 'true' } });
    await using run = worker('damaged');
    await run.logged('result.recorded');
    await until('it to settle', () => run.entries('poll.skipped').length >= 1, 20_000);
    const clone = directory.sub('damaged', 'state', 'repository.git');
    await rm(join(clone, 'objects'), { recursive: true });
    await repo.queue({ two: { script: 'true' } });
    await until('the record', async () => (await repo.record('two')) !== null, 40_000);
    expect(await run.stop()).toBe(0);
    // Over HTTP a running worker does without what is on the disk. Whoever starts next looks.
    await using next = worker('damaged');
    await next.logged('clone.damaged');
    await repo.queue({ three: { script: 'true' } });
    await until('the next record', async () => (await repo.record('three')) !== null, 40_000);
    expect(await next.stop()).toBe(0);
  });

  it('heals the clone that the git command works with while it runs', async () => {
    const repo = await repository('damaged-command');
    await repo.queue({ one: { script: 'true' } });
    await using run = worker('damaged-command', { GIT_TRANSPORT: 'command' });
    await run.logged('result.recorded');
    await until('it to settle', () => run.entries('poll.skipped').length >= 1, 20_000);
    await rm(join(directory.sub('damaged-command', 'state', 'repository.git'), 'objects'), { recursive: true });
    await repo.queue({ two: { script: 'true' } });
    await until('the record', async () => (await repo.record('two')) !== null, 40_000);
    await run.logged('clone.damaged');
    expect(await run.stop()).toBe(0);
  });
});

describe('the engine', () => {
  it('may be absent at the start and restart in between', async () => {
    const other = await PrivateEngine.start();
    await other.importBusybox();
    await other.kill();
    const repo = await repository('engine');
    await repo.queue({ one: { script: 'echo one' } });
    await using run = WorkerProcess.start({
      directory: directory.path,
      name: 'engine',
      repoUrl: server.url('engine'),
      dockerHost: other.host,
      env: { HEALTH_CHECK_EVERY: '2' },
    });
    await run.logged('engine.unavailable');
    await until('some polls', () => run.entries('poll.skipped').length >= 2, 20_000);
    expect(run.entries('task.claimed')).toEqual([]);
    await other.restart();
    await run.logged('result.recorded', undefined, 40_000);
    expect((await repo.record('one'))?.stdout).toBe('one\n');
    // Now in the middle of a task: the container dies with the daemon, and that is not the task's fault.
    await repo.queue({ two: { script: 'sleep 3; echo two' } });
    await run.logged('task.started', (entry) => entry['task'] === 'two');
    await other.restart();
    await until('the record', async () => (await repo.record('two')) !== null, 60_000);
    expect(await repo.record('two')).toMatchObject({ status: 'success', stdout: 'two\n' });
    expect(await run.stop()).toBe(0);
    expect(await other.countLeftovers()).toBe(0);
    await other.stop();
  });
});
