/** `dgrid` as people and programs call it: real processes, a bare repository on disk and one behind HTTP. */
import { once } from 'node:events';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makeBlob } from '../../../src/git/objects.ts';
import { nodeId, taskId } from '../../../src/task/id.ts';
import { unstartedResult } from '../../../src/task/unstarted.ts';
import { type ProgramEnd, runClient, startClient } from '../../support/client-program.ts';
import { git } from '../../support/git.ts';
import { GitServer } from '../../support/git-server.ts';
import { TaskRepository } from '../../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../../support/temp.ts';
import { until } from '../../support/until.ts';

let server: GitServer;
let directory: TempDir;
let home: string;
let count = 0;

beforeAll(async () => {
  server = await GitServer.start();
});
afterAll(() => server.stop());

beforeEach(({ onTestFinished }) => {
  directory = makeTempDir('client');
  const made = directory;
  onTestFinished(() => made.remove());
  home = directory.sub('home');
  mkdirSync(home);
});

async function repository(): Promise<{ repo: TaskRepository; url: string }> {
  count += 1;
  const path = await server.createRepository(`tasks-${count}`);
  return { repo: new TaskRepository(path), url: server.url(`tasks-${count}`) };
}

function dgrid(
  url: string | null,
  args: readonly string[],
  more: { stdin?: string; env?: Record<string, string> } = {},
) {
  const env = { ...(url === null ? {} : { DGRID_REPO_URL: url }), ...more.env };
  return runClient(args, { home, env, ...(more.stdin === undefined ? {} : { stdin: more.stdin }) });
}

/** The one document; anything else on standard output fails. */
function documentOf(end: ProgramEnd): Record<string, unknown> {
  return JSON.parse(end.out) as Record<string, unknown>;
}

function recordOf(id: string, more: object = {}): string {
  const facts = {
    taskId: taskId(id),
    nodeId: nodeId('box'),
    attempt: 1,
    task: { task_id: id },
    specBlob: '0'.repeat(40),
  };
  const { record } = unstartedResult(facts, 'exit-code', 'exit code 7', '2026-01-01T00:00:00.000Z');
  return JSON.stringify({ ...record, exit_code: 7, ...more });
}

const SUCCESS = { status: 'success', reason: null, message: 'finished', exit_code: 0 };

describe('dgrid init', () => {
  it('makes a bare repository, and lays nothing out twice', async () => {
    const path = join(home, 'new/tasks.git');
    const made = await dgrid(null, ['init', 'new/tasks.git', '--json']);
    expect([made.code, made.err]).toEqual([0, '']);
    expect(documentOf(made)).toMatchObject({ repository: path, created: true, branch: 'main' });
    const repo = new TaskRepository(path);
    expect(await repo.files()).toEqual([
      '.vscode/settings.json',
      'README.md',
      'task.schema.json',
      'tasks/completed/.gitkeep',
      'tasks/failed/.gitkeep',
      'tasks/queue/.gitkeep',
    ]);
    expect(await git(path, ['config', '--get', 'core.fsync'])).toBe('committed');
    expect(await git(path, ['rev-parse', '--is-bare-repository'])).toBe('true');
    const again = await dgrid(null, ['init', path]);
    expect([again.code, again.out]).toEqual([0, expect.stringContaining('nothing to add')]);
    expect(await repo.subjects()).toEqual(['Lay out the task repository']);
    const other = join(home, 'other.git');
    expect((await dgrid(other, ['init', '--branch', 'grid'])).code).toBe(0);
    expect(await git(other, ['symbolic-ref', 'HEAD'])).toBe('refs/heads/grid');
    expect(await git(other, ['rev-parse', '--verify', 'grid'])).toMatch(/^[0-9a-f]{40}$/);
  });

  it('lays out a repository on a host, by its address or by the setting', async () => {
    const { repo, url } = await repository();
    await repo.commit({ 'README.md': 'mine' });
    expect((await dgrid(null, ['init', url])).code).toBe(0);
    expect((await dgrid(url, ['init'])).out).toContain('nothing to add');
    expect(await git(repo.path, ['show', 'main:README.md'])).toBe('mine');
  });

  it('touches no directory that holds something else', async () => {
    writeFileSync(join(home, 'precious'), 'data');
    const { code, err } = await dgrid(null, ['init', '.']);
    expect([code, err]).toEqual([1, expect.stringContaining('holds something else')]);
    expect(readdirSync(home)).toContain('precious');
    expect((await dgrid(null, ['init'])).code).toBe(2);
  });
});

describe('dgrid submit', () => {
  it('queues a thousand tasks from standard input in one commit, and knows them again', async () => {
    const { repo, url } = await repository();
    const stdin = Array.from({ length: 1_000 }, (_, n) => `{"task_id":"t-${n}","script":"echo ${n}"}\n`).join('');
    const first = await dgrid(url, ['submit', '-', '--json'], { stdin });
    expect([first.code, first.err]).toEqual([0, '']);
    expect(documentOf(first)['queued']).toHaveLength(1_000);
    expect(await repo.queued()).toHaveLength(1_000);
    expect(await repo.subjects()).toEqual([expect.stringMatching(/^Queue 1000 tasks: t-0, /)]);
    const again = await dgrid(url, ['submit', '-'], { stdin });
    expect(again).toMatchObject({ code: 0, out: 'already queued: 1000 tasks\n' });
    expect(await repo.subjects()).toHaveLength(1);
  });

  it('makes a task of a script and flags', async () => {
    const { repo, url } = await repository();
    const flags = ['--image', 'busybox', '--timeout', '9', '--priority', 'high'];
    const { code, out } = await dgrid(url, ['submit', '--script', 'echo "a b"', ...flags]);
    const id = /^queued (t[0-9a-z]+-[0-9a-f]+)\n$/.exec(out)?.[1];
    expect(code).toBe(0);
    expect(JSON.parse(await git(repo.path, ['show', `main:tasks/queue/${id}.json`]))).toEqual({
      task_id: id,
      script: 'echo "a b"',
      image: 'busybox',
      timeout_seconds: 9,
      priority: 'high',
    });
  });

  it('answers wrong usage with 2 and all problems, and queues nothing', async () => {
    const { repo, url } = await repository();
    writeFileSync(join(home, 'bad.json'), '{"task_id":"Bad"}');
    writeFileSync(join(home, 'good.json'), '{"task_id":"good","script":"true"}');
    const { code, out, err } = await dgrid(url, [
      'submit',
      'bad.json',
      'good.json',
      'missing.json',
      '.',
      '--timeout',
      'x',
    ]);
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(/bad\.json task_id: must be 1 to 63/);
    expect(err).toMatch(/good\.json timeout_seconds: must be a whole number/);
    expect(err).toMatch(/missing\.json does not exist/);
    expect(err).toMatch(/\. is a directory/);
    expect(await repo.files()).toEqual([]);
    for (const args of [
      ['submit'],
      ['submit', 'good.json', '--script', 'x'],
      ['submit', '--bogus'],
      ['wait', 'Not Legal'],
    ]) {
      expect((await dgrid(url, args)).code).toBe(2);
    }
    const asDocument = await dgrid(url, ['submit', 'bad.json', '--json']);
    expect(documentOf(asDocument)).toMatchObject({ error: { kind: 'usage', problems: [{ name: 'bad.json' }, {}] } });
    const unset = await dgrid(null, ['submit', 'good.json'], { env: { GIT_COMMAND_TIMEOUT: 'soon' } });
    expect(unset.code).toBe(2);
    expect(unset.err).toMatch(/DGRID_REPO_URL.*\n.*GIT_COMMAND_TIMEOUT/);
  });

  it('names ids that are in use', async () => {
    const { repo, url } = await repository();
    const spec = '{"task_id":"again","script":"true"}';
    const specBlob = makeBlob(spec, 'sha1').oid;
    await repo.commit({
      'tasks/completed/old.json': recordOf('old', SUCCESS),
      'tasks/completed/again.json': recordOf('again', { ...SUCCESS, spec_blob: specBlob }),
    });
    await repo.queue({ busy: { script: 'true' } });
    const lines = `${spec}\n{"task_id":"old","script":"x"}\n{"task_id":"busy","script":"other"}\n{"task_id":"new","script":"x"}`;
    writeFileSync(join(home, 'again.json'), spec);
    const { code, err } = await dgrid(url, ['submit', '-'], { stdin: lines });
    expect(code).toBe(2);
    for (const id of ['old', 'busy', 'again']) expect(err).toContain(`  ${id} `);
    const same = await dgrid(url, ['submit', 'again.json']);
    expect([same.code, same.err]).toEqual([2, expect.stringContaining('this very task has been run already')]);
    expect(await repo.queued()).toEqual(['tasks/queue/busy.json']);
  });

  it('queues once when the answer of the host gets lost', async () => {
    const { repo, url } = await repository();
    let lost = 0;
    server.onRequest = ({ kind }) => {
      if (kind !== 'receive-pack' || lost > 0) return undefined;
      lost += 1;
      return { kind: 'drop-reply' };
    };
    try {
      const end = await dgrid(url, ['submit', '--script', 'true', '--id', 'once']);
      expect([end.code, end.out, lost]).toEqual([0, 'queued once\n', 1]);
    } finally {
      server.onRequest = null;
    }
    expect(await repo.subjects()).toEqual(['Queue 1 task: once']);
  });

  it('says what to do when nothing certain is known', async () => {
    const { url } = await repository();
    let pushed = false;
    server.onRequest = ({ kind }) => {
      if (kind === 'receive-pack') pushed = true;
      return pushed ? { kind: 'drop-reply' } : undefined;
    };
    try {
      const { code, err } = await dgrid(url, ['submit', '--script', 'true'], { env: { RETRY_ATTEMPTS: '2' } });
      expect(code).toBe(1);
      expect(err).toMatch(/not certain whether the tasks were queued/);
      expect(err).toMatch(/run the command again with --id t[0-9a-z-]+: what is queued already is recognised/);
    } finally {
      server.onRequest = null;
    }
  });
});

describe('looking at tasks', () => {
  it('shows, prints and waits for results, with the exit codes', async () => {
    const { repo, url } = await repository();
    const long = 'x'.repeat(20_000);
    await repo.commit({
      'tasks/completed/good.json': recordOf('good', {
        ...SUCCESS,
        stdout: 'hello\u001b[31m\nworld\n',
        stdout_bytes: 17,
      }),
      'tasks/failed/bad.json': recordOf('bad', {
        stdout: 'xx [...]',
        stdout_bytes: 20_000,
        stdout_truncated: true,
        stderr: 'oh\n',
        stderr_bytes: 3,
      }),
      'tasks/failed/bad/stdout.log': long,
    });
    await repo.queue({ queued: { script: 'true' } });
    expect((await dgrid(url, ['wait', 'good'])).code).toBe(0);
    const both = await dgrid(url, ['wait', 'good', 'bad', '--json']);
    expect(both.code).toBe(3);
    expect(documentOf(both)).toMatchObject({
      tasks: [
        { task_id: 'good', status: 'success', exit_code: 0, recorded: true },
        { task_id: 'bad', status: 'failed', reason: 'exit-code', exit_code: 7 },
      ],
    });
    const late = await dgrid(url, ['wait', 'queued', '--timeout', '0.1']);
    expect([late.code, late.err]).toEqual([1, expect.stringContaining('1 task has no result yet: queued')]);
    const typo = await dgrid(url, ['wait', 'queud', 'good']);
    expect([typo.code, typo.err]).toEqual([1, expect.stringContaining('did you mean queued?')]);

    const shown = await dgrid(url, ['show', 'good']);
    expect(shown.code).toBe(0);
    expect(shown.out).toMatch(/status +success/);
    expect(shown.out).toContain('  hello');
    expect(shown.out).not.toContain('\u001b');
    expect(documentOf(await dgrid(url, ['show', 'queued', '--json']))).toMatchObject({
      state: 'queued',
      path: 'tasks/queue/queued.json',
      task: { script: 'true' },
      result: null,
    });

    expect(await dgrid(url, ['logs', 'bad'])).toEqual({ code: 0, out: long, err: 'oh\n' });
    expect((await dgrid(url, ['logs', 'good'])).out).toBe('hello\u001b[31m\nworld\n');
    expect(documentOf(await dgrid(url, ['logs', 'bad', '--json']))).toMatchObject({
      stdout: { text: long, bytes: 20_000, whole: true },
      stderr: { text: 'oh\n' },
    });
    expect(await dgrid(url, ['logs', 'bad', '--stream', 'stderr'])).toEqual({ code: 0, out: '', err: 'oh\n' });
    expect(await dgrid(url, ['logs', 'good', '--follow', '--stream', 'stderr'])).toMatchObject({ code: 0, out: '' });
    for (const [wrong, remedy] of [
      [['--stream', 'both of them'], '--stream must be stdout, stderr or both'],
      [['--interval', '5'], 'needs --follow'],
      [['--follow', '--interval', 'often'], '--interval must be a number of seconds from 0.1 to 3600'],
    ] as const) {
      expect(await dgrid(url, ['logs', 'good', ...wrong])).toMatchObject({
        code: 2,
        err: expect.stringContaining(remedy),
      });
    }
    const two = await dgrid(url, ['submit', '-', '--follow'], {
      stdin: '{"task_id":"p","script":":"}\n{"task_id":"q","script":":"}',
    });
    expect(two).toMatchObject({ code: 2, err: expect.stringContaining('--follow follows one task, and there are 2') });
    const early = await dgrid(url, ['logs', 'queued']);
    expect([early.code, early.err]).toEqual([1, expect.stringContaining('--follow')]);
  });

  it('cancels, and finds the result in the ref while nobody records', async () => {
    const { repo, url } = await repository();
    await repo.queue({ a: { script: 'true' }, b: { script: 'true' } });
    const following = dgrid(url, ['logs', 'a', '--follow']);
    const waiting = dgrid(url, ['wait', 'b']);
    const cancelled = await dgrid(url, ['cancel', 'a', 'b', '--json']);
    expect(cancelled.code).toBe(0);
    expect(documentOf(cancelled)).toEqual({
      tasks: [
        { task_id: 'a', outcome: 'cancelled' },
        { task_id: 'b', outcome: 'cancelled' },
      ],
    });
    expect(await waiting).toMatchObject({ code: 3, out: expect.stringContaining('cancelled') });
    expect(await following).toMatchObject({ code: 3, out: '', err: expect.stringContaining('a failed (cancelled)') });
    expect(await repo.refs('refs/dgrid/tasks')).toEqual(['refs/dgrid/tasks/a', 'refs/dgrid/tasks/b']);
    const again = await dgrid(url, ['cancel', 'a']);
    expect([again.code, again.err]).toEqual([1, expect.stringContaining('has its result already (failed)')]);
    const unknown = await dgrid(url, ['cancel', 'nobody']);
    expect([unknown.code, unknown.err]).toEqual([1, expect.stringContaining('dgrid status')]);
    expect((await dgrid(url, ['show', 'a'])).out).toContain('not on the branch yet');
  });

  it('gives the status as text without colours, and as a document', async () => {
    const { repo, url } = await repository();
    await repo.queue({ a: { script: 'true', priority: 'high' }, b: { oops: 1 } });
    await repo.commit({ 'tasks/queue/No Good.json': '{}' });
    const asText = await dgrid(url, ['status'], { env: { NO_COLOR: '1' } });
    expect(asText.code).toBe(0);
    expect(asText.out).toMatch(/queued +2 \(1 high, 1 no task\)/);
    expect(asText.out).toContain('tasks/queue/No Good.json');
    expect(asText.out).not.toContain('\u001b');
    expect(documentOf(await dgrid(url, ['status', '--json']))).toMatchObject({
      repository: url,
      queue: { pending: 2, by_priority: { high: 1 }, invalid: 1 },
      problems: [{ path: 'tasks/queue/No Good.json' }],
    });
    expect((await dgrid(url, ['status', '--json', '--watch'])).code).toBe(2);
  });

  it('watches: prints again only on a change, and ends with 130', async () => {
    const { repo, url } = await repository();
    await repo.queue({ a: { script: 'true' } });
    const child = startClient(['status', '--watch', '--interval', '0.2'], { home, env: { DGRID_REPO_URL: url } });
    let out = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      out += chunk.toString();
    });
    await until('the first picture', () => /queued +1/.test(out));
    const listings = server.counts['ls-refs'];
    await until('three more looks', () => server.counts['ls-refs'] >= listings + 3);
    await repo.queue({ b: { script: 'true' } });
    await until('the second picture', () => /queued +2/.test(out));
    child.kill('SIGINT');
    const [code] = (await once(child, 'close')) as [number | null];
    expect(code).toBe(130);
    expect(out.match(/^repository /gm)).toHaveLength(2);
  });

  it('takes a reader that goes away for no error', async () => {
    const { repo, url } = await repository();
    const tasks = Array.from({ length: 300 }, (_, n) => [`tasks/queue/Illegal ${n}.json`, '{}'] as const);
    await repo.commit(Object.fromEntries(tasks));
    const child = startClient(['status', '--json'], { home, env: { DGRID_REPO_URL: url } });
    child.stdout?.destroy();
    if (!child.stderr) throw new Error('no standard error');
    const [[code], err] = await Promise.all([once(child, 'close') as Promise<[number | null]>, text(child.stderr)]);
    expect([code, err]).toEqual([0, '']);
  });
});

describe('the cache and the way to the host', () => {
  it('is kept for the next call, and shared by clients that run at once', async () => {
    const { repo, url } = await repository();
    await repo.queue({ a: { script: 'true' } });
    const ends = await Promise.all([1, 2, 3].map(() => dgrid(url, ['status', '--json'])));
    expect(ends.map(({ code }) => code)).toEqual([0, 0, 0]);
    const [grid = ''] = readdirSync(join(home, '.cache/dgrid'));
    expect(readdirSync(join(home, '.cache/dgrid', grid))).toContain('0.git');
    writeFileSync(join(home, '.cache/dgrid', grid, '0.git/HEAD'), 'damaged');
    expect((await dgrid(url, ['status', '--json'])).code).toBe(0);
  });

  it('works without any place for a cache', async () => {
    const { repo, url } = await repository();
    await repo.queue({ a: { script: 'true' } });
    writeFileSync(join(home, 'file'), '');
    const env = { XDG_CACHE_HOME: join(home, 'file'), TMPDIR: directory.sub('tmp') };
    mkdirSync(directory.sub('tmp'));
    expect((await dgrid(url, ['status'], { env })).code).toBe(0);
    expect(readdirSync(directory.sub('tmp'))).toEqual([]);
  });

  it('says what to do when the repository cannot be reached', async () => {
    const missing = await dgrid(server.url('nothing-here'), ['status']);
    expect([missing.code, missing.err]).toEqual([1, expect.stringContaining('check DGRID_REPO_URL')]);
    server.auth = { user: 'x-access-token', token: 'secret-token' };
    try {
      const { url } = await repository();
      const denied = await dgrid(url, ['status', '--json'], { env: { GIT_TOKEN: 'wrong-token' } });
      expect(denied.code).toBe(1);
      expect(denied.err).toContain('GIT_TOKEN');
      expect(denied.err + denied.out).not.toContain('wrong-token');
      expect(documentOf(denied)).toMatchObject({ error: { kind: 'failed' } });
      expect((await dgrid(url, ['status'], { env: { GIT_TOKEN: 'secret-token' } })).code).toBe(0);
    } finally {
      server.auth = null;
    }
  });
});
