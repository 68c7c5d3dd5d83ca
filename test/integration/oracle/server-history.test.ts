/** The truth that the oracle judges by, taken from real repositories: whatever happens to a push, it says what was moved. */
import { execFile } from 'node:child_process';
import { appendFile, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Oid } from '../../../src/git/oid.ts';
import { commitFiles, git, initBare } from '../../support/git.ts';
import { GitServer } from '../../support/git-server.ts';
import { ServerHistory } from '../../support/oracle/server-history.ts';
import { hermeticEnv, makeTempDir, type TempDir } from '../../support/temp.ts';
import { until } from '../../support/until.ts';

const TASK = 'refs/dgrid/tasks/one';
const OTHER = 'refs/dgrid/tasks/two';

let directory: TempDir;
let bare: string;
let clone: string;
let commits: string[];
let history: ServerHistory;

beforeEach(async () => {
  directory = makeTempDir('oracle');
  bare = directory.sub('bare.git');
  clone = directory.sub('clone.git');
  await initBare(bare);
  await initBare(clone);
  commits = [];
  for (const text of ['a', 'b', 'c']) commits.push(await commitFiles(clone, { text }));
  history = await ServerHistory.install(bare);
});

afterEach(() => {
  directory.remove();
});

function push(...refspecs: readonly string[]): Promise<string> {
  return git(clone, ['push', '--quiet', '--force', bare, ...refspecs]);
}

async function moves(): Promise<string[]> {
  const name = (oid: Oid | null): string => (oid === null ? '-' : 'abc'.charAt(commits.indexOf(oid)));
  const { changes } = await history.read();
  return changes.map(({ ref, from, to }) => `${ref.slice(ref.lastIndexOf('/') + 1)} ${name(from)}${name(to)}`);
}

describe('the history of a repository', () => {
  it('has each creation, move and deletion, in order, at its time, and all objects', async () => {
    const beforeMs = Date.now();
    await push(`${commits[0]}:${TASK}`, `${commits[0]}:${OTHER}`);
    await push(`${commits[1]}:${TASK}`);
    await push(`:${OTHER}`, `${commits[2]}:refs/heads/main`);
    await push(`:${TASK}`);
    await push(`${commits[2]}:${TASK}`);
    expect(await moves()).toEqual(['one -a', 'two -a', 'one ab', 'two a-', 'main -c', 'one b-', 'one -c']);
    const { changes, format, object } = await history.read();
    expect(format).toBe('sha1');
    expect(changes.map(({ seq }) => seq)).toEqual(changes.map((_, index) => index));
    for (const { timeMs } of changes) {
      // The hook tells hundredths of a second.
      expect(timeMs).toBeGreaterThan(beforeMs - 20);
      expect(timeMs).toBeLessThan(Date.now() + 20);
    }
    expect(object(commits[1] as Oid)?.content.toString()).toContain('seed');
    expect(object('0'.repeat(40) as Oid)).toBeNull();
  });

  it('begins with what was there before', async () => {
    const filled = directory.sub('filled.git');
    await initBare(filled);
    await git(clone, ['push', '--quiet', filled, `${commits[0]}:${TASK}`]);
    const later = await ServerHistory.install(filled);
    await git(clone, ['push', '--quiet', filled, `${commits[1]}:${TASK}`]);
    const { changes } = await later.read();
    expect(changes.map(({ from, to }) => [from, to])).toEqual([
      [null, commits[0]],
      [commits[0], commits[1]],
    ]);
  });

  it('leaves out what the server refused', async () => {
    await push(`${commits[0]}:${TASK}`);
    await expect(
      git(clone, ['push', `--force-with-lease=${TASK}:${commits[2]}`, bare, `${commits[1]}:${TASK}`]),
    ).rejects.toThrow('stale info');
    await git(bare, ['update-ref', TASK, commits[1] as string, commits[2] as string]).catch(() => undefined);
    expect(await moves()).toEqual(['one -a']);
  });

  it('sees commits that are made on the spot, and moves that do not say from where', async () => {
    await push(`${commits[0]}:refs/heads/main`);
    const tip = await commitFiles(bare, { text: 'on the spot' });
    await git(bare, ['update-ref', 'refs/heads/main', commits[0] as string]);
    const { changes } = await history.read();
    expect(changes.map(({ from, to }) => [from, to])).toEqual([
      [null, commits[0]],
      [commits[0], tip],
      [tip, commits[0]],
    ]);
  });

  it('is not misled when refs are packed', async () => {
    await push(`${commits[0]}:${TASK}`, `${commits[0]}:${OTHER}`);
    await git(bare, ['pack-refs', '--all']);
    await push(`${commits[1]}:${TASK}`, `:${OTHER}`);
    await git(bare, ['pack-refs', '--all']);
    await push(`:${TASK}`);
    expect(await moves()).toEqual(['one -a', 'two -a', 'one ab', 'two a-', 'one b-']);
  });

  it('reads directories that are too large to keep', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 1_500 }, (_, index) => [`queue/${String(index).padStart(8, '0')}.json`, 'x']),
    );
    const tip = await commitFiles(bare, files);
    const { object } = await history.read();
    const tree = await git(bare, ['rev-parse', `${tip}:queue`]);
    expect(object(tree as Oid)?.type).toBe('tree');
    expect(object(tree as Oid)?.content.length).toBeGreaterThan(48_000);
  });

  it('does not stand in the way of a push when it cannot write', async () => {
    await rm(join(bare, 'oracle.log'));
    await writeFile(directory.sub('file'), '');
    const path = join(bare, 'hooks', 'reference-transaction');
    const script = await readFile(path, 'utf8');
    await writeFile(path, script.replace(join(bare, 'oracle.log'), directory.sub('file', 'impossible')));
    await push(`${commits[0]}:${TASK}`);
    expect(await git(bare, ['rev-parse', TASK])).toBe(commits[0]);
  });

  it('works with SHA-256 and over HTTP', async () => {
    await using server = await GitServer.start();
    const path = await server.createRepository('wide', { format: 'sha256' });
    const wide = await ServerHistory.install(path);
    const source = directory.sub('wide-clone.git');
    await initBare(source, { format: 'sha256' });
    const commit = await commitFiles(source, { text: 'a' });
    await git(source, ['push', '--quiet', server.url('wide'), `${commit}:${TASK}`]);
    const { changes, format, object } = await wide.read();
    expect(format).toBe('sha256');
    expect(changes).toMatchObject([{ ref: TASK, from: null, to: commit }]);
    expect(object(commit as Oid)?.type).toBe('commit');
  });
});

describe('a push whose server is killed', () => {
  /**
   * Lets the server wait in this phase, in the transaction of this ref, after the hook wrote its line.
   * @returns what kills it there
   */
  async function holdAt(phase: 'prepared' | 'committed', ref: string): Promise<() => Promise<void>> {
    const held = directory.sub('held');
    const path = join(bare, 'hooks', 'reference-transaction');
    await rename(path, `${path}.own`);
    const script = `#!/bin/sh
read -r line
printf '%s\\n' "$line" | '${path}.own' "$1"
[ "$1 \${line##* }" = '${phase} ${ref}' ] || exit 0
echo $PPID >'${held}.new'
mv '${held}.new' '${held}'
while [ -e '${held}' ]; do sleep 0.05; done
`;
    await writeFile(path, script, { mode: 0o755 });
    return async () => {
      let pid = Number.NaN;
      await until('the hook to wait', async () => {
        pid = Number(await readFile(held, 'utf8').catch(() => ''));
        return pid > 0;
      });
      process.kill(pid, 'SIGKILL');
      // The hook outlives its server, and keeps the client waiting.
      await rm(held);
      await rename(`${path}.own`, path);
    };
  }

  function startPush(...refspecs: readonly string[]): Promise<boolean> {
    return new Promise((resolve) => {
      execFile(
        'git',
        ['push', '--quiet', '--force', bare, ...refspecs],
        { cwd: clone, env: hermeticEnv(directory.path) },
        (error) => resolve(error === null),
      );
    });
  }

  it('before the move: nothing was moved, whatever the hook wrote', async () => {
    await push(`${commits[0]}:${OTHER}`);
    const killServer = await holdAt('prepared', TASK);
    // Git moves what exists first.
    const pushed = startPush(`${commits[1]}:${TASK}`, `${commits[1]}:${OTHER}`);
    await killServer();
    expect(await pushed).toBe(false);
    expect(await readFile(join(bare, 'oracle.log'), 'utf8')).toContain(`${commits[1]} ${TASK}`);
    expect(await moves()).toEqual(['two -a', 'two ab']);
    // Sent once more, as a worker does that reads the ref and finds it where it was.
    await rm(join(bare, `${TASK}.lock`));
    await push(`${commits[1]}:${TASK}`);
    await push(`${commits[2]}:${TASK}`);
    expect(await moves()).toEqual(['two -a', 'two ab', 'one -b', 'one bc']);
  });

  it('after the move: it was moved, although nobody was told', async () => {
    const killServer = await holdAt('committed', TASK);
    const pushed = startPush(`${commits[1]}:${TASK}`, `${commits[1]}:${OTHER}`);
    await killServer();
    expect(await pushed).toBe(false);
    expect(await moves()).toEqual(['one -b']);
    await push(`${commits[2]}:${TASK}`);
    await push(`:${TASK}`);
    expect(await moves()).toEqual(['one -b', 'one bc', 'one c-']);
  });

  it('before a deletion: the ref is still there', async () => {
    await push(`${commits[0]}:${TASK}`);
    const killServer = await holdAt('prepared', TASK);
    const pushed = startPush(`:${TASK}`);
    await killServer();
    expect(await pushed).toBe(false);
    expect(await moves()).toEqual(['one -a']);
  });

  it('in the middle of writing: the rest is read all the same', async () => {
    await push(`${commits[0]}:${TASK}`);
    await appendFile(join(bare, 'oracle.log'), '12.34 99 0000\n');
    await push(`${commits[1]}:${TASK}`);
    expect(await moves()).toEqual(['one -a', 'one ab']);
  });
});
