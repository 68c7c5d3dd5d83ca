import { chmodSync, globSync, mkdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { GitError } from '../../src/git/errors.ts';
import { type Oid, oid } from '../../src/git/oid.ts';
import { commitFiles, git, initBare } from '../support/git.ts';
import { openRepository, type TestRepository } from '../support/repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';

let dir: TempDir;
let remote: string;
let tip: Oid;
/** Everything that the tip consists of. */
let wanted: Oid[];
let round = 0;
let clone: string;

beforeAll(async () => {
  dir = makeTempDir('damage');
  remote = dir.sub('r.git');
  await initBare(remote);
  const files = Object.fromEntries(
    Array.from({ length: 20 }, (_, at) => [`d${at % 3}/f${at}`, `content ${at} `.repeat(200)]),
  );
  tip = oid(await commitFiles(remote, files));
  const listed = await git(remote, ['rev-list', '--objects', 'main']);
  wanted = listed.split('\n').map((line) => oid(line.split(' ')[0] ?? ''));
});
afterAll(() => dir.remove());
beforeEach(() => {
  clone = dir.sub(`clone${(round += 1)}`);
});

const open = (settings = {}): TestRepository => openRepository({ url: remote, path: clone, home: dir.path, settings });
const inClone = (pattern: string): string[] =>
  globSync(pattern, { cwd: clone })
    .map((name) => join(clone, name))
    .filter((name) => statSync(name).isFile());

function overwrite(pattern: string, change: (bytes: Buffer) => Buffer): void {
  const files = inClone(pattern);
  expect(files.length).toBeGreaterThan(0);
  for (const file of files) {
    chmodSync(file, 0o644);
    writeFileSync(file, change(readFileSync(file)));
  }
}
const empty = () => Buffer.alloc(0);
const garbage = () => Buffer.from('garbage\n');
const flip = (bytes: Buffer) => {
  const copy = Buffer.from(bytes);
  for (let at = Math.floor(copy.length / 2); at < copy.length; at += 37) copy[at] = (copy[at] ?? 0) ^ 0xff;
  return copy;
};
const LOOSE = 'objects/??/*';
const PACK = 'objects/pack/*.pack';
const INDEX = 'objects/pack/*.idx';
const REF = 'refs/remote/heads/main';

/** Each of these is done to a clone with loose objects, or (if it says so) with one pack. */
const DAMAGE: ReadonlyArray<[name: string, packed: boolean, damage: () => void]> = [
  ['no HEAD', false, () => rmSync(join(clone, 'HEAD'))],
  ['empty HEAD', false, () => overwrite('HEAD', empty)],
  ['garbage in HEAD', false, () => overwrite('HEAD', garbage)],
  ['no config', false, () => rmSync(join(clone, 'config'))],
  ['empty config', false, () => overwrite('config', empty)],
  ['garbage in config', false, () => overwrite('config', () => Buffer.from('[[['))],
  ['no objects directory', false, () => rmSync(join(clone, 'objects'), { recursive: true })],
  ['no refs directory', false, () => rmSync(join(clone, 'refs'), { recursive: true })],
  ['empty ref', false, () => overwrite(REF, empty)],
  ['garbage in a ref', false, () => overwrite(REF, garbage)],
  ['ref to nothing', false, () => overwrite(REF, () => Buffer.from(`${'1'.repeat(40)}\n`))],
  ['empty objects', false, () => overwrite(LOOSE, empty)],
  ['garbage in objects', false, () => overwrite(LOOSE, garbage)],
  ['flipped bits in objects', false, () => overwrite(LOOSE, flip)],
  [
    'half of the objects gone',
    false,
    () =>
      inClone(LOOSE)
        .filter((_, at) => at % 2 === 0)
        .forEach((file) => rmSync(file)),
  ],
  ['all objects gone', false, () => inClone(LOOSE).forEach((file) => rmSync(file))],
  ['truncated pack', true, () => inClone(PACK).forEach((file) => (chmodSync(file, 0o644), truncateSync(file, 100)))],
  ['no pack', true, () => inClone(PACK).forEach((file) => rmSync(file))],
  ['no pack index', true, () => inClone(INDEX).forEach((file) => rmSync(file))],
  ['garbage in the pack index', true, () => overwrite(INDEX, garbage)],
  ['flipped bits in the pack', true, () => overwrite(PACK, flip)],
  ['garbage in packed-refs', false, () => writeFileSync(join(clone, 'packed-refs'), 'zzz\n')],
  ['garbage in shallow', false, () => writeFileSync(join(clone, 'shallow'), 'zzz\n')],
  ['no marker content', false, () => overwrite('dgrid-clone.json', empty)],
  [
    'everything but the marker gone',
    false,
    () =>
      inClone('*')
        .filter((file) => !file.endsWith('.json'))
        .forEach((file) => rmSync(file)),
  ],
];

/** All that can come out: the right objects, or `corrupt-local`. Anything else fails. */
async function readAll(test: TestRepository): Promise<'whole' | 'damaged'> {
  try {
    await test.repository.check();
    await test.repository.fetchRefs(['refs/heads/main']);
    const objects = await test.repository.readObjects(wanted);
    // An object that is missing without a word is damage too: the fetch promised it, and `check` must have seen it.
    expect(objects.size).toBe(wanted.length);
    return 'whole';
  } catch (error) {
    if (!(error instanceof GitError)) throw error;
    expect(error.kind, error.message).toBe('corrupt-local');
    return 'damaged';
  }
}

describe('a damaged clone', () => {
  it.each(DAMAGE)('%s is healed at the start or reported, and mended by rebuild', async (_name, packed, damage) => {
    const running = open();
    await running.repository.fetchRefs(['refs/heads/main']);
    if (packed) await git(clone, ['repack', '-a', '-d', '-q']);
    damage();

    // The worker that is running.
    if ((await readAll(running)) === 'damaged') {
      await running.repository.rebuild('test');
      await running.repository.fetchRefs(['refs/heads/main']);
      expect(running.named('clone.damaged').length).toBeGreaterThan(0);
    }
    expect(await readAll(running)).toBe('whole');

    // A worker that starts on the same damage.
    if (packed) await git(clone, ['repack', '-a', '-d', '-q']);
    else if (inClone(LOOSE).length === 0) return;
    damage();
    const restarted = open();
    if ((await readAll(restarted)) === 'damaged') {
      await restarted.repository.rebuild('test');
      await restarted.repository.fetchRefs(['refs/heads/main']);
    }
    expect(await readAll(restarted)).toBe('whole');
    await git(clone, ['fsck']);
  });

  it('has nothing of what the machine puts into new repositories', async () => {
    await open().repository.fetchRefs(['refs/heads/main']);
    expect(globSync('{hooks,info,branches,description}{,/**}', { cwd: clone })).toEqual([]);
  });

  it('of which a killed git has left its locks works again', async () => {
    await open().repository.fetchRefs(['refs/heads/main']);
    const tipBefore = tip;
    for (const name of [
      'shallow.lock',
      'config.lock',
      'packed-refs.lock',
      'HEAD.lock',
      `${REF}.lock`,
      'gc.pid',
      'objects/pack/tmp_pack_x',
    ]) {
      writeFileSync(join(clone, name), '');
    }
    const again = open();
    await again.repository.fetchRefs(['refs/heads/main']);
    await again.repository.upkeep();
    expect((await again.repository.readObjects([tipBefore])).size).toBe(1);
    expect(globSync('**/{*.lock,tmp_*}', { cwd: clone })).toEqual([]);
  });

  it('that is no directory any more is reported', async () => {
    const test = open();
    await test.repository.fetchRefs(['refs/heads/main']);
    rmSync(clone, { recursive: true });
    writeFileSync(clone, 'a file');
    await expect(test.repository.readObjects(wanted)).rejects.toBeInstanceOf(GitError);
    await expect(open().repository.fetchRefs(['refs/heads/main'])).rejects.toMatchObject({ kind: 'occupied' });
    rmSync(clone);
    mkdirSync(clone);
    const fresh = open();
    await fresh.repository.fetchRefs(['refs/heads/main']);
    expect(await readAll(fresh)).toBe('whole');
  });
});
