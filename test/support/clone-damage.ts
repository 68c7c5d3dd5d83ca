/**
 * The ways in which a clone on a box gets damaged: by a disk, a crash, a careless hand, or somebody who wants his program
 * run. Each is done to a real clone of a worker.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  globSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { hermeticEnv } from './temp.ts';

/** Damage may make git wait for ever. */
const GIT_BOUND_MS = 5_000;

export interface CloneDamage {
  name: string;
  /** Done to a clone that is one pack, or to loose objects. */
  packed: boolean;
  /** @param canary a program that leaves a trace when anybody runs it. */
  damage: (clone: string, canary: string) => void;
}

type FileDamage = (path: string) => void;

const FILE_DAMAGES: Readonly<Record<string, FileDamage>> = {
  truncated: (path) => (chmodSync(path, 0o644), truncateSync(path, Math.floor(lstatSync(path).size / 2))),
  emptied: (path) => (chmodSync(path, 0o644), truncateSync(path, 0)),
  'zeroes in': (path) => overwrite(path, Buffer.alloc(lstatSync(path).size)),
  'flipped bits in': (path) => overwrite(path, flipped(readFileSync(path))),
  no: (path) => rmSync(path),
  'a directory in place of': (path) => (rmSync(path), mkdirSync(path)),
  'a FIFO in place of': (path) => (rmSync(path), void execFileSync('mkfifo', [path])),
  'a dead link in place of': (path) => (rmSync(path), symlinkSync('/nowhere/at/all', path)),
};

/** What is damaged, and how: not every pair, but each kind of file in the ways that differ for it. */
const FILES: readonly { what: string; packed?: boolean; glob: string; ways: readonly string[] }[] = [
  { what: 'HEAD', glob: 'HEAD', ways: ['emptied', 'zeroes in', 'no', 'a directory in place of', 'a FIFO in place of'] },
  { what: 'config', glob: 'config', ways: ['emptied', 'flipped bits in', 'no', 'a directory in place of'] },
  {
    what: 'the marker',
    glob: 'dgrid-clone.json',
    ways: ['truncated', 'no', 'a directory in place of', 'a FIFO in place of'],
  },
  {
    what: 'packed-refs',
    packed: true,
    glob: 'packed-refs',
    ways: ['truncated', 'zeroes in', 'no', 'a FIFO in place of'],
  },
  { what: 'shallow', glob: 'shallow', ways: ['truncated', 'zeroes in', 'no', 'a directory in place of'] },
  {
    what: 'a loose ref',
    glob: 'refs/remote/heads/main',
    ways: ['emptied', 'flipped bits in', 'a directory in place of', 'a FIFO in place of', 'a dead link in place of'],
  },
  {
    what: 'all loose objects',
    glob: 'objects/[0-9a-f][0-9a-f]/*',
    ways: ['truncated', 'emptied', 'flipped bits in', 'no'],
  },
  {
    what: 'the pack',
    packed: true,
    glob: 'objects/pack/*.pack',
    ways: ['truncated', 'flipped bits in', 'no', 'a dead link in place of'],
  },
  {
    what: 'the pack index',
    packed: true,
    glob: 'objects/pack/*.idx',
    ways: ['emptied', 'flipped bits in', 'a directory in place of'],
  },
];

const LOOSE_TYPES = ['commit', 'tree', 'blob'] as const;
const LOOSE_WAYS = ['flipped bits in', 'no', 'a directory in place of', 'a FIFO in place of'] as const;

/** Settings by which a configuration makes git run a program, or go somewhere else. */
const PROGRAMS: Readonly<Record<string, (canary: string) => string>> = {
  'core.sshCommand, gitProxy, askPass': (canary) =>
    `[core]\n\tsshCommand = ${canary}\n\tgitProxy = ${canary}\n\taskPass = ${canary}\n\teditor = ${canary}\n\tpager = ${canary}\n`,
  'hooks and fsmonitor': (canary) => `[core]\n\thooksPath = ${dirname(canary)}\n\tfsmonitor = ${canary}\n`,
  'programs of the remote': (canary) => `[remote "grid"]\n\treceivepack = ${canary}\n\tuploadpack = ${canary}\n`,
  'a remote somewhere else': (canary) =>
    `[remote "grid"]\n\tpushurl = ext::${canary}\n[url "${canary}"]\n\tinsteadOf = /\n`,
  'filters, helpers and signers': (canary) =>
    `[filter "x"]\n\tclean = ${canary}\n\tsmudge = ${canary}\n[credential]\n\thelper = ${canary}\n[gpg]\n\tprogram = ${canary}\n[push]\n\tgpgSign = true\n`,
  alternateRefsCommand: (canary) => `[core]\n\talternateRefsCommand = ${canary}\n`,
};

const OTHERS: readonly CloneDamage[] = [
  plain('no objects directory', (clone) => remove(join(clone, 'objects'))),
  plain('no refs directory', (clone) => remove(join(clone, 'refs'))),
  plain('a file in place of the objects directory', (clone) => replace(join(clone, 'objects'), 'x')),
  plain('an objects directory that is a link', (clone) => {
    remove(`${clone}.objects`);
    renameSync(join(clone, 'objects'), `${clone}.objects`);
    symlinkSync('/nowhere/at/all', join(clone, 'objects'));
  }),
  plain('everything gone', (clone) => remove(clone)),
  plain('nothing but the marker left', (clone) => {
    for (const path of globSync('*', { cwd: clone })) {
      if (path !== 'dgrid-clone.json') remove(join(clone, path));
    }
  }),
  plain('stale locks everywhere', (clone) => {
    for (const name of [
      'shallow',
      'config',
      'packed-refs',
      'HEAD',
      'refs/remote/heads/main',
      'objects/info/commit-graphs/x',
    ]) {
      mkdirSync(dirname(join(clone, name)), { recursive: true });
      writeFileSync(join(clone, `${name}.lock`), '');
    }
    writeFileSync(join(clone, 'gc.pid'), '1 nowhere');
  }),
  plain('alternates that point nowhere', (clone) => write(join(clone, 'objects/info/alternates'), '/nowhere/at/all\n')),
  plain('grafts', (clone) => {
    const tip = readFileSync(join(clone, 'refs/remote/heads/main'), 'utf8').trim();
    write(join(clone, 'info/grafts'), `${tip} ${'1'.repeat(40)}\n`);
  }),
  plain('a shallow file that lies', (clone) => write(join(clone, 'shallow'), `${'1'.repeat(40)}\n`)),
  plain('a foreign repository in its place', (clone) => {
    const other = `${clone}.foreign`;
    gitIn(tmpdir(), ['init', '--quiet', other]);
    gitIn(other, ['commit', '--quiet', '--allow-empty', '--message', 'foreign']);
    putInPlace(clone, join(other, '.git'));
  }),
  plain('the wrong object format', (clone) => {
    const other = `${clone}.sha256`;
    gitIn(tmpdir(), ['init', '--quiet', '--bare', '--object-format=sha256', other]);
    putInPlace(clone, other);
  }),
  plain('a common directory somewhere else', (clone, canary) => {
    gitIn(tmpdir(), ['init', '--quiet', '--bare', `${clone}.common`]);
    write(join(`${clone}.common`, 'config'), `[core]\n\tbare = true\n[remote "grid"]\n\treceivepack = ${canary}\n`);
    write(join(clone, 'commondir'), `${clone}.common\n`);
  }),
  plain('a second configuration for the work tree', (clone, canary) => {
    write(
      join(clone, 'config'),
      '[core]\n\tbare = true\n\trepositoryformatversion = 1\n[extensions]\n\tworktreeConfig = true\n',
    );
    write(join(clone, 'config.worktree'), `[remote "grid"]\n\treceivepack = ${canary}\n`);
  }),
  plain('hooks of every name', (clone, canary) => {
    for (const name of [
      'pre-push',
      'reference-transaction',
      'post-update',
      'pre-auto-gc',
      'fsmonitor-watchman',
      'post-checkout',
    ]) {
      mkdirSync(join(clone, 'hooks'), { recursive: true });
      cpSync(canary, join(clone, 'hooks', name));
    }
  }),
  plain('a replaced tip', (clone) => {
    const tip = readFileSync(join(clone, 'refs/remote/heads/main'), 'utf8').trim();
    // Another commit with a task that nobody queued, and without those that somebody did.
    const blob = gitIn(clone, ['hash-object', '-w', '--stdin'], '{"task_id":"forged","script":"exit 0"}');
    const queue = gitIn(clone, ['mktree'], `100644 blob ${blob}\tforged.json\n`);
    const tasks = gitIn(clone, ['mktree'], `040000 tree ${queue}\tqueue\n`);
    const root = gitIn(clone, ['mktree'], `040000 tree ${tasks}\ttasks\n`);
    const forged = gitIn(clone, ['commit-tree', root, '-m', 'forged']);
    gitIn(clone, ['update-ref', `refs/replace/${tip}`, forged]);
    const tree = gitIn(clone, ['--no-replace-objects', 'rev-parse', `${tip}^{tree}`]);
    gitIn(clone, ['update-ref', `refs/replace/${tree}`, root]);
  }),
];

/** All of them, in an order in which neighbours differ. */
export function cloneDamages(): CloneDamage[] {
  const groups: CloneDamage[][] = FILES.map(({ what, packed = false, glob, ways }) =>
    ways.map((way) => ({
      name: `${way} ${what}`,
      packed,
      damage: (clone) => eachFile(clone, glob, FILE_DAMAGES[way] as FileDamage),
    })),
  );
  for (const type of LOOSE_TYPES) {
    groups.push(
      LOOSE_WAYS.map((way) => ({
        name: `${way} the loose ${type}s`,
        packed: false,
        damage: (clone) => eachLooseObject(clone, type, FILE_DAMAGES[way] as FileDamage),
      })),
    );
  }
  groups.push(
    Object.entries(PROGRAMS).map(([what, config]) => ({
      name: `a configuration with ${what}`,
      packed: false,
      damage: (clone, canary) =>
        writeFileSync(join(clone, 'config'), `${readFileSync(join(clone, 'config'), 'utf8')}${config(canary)}`),
    })),
    [...OTHERS],
  );
  const longest = Math.max(...groups.map(({ length }) => length));
  return Array.from({ length: longest }, (_, at) => groups.flatMap((group) => group[at] ?? [])).flat();
}

function plain(name: string, damage: CloneDamage['damage']): CloneDamage {
  return { name, packed: false, damage };
}

function eachFile(clone: string, glob: string, damage: FileDamage): void {
  const files = globSync(glob, { cwd: clone }).map((name) => join(clone, name));
  // A damage that finds nothing to damage would test nothing.
  if (files.length === 0) throw new Error(`no ${glob} in ${clone}`);
  damageEach(files, damage);
}

function eachLooseObject(clone: string, type: (typeof LOOSE_TYPES)[number], damage: FileDamage): void {
  const files = globSync('objects/[0-9a-f][0-9a-f]/*', { cwd: clone });
  const ids = files.map((file) => file.replace(/^objects\//, '').replace('/', ''));
  const types = gitIn(clone, ['cat-file', '--batch-check=%(objecttype)'], `${ids.join('\n')}\n`).split('\n');
  const chosen = files.filter((_, at) => types[at] === type);
  if (chosen.length === 0) throw new Error(`no loose ${type} in ${clone}`);
  damageEach(
    chosen.map((name) => join(clone, name)),
    damage,
  );
}

/** A worker that runs may throw its clone away after the first of them, or in the middle of one. */
function damageEach(files: readonly string[], damage: FileDamage): void {
  let damaged = 0;
  for (const file of files) {
    try {
      damage(file);
      damaged += 1;
    } catch (error) {
      const gone = (error as NodeJS.ErrnoException).code === 'ENOENT' || !existsSync(dirname(file));
      if (damaged === 0 || !gone) throw error;
    }
  }
}

/** In one move, with the clone's own marker: a worker that runs must not find a gap, and make its own clone in it. */
function putInPlace(clone: string, other: string): void {
  cpSync(join(clone, 'dgrid-clone.json'), join(other, 'dgrid-clone.json'));
  remove(`${clone}.before`);
  renameSync(clone, `${clone}.before`);
  renameSync(other, clone);
}

function overwrite(path: string, bytes: Buffer): void {
  chmodSync(path, 0o644);
  writeFileSync(path, bytes);
}

function flipped(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  for (let at = Math.floor(copy.length / 3); at < copy.length; at += 7) copy[at] = (copy[at] ?? 0) ^ 0xff;
  return copy;
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** The worker may be writing in it. */
function remove(path: string): void {
  rmSync(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 20 });
}

function replace(path: string, text: string): void {
  remove(path);
  writeFileSync(path, text);
}

export function gitIn(cwd: string, args: readonly string[], input = ''): string {
  const options = { cwd, env: hermeticEnv(tmpdir()), input, encoding: 'utf8', timeout: GIT_BOUND_MS } as const;
  return execFileSync('git', [...args], options).trim();
}
