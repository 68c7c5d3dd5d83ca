import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GitObject, MODE_FILE, MODE_TREE, makeBlob, makeCommit, makeTree } from '../../src/git/objects.ts';
import { writePack } from '../../src/git/pack.ts';
import { editTree } from '../../src/git/tree-edit.ts';
import { git, initBare } from '../support/git.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';

describe.each(['sha1', 'sha256'] as const)('objects against the real git, %s', (format) => {
  let dir: TempDir;
  let repository: string;
  beforeAll(async () => {
    dir = makeTempDir('objects');
    repository = dir.sub('r.git');
    await initBare(repository, { format });
  });
  afterAll(() => dir.remove());

  it('names blobs as git hash-object does', async () => {
    for (const content of [Buffer.alloc(0), Buffer.from('hällo\n'), Buffer.from([0, 255, 10, 13, 0])]) {
      const id = await git(repository, ['hash-object', '-w', '--stdin'], { input: content });
      expect(makeBlob(content, format).oid).toBe(id);
    }
  });

  it('names trees as git mktree does', async () => {
    const blob = makeBlob('hällo\n', format).oid;
    const empty = await git(repository, ['mktree'], { input: '' });
    const names = ['a', 'a.b', 'a-b', 'ab', 'a0', 'ü', '日本', ' ', 'Z', '-', '~x', 'tab\there'];
    const entries = names.map((name, at) =>
      at % 3 === 0 ? { mode: MODE_TREE, name, oid: makeTree([], format).oid } : { mode: MODE_FILE, name, oid: blob },
    );
    expect(makeTree([], format).oid).toBe(empty);
    const input = entries.map(
      ({ mode, name, oid }) => `${mode === MODE_TREE ? '040000 tree' : '100644 blob'} ${oid}\t${name}\0`,
    );
    const id = await git(repository, ['mktree', '-z'], { input: input.join('') });
    expect(makeTree(entries, format).oid).toBe(id);
  });

  it('names commits as git commit-tree does', async () => {
    const tree = makeTree([], format).oid;
    const who = { name: 'Jörg', email: 'j@example.org', seconds: 1_700_000_000 };
    const date = `${who.seconds} +0000`;
    const env = {
      GIT_AUTHOR_NAME: who.name,
      GIT_AUTHOR_EMAIL: who.email,
      GIT_AUTHOR_DATE: date,
      GIT_COMMITTER_NAME: who.name,
      GIT_COMMITTER_EMAIL: who.email,
      GIT_COMMITTER_DATE: date,
    };
    const first = makeCommit({ tree, parents: [], author: who, committer: who, message: 'one\n' }, format);
    expect(await git(repository, ['commit-tree', tree], { input: 'one\n', env })).toBe(first.oid);
    const second = makeCommit(
      { tree, parents: [first.oid], author: who, committer: who, message: 'two\n\nk: v\n' },
      format,
    );
    const args = ['commit-tree', tree, '-p', first.oid];
    expect(await git(repository, args, { input: 'two\n\nk: v\n', env })).toBe(second.oid);
  });

  it('packs objects that git index-pack and fsck find in order', async () => {
    const sizes = [0, 1, 15, 16, 2_047, 2_048, 300_000];
    const blobs = sizes.map((size) => makeBlob(Buffer.alloc(size, size % 251), format));
    const paths = blobs.map((blob, at) => ({ path: `dir${at % 2}/sub/f${at}.json`, oid: blob.oid }));
    const { root, created } = await editTree(null, paths, async () => new Map(), format);
    const who = { name: 'A', email: 'a@b', seconds: 1 };
    const commit = makeCommit({ tree: root.oid, parents: [], author: who, committer: who, message: 'x\n' }, format);
    const all: GitObject[] = [...blobs, ...created, commit];
    const said = await git(repository, ['index-pack', '--stdin', '--strict'], { input: writePack(all, format) });
    expect(said).toMatch(/^pack\t/);
    await git(repository, ['update-ref', 'refs/heads/main', commit.oid]);
    await git(repository, ['fsck', '--full', '--strict']);
    const listed = await git(repository, ['ls-tree', '-r', '--format=%(objectname) %(path)', 'main']);
    expect(new Set(listed.split('\n'))).toEqual(new Set(paths.map(({ path, oid }) => `${oid} ${path}`)));
  });
});
