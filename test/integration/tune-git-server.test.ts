/** scripts/tune-git-server.sh on real repositories. */
import { mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makeBareRepository } from '../../src/git/bare-repository.ts';
import { systemClock } from '../../src/runtime.ts';
import { git, initBare } from '../support/git.ts';
import { GitServer } from '../support/git-server.ts';
import { type ProgramEnd, tryProgram } from '../support/programs.ts';
import { StubWorkerProcess } from '../support/stub-worker-process.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { hermeticEnv, makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';

const SCRIPT = join(import.meta.dirname, '../../scripts/tune-git-server.sh');

let dir: TempDir;
let path: string;
let count = 0;

beforeAll(() => {
  dir = makeTempDir('tune');
});
afterAll(() => dir.remove());
beforeEach(async () => {
  path = dir.sub(`r${(count += 1)}.git`);
  await initBare(path);
});

const tune = (args: readonly string[], env: Record<string, string> = {}): Promise<ProgramEnd> =>
  tryProgram('sh', [SCRIPT, ...args], { env: hermeticEnv(dir.path, env) });
const config = (key: string): Promise<string> => git(path, ['config', '--local', '--get', key]).catch(() => '');
const set = (key: string, value: string): Promise<string> => git(path, ['config', '--add', key, value]);

describe('tune-git-server.sh', () => {
  it('only tells with --check, sets what it says, and does nothing the second time', async () => {
    const before = readFileSync(join(path, 'config'), 'utf8');
    const check = await tune(['--check', path]);
    expect(check.code).toBe(1);
    expect(check.stdout).toContain(`${path}: core.fsync is not set, should be committed: `);
    expect(readFileSync(join(path, 'config'), 'utf8')).toBe(before);

    const first = await tune([path]);
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(first.stdout).toContain(`${path}: gc.pruneExpire: not set -> 1.hour.ago: `);
    expect(first.stdout.trim().split('\n')).toHaveLength(check.stdout.trim().split('\n').length);
    expect(await config('core.fsync')).toBe('committed');
    expect(await config('core.filesRefLockTimeout')).toBe('2000');
    expect(await config('receive.fsckObjects')).toBe('true');
    expect(await config('receive.denyDeletes')).toBe('');

    const tuned = readFileSync(join(path, 'config'), 'utf8');
    expect(await tune([path])).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(await tune(['--check', path])).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(readFileSync(join(path, 'config'), 'utf8')).toBe(tuned);
  });

  it('has nothing to say of a repository that "dgrid init" made', async () => {
    const made = dir.sub('made.git');
    const parts = {
      clock: systemClock,
      emit: () => undefined,
      operatorEnv: hermeticEnv(dir.path),
      signal: new AbortController().signal,
    };
    await makeBareRepository(made, 'main', parts);
    expect(await tune(['--check', made])).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  it('keeps what is stricter, and mends what is too weak', async () => {
    await tune([path]);
    await git(path, ['config', 'core.filesRefLockTimeout', '-1']);
    await git(path, ['config', 'core.packedRefsTimeout', '60000']);
    await git(path, ['config', 'gc.pruneExpire', '2.hours.ago']);
    await git(path, ['config', 'core.fsyncMethod', 'batch']);
    expect(await tune(['--check', path])).toMatchObject({ code: 0, stdout: '' });
    for (const [key, weak, mended] of [
      ['core.filesRefLockTimeout', '50', '2000'],
      ['gc.pruneExpire', 'now', '1.hour.ago'],
      ['gc.pruneExpire', 'never', '1.hour.ago'],
      ['core.fsyncMethod', 'writeout-only', 'fsync'],
      ['core.fsync', 'none', 'committed'],
      ['receive.maxInputSize', '10m', '2g'],
      ['uploadpack.keepAlive', '0', '5'],
      ['core.logAllRefUpdates', 'always', 'true'],
    ] as const) {
      await git(path, ['config', key, weak]);
      const { code, stdout } = await tune([path]);
      expect({ code, lines: stdout.trim().split('\n').length }, `${key} ${stdout}`).toEqual({ code: 0, lines: 1 });
      expect(await config(key)).toBe(mended);
    }
  });

  it('protects branches only when asked, and never where states are branches', async () => {
    expect((await tune(['--protect-branches', path])).code).toBe(0);
    expect(await config('receive.denyNonFastForwards')).toBe('true');
    const repo = new TaskRepository(path, 'refs/heads/dgrid/tasks/x');
    await repo.commit({ 'record.json': '{}' });
    const { stdout } = await tune(['--protect-branches', path]);
    expect(stdout).toContain('receive.denyDeletes: true -> false');
    expect(await config('receive.denyNonFastForwards')).toBe('false');
  });

  it('tells of what only a person can decide', async () => {
    await tune([path]);
    await set('transfer.hideRefs', 'refs/dgrid');
    await set('gc.auto', '0');
    await new TaskRepository(path).commit({ 'README.md': 'x' });
    writeFileSync(join(path, 'refs/heads/empty'), '');
    writeFileSync(join(path, 'refs/heads/gone'), `${'1'.repeat(40)}\n`);
    for (const lock of ['refs/heads/old.lock', 'packed-refs.lock', 'refs/heads/young.lock']) {
      writeFileSync(join(path, lock), '');
      if (!lock.includes('young')) utimesSync(join(path, lock), 0, 0);
    }
    const { code, stdout } = await tune([path]);
    expect(code).toBe(1);
    for (const word of ['hides refs/dgrid', 'gc.auto is 0', 'refs/heads/empty holds no', 'refs/heads/gone names']) {
      expect(stdout).toContain(word);
    }
    expect(stdout).toContain('refs/heads/old.lock is older');
    expect(stdout).toContain('packed-refs.lock is older');
    expect(stdout).not.toContain('young');
    await set('transfer.hideRefs', '!refs/dgrid');
    expect((await tune([path])).stdout).not.toContain('hides');
  });

  it('leaves out what an older git does not know', async () => {
    const old = dir.sub('old-git');
    writeFileSync(old, '#!/bin/sh\n[ "$1" != version ] || { echo "git version 2.34.1"; exit; }\nexec git "$@"\n', {
      mode: 0o755,
    });
    const { code, stdout } = await tune([path], { GIT: old });
    expect(code).toBe(0);
    expect(stdout).not.toMatch(/core\.fsync:|cruftPacks/);
    expect(stdout).toContain('core.fsyncObjectFiles: not set -> true');
    expect(await tune(['--check', path], { GIT: old })).toMatchObject({ code: 0, stdout: '' });
  });

  it('refuses what is no bare repository, before it has touched any', async () => {
    const before = readFileSync(join(path, 'config'), 'utf8');
    await git(tmpdir(), ['init', '--quiet', dir.sub('work')]);
    mkdirSync(dir.sub('empty'), { recursive: true });
    for (const wrong of [dir.sub('work'), dir.sub('work/.git'), dir.sub('empty'), dir.sub('nothing'), '/']) {
      const end = await tune([path, wrong]);
      expect(end.code, wrong).toBe(2);
      expect(end.stderr).toContain('not a bare Git repository');
    }
    expect((await tune([])).code).toBe(2);
    expect((await tune(['--nonsense', path])).code).toBe(2);
    expect(readFileSync(join(path, 'config'), 'utf8')).toBe(before);
    expect((await tune(['--help'])).stdout).toContain('tune-git-server.sh [--check]');
  });
});

describe('a grid on a server that was set up so', () => {
  it('works, also with clean-ups between, and leaves no heap of objects', { timeout: 120_000 }, async () => {
    const server = await GitServer.start();
    try {
      path = await server.createRepository('tuned');
      expect((await tune(['--protect-branches', path])).code).toBe(0);
      const repo = new TaskRepository(path);
      await repo.commit({ 'README.md': 'x' });
      await using worker = StubWorkerProcess.start({
        directory: dir.path,
        name: 'tuned',
        repoUrl: server.url('tuned'),
        env: { PULL_INTERVAL: '0.3', HEARTBEAT_INTERVAL: '0.3', RECORD_DELAY: '0.1' },
      });
      for (let round = 0; round < 3; round += 1) {
        await repo.queue({ [`good-${round}`]: { script: 'exit 0' }, [`bad-${round}`]: { script: 'exit 1' } });
        await until('the records', async () => (await repo.queued()).length === 0, 60_000);
        await git(path, ['gc', '--quiet', '--prune=now']);
      }
      expect(await repo.record('good-2')).toMatchObject({ status: 'success' });
      expect(await repo.record('bad-2')).toMatchObject({ status: 'failed', exit_code: 1 });
      await until('the refs to go', async () => (await repo.refs('refs/dgrid/tasks/')).length === 0, 30_000);
      expect(await worker.stop()).toBe(0);
      // All of it passes the server's own scrutiny.
      await git(path, ['fsck', '--strict']);
      expect(worker.entries('push.failed')).toEqual([]);
    } finally {
      await server.stop();
    }
  });
});
