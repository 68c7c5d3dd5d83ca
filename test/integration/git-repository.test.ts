import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { CliRepository } from '../../src/git/cli-repository.ts';
import { makeBlob, makeCommit, parseCommit } from '../../src/git/objects.ts';
import { type Oid, oid, refName } from '../../src/git/oid.ts';
import { editTree } from '../../src/git/tree-edit.ts';
import { commitFiles, git, initBare } from '../support/git.ts';
import { GitServer } from '../support/git-server.ts';
import { openRepository, type TestRepository } from '../support/repository.ts';
import { SshServer } from '../support/ssh-server.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';

const MAIN = refName('refs/heads/main');

/** Writes a commit with these files on top of `parent`, as a worker does: without a checkout. */
async function prepare(repository: CliRepository, parent: Oid | null, files: Record<string, string>): Promise<Oid> {
  const format = repository.objectFormat();
  const read = (ids: readonly Oid[]) => repository.readObjects(ids);
  const base =
    parent === null ? null : parseCommit((await read([parent])).get(parent)?.content ?? Buffer.alloc(0)).tree;
  const blobs = Object.entries(files).map(([path, text]) => ({ path, blob: makeBlob(text, format) }));
  const { root, created } = await editTree(
    base,
    blobs.map(({ path, blob }) => ({ path, oid: blob.oid })),
    read,
    format,
  );
  const who = { name: 'Worker', email: 'w@example.org', seconds: 1_700_000_000 };
  const parents = parent === null ? [] : [parent];
  const commit = makeCommit({ tree: root.oid, parents, author: who, committer: who, message: 'state\n' }, format);
  await repository.writeObjects([...blobs.map(({ blob }) => blob), ...created, commit]);
  return commit.oid;
}

interface Host {
  open(name: string, path: string): TestRepository;
  create(name: string, options?: { format?: 'sha1' | 'sha256'; branch?: string }): Promise<string>;
  stop(): Promise<void>;
}

let dir: TempDir;
beforeEach(() => {
  dir = makeTempDir('repository');
});
afterEach(() => dir.remove());

const hosts: Record<string, () => Promise<Host>> = {
  http: async () => {
    const server = await GitServer.start({ auth: { user: 'x-access-token', token: 'tok' } });
    return {
      open: (name, path) => openRepository({ url: server.url(name), path, home: dir.path, settings: { token: 'tok' } }),
      create: (name, options) => server.createRepository(name, options),
      stop: () => server.stop(),
    };
  },
  ssh: async () => {
    const server = await SshServer.start();
    const settings = { sshKeyFile: server.clientKeyFile, sshKnownHostsFile: server.knownHostsFile };
    return {
      open: (name, path) => openRepository({ url: server.url(name), path, home: dir.path, settings }),
      create: (name, options) => server.createRepository(name, options),
      stop: () => server.stop(),
    };
  },
  path: async () => {
    const root = makeTempDir('path');
    return {
      open: (name, path) => openRepository({ url: `file://${root.sub(name)}.git`, path, home: dir.path }),
      create: async (name, options) => {
        await initBare(`${root.sub(name)}.git`, options);
        return `${root.sub(name)}.git`;
      },
      stop: () => Promise.resolve(root.remove()),
    };
  },
};

describe.each(Object.keys(hosts))('CliRepository over %s', (kind) => {
  let host: Host;
  beforeAll(async () => {
    host = await (hosts[kind] as () => Promise<Host>)();
  });
  afterAll(() => host.stop());

  it.each(['sha1', 'sha256'] as const)('starts with an empty repository and fills it, %s', async (format) => {
    const name = `empty-${format}`;
    const path = await host.create(name, { format, branch: 'trunk' });
    const { repository } = host.open(name, dir.sub('clone'));
    const trunk = refName('refs/heads/trunk');
    expect(await repository.listRefs(['refs/'])).toEqual({ refs: new Map(), headBranch: trunk });
    expect(repository.objectFormat()).toBe(format);
    await repository.fetchRefs(['refs/heads/*', 'refs/heads/trunk']);
    const first = await prepare(repository, null, { 'tasks/a.json': '{}' });
    expect(await repository.swapRefs([{ ref: trunk, from: null, to: first }], [])).toEqual(
      new Map([[trunk, { kind: 'applied' }]]),
    );
    const second = await prepare(repository, first, { 'tasks/b.json': '{}' });
    expect((await repository.swapRefs([{ ref: trunk, from: first, to: second }], [])).get(trunk)).toEqual({
      kind: 'applied',
    });
    expect((await repository.listRefs(['refs/heads/'])).refs).toEqual(new Map([[trunk, second]]));
    await git(path, ['fsck', '--strict']);
    expect(await git(path, ['ls-tree', '-r', '--name-only', 'trunk'])).toBe('tasks/a.json\ntasks/b.json');
  });

  it('fetches one commit deep, follows new commits, and pushes from there', async () => {
    const path = await host.create('deep');
    for (let at = 0; at < 5; at += 1) await commitFiles(path, { [`f${at}`]: String(at), same: String(at) });
    const { repository, named } = host.open('deep', dir.sub('clone'));
    await repository.fetchRefs(['refs/heads/main']);
    expect(named('clone.started')).toHaveLength(1);
    expect(named('clone.completed')).toMatchObject([{ fields: { bytes: expect.any(Number) as number } }]);
    const depth = () => git(dir.sub('clone'), ['rev-list', '--count', '--all']);
    expect(await depth()).toBe('1');
    await commitFiles(path, { f9: '9' });
    const tip = oid(await commitFiles(path, { f10: '10' }));
    await repository.fetchRefs(['refs/heads/main']);
    expect(await git(dir.sub('clone'), ['rev-parse', 'refs/remote/heads/main'])).toBe(tip);
    expect(Number(await depth())).toBeLessThanOrEqual(2);
    expect(named('clone.completed')).toHaveLength(1);
    const next = await prepare(repository, tip, { f11: '11' });
    expect((await repository.swapRefs([{ ref: MAIN, from: tip, to: next }], [])).get(MAIN)).toEqual({
      kind: 'applied',
    });
    expect(await git(path, ['rev-list', '--count', 'main'])).toBe('8');
    expect(existsSync(dir.sub('clone/index'))).toBe(false);
  });

  it('lists by prefix and tells the head branch, also after it was renamed', async () => {
    const path = await host.create('renamed');
    const tip = await commitFiles(path, { a: '1' });
    await git(path, ['update-ref', 'refs/x/one', tip]);
    const { repository } = host.open('renamed', dir.sub('clone'));
    const listing = await repository.listRefs(['refs/x/', 'refs/heads/main']);
    expect(listing.headBranch).toBe(MAIN);
    expect([...listing.refs.keys()]).toEqual(['refs/heads/main', 'refs/x/one']);
    await repository.fetchRefs(['refs/heads/main']);
    await git(path, ['branch', '-m', 'main', 'trunk']);
    expect(await repository.listRefs(['refs/heads/'])).toEqual({
      refs: new Map([['refs/heads/trunk', tip]]),
      headBranch: 'refs/heads/trunk',
    });
    await repository.fetchRefs(['refs/heads/main', 'refs/heads/trunk']);
    await repository.check();
  });

  it('follows a forced push and refs that vanish or turn into directories', async () => {
    const path = await host.create('forced');
    const old = await commitFiles(path, { a: '1' });
    await git(path, ['update-ref', 'refs/x/a', old]);
    const { repository } = host.open('forced', dir.sub('clone'));
    await repository.fetchRefs(['refs/heads/main', 'refs/x/*', 'refs/x/a']);
    await git(path, ['update-ref', '-d', 'refs/heads/main']);
    const other = oid(await commitFiles(path, { z: '26' }));
    await git(path, ['update-ref', '-d', 'refs/x/a']);
    await git(path, ['update-ref', 'refs/x/a/b', other]);
    await repository.fetchRefs(['refs/heads/main', 'refs/x/a/b', 'refs/x/gone']);
    expect((await repository.readObjects([other])).get(other)?.type).toBe('commit');
    await repository.upkeep();
    expect(await git(dir.sub('clone'), ['for-each-ref', '--format=%(refname)'])).toBe(
      'refs/remote/heads/main\nrefs/remote/x/a/b',
    );
  });

  it('answers each swap of a batch by itself', async () => {
    const path = await host.create('batch');
    const tip = oid(await commitFiles(path, { a: '1' }));
    const { repository } = host.open('batch', dir.sub('clone'));
    await repository.fetchRefs(['refs/heads/main']);
    const one = await prepare(repository, tip, { x: '1' });
    const two = await prepare(repository, one, { x: '2' });
    const ref = (name: string) => refName(`refs/x/${name}`);
    expect((await repository.swapRefs([{ ref: ref('a'), from: null, to: one }], [])).get(ref('a'))).toEqual({
      kind: 'applied',
    });
    const verdicts = await repository.swapRefs(
      [
        { ref: ref('a'), from: one, to: two },
        { ref: ref('new'), from: null, to: two },
        { ref: ref('taken'), from: two, to: one },
        { ref: ref('absent'), from: one, to: null },
        { ref: MAIN, from: null, to: two },
      ],
      [],
    );
    const kinds = Object.fromEntries([...verdicts].map(([name, verdict]) => [name, verdict.kind]));
    expect(kinds).toEqual({
      'refs/x/a': 'applied',
      'refs/x/new': 'applied',
      'refs/x/taken': 'rejected',
      'refs/x/absent': 'rejected',
      'refs/heads/main': 'rejected',
    });
    // The same object again: git calls it up to date without a look at the lease, so nothing is claimed.
    expect((await repository.swapRefs([{ ref: ref('new'), from: null, to: two }], [])).get(ref('new'))?.kind).toBe(
      'unclear',
    );
    const deleted = await repository.swapRefs(
      [
        { ref: ref('a'), from: one, to: null },
        { ref: ref('new'), from: two, to: null },
      ],
      [],
    );
    expect([...deleted.values()].map((verdict) => verdict.kind)).toEqual(['rejected', 'applied']);
    expect([...(await repository.listRefs(['refs/x/'])).refs]).toEqual([['refs/x/a', two]]);
    await expect(
      repository.swapRefs(
        [
          { ref: MAIN, from: null, to: one },
          { ref: MAIN, from: null, to: two },
        ],
        [],
      ),
    ).rejects.toThrow(RangeError);
  });

  it('tells a refusal from a lost race', async () => {
    const path = await host.create('refusing');
    const tip = oid(await commitFiles(path, { a: '1' }));
    await git(path, ['config', 'receive.hideRefs', 'refs/hidden']);
    const { repository } = host.open('refusing', dir.sub('clone'));
    await repository.fetchRefs(['refs/heads/main']);
    const next = await prepare(repository, tip, { b: '2' });
    const hidden = refName('refs/hidden/a');
    const swaps = [
      { ref: hidden, from: null, to: next },
      { ref: refName('refs/x/a'), from: null, to: next },
    ];
    expect([...(await repository.swapRefs(swaps, [])).values()].map((verdict) => verdict.kind)).toEqual([
      'refused',
      'applied',
    ]);
    writeFileSync(join(path, 'hooks/pre-receive'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
    const declined = await repository.swapRefs([{ ref: MAIN, from: tip, to: next }], []);
    expect(declined.get(MAIN)).toMatchObject({ kind: 'refused', reason: 'pre-receive hook declined' });
  });

  it('finds the repository that is not there not found', async () => {
    const { repository } = host.open('nowhere', dir.sub('clone'));
    await expect(repository.listRefs(['refs/'])).rejects.toMatchObject({ kind: 'not-found' });
    await expect(repository.fetchRefs(['refs/heads/main'])).rejects.toMatchObject({ kind: 'not-found' });
    expect(existsSync(dir.sub('clone'))).toBe(false);
  });
});

describe('CliRepository and its clone', () => {
  let path: string;
  let tip: Oid;
  beforeEach(async () => {
    path = dir.sub('r.git');
    await initBare(path);
    await commitFiles(path, { a: '0' });
    tip = oid(await commitFiles(path, { a: '1', 'b/c': '2' }));
  });
  const open = (url = path, settings = {}) => openRepository({ url, path: dir.sub('clone'), home: dir.path, settings });

  it('takes up the clone of an earlier process', async () => {
    await open().repository.fetchRefs(['refs/heads/main']);
    const again = open();
    expect((await again.repository.readObjects([tip])).size).toBe(1);
    expect(again.repository.objectFormat()).toBe('sha1');
    expect(again.events.filter((event) => event.name.startsWith('clone.'))).toEqual([]);
  });

  it('makes another clone for another remote, another depth and another hash', async () => {
    await open().repository.fetchRefs(['refs/heads/main']);
    const full = open(path, { useShallowClone: false });
    await full.repository.fetchRefs(['refs/heads/main']);
    expect(full.named('clone.full-completed')).toHaveLength(1);
    expect(await git(dir.sub('clone'), ['rev-list', '--count', '--all'])).toBe('2');
    await initBare(dir.sub('other.git'), { format: 'sha256' });
    const otherTip = oid(await commitFiles(dir.sub('other.git'), { z: '1' }));
    const other = open(dir.sub('other.git'));
    await other.repository.fetchRefs(['refs/heads/main']);
    expect((await other.repository.readObjects([otherTip])).size).toBe(1);
    expect(other.repository.objectFormat()).toBe('sha256');
    expect(await other.repository.readObjects([tip])).toEqual(new Map());
  });

  it('follows a remote that was made anew with another hash', async () => {
    await initBare(dir.sub('x.git'));
    const { repository } = open(dir.sub('x.git'));
    await repository.fetchRefs(['refs/heads/*']);
    await git(dir.path, [
      'init',
      '--quiet',
      '--bare',
      '--object-format=sha256',
      '--initial-branch=main',
      dir.sub('y.git'),
    ]);
    renameSync(dir.sub('x.git'), dir.sub('gone.git'));
    renameSync(dir.sub('y.git'), dir.sub('x.git'));
    const newTip = oid(await commitFiles(dir.sub('x.git'), { z: '1' }));
    await repository.listRefs(['refs/']);
    await repository.fetchRefs(['refs/heads/main']);
    expect((await repository.readObjects([newTip])).size).toBe(1);
  });

  it('never touches a directory that it did not make', async () => {
    mkdirSync(dir.sub('clone'));
    writeFileSync(dir.sub('clone/precious.txt'), 'mine');
    const { repository } = open();
    await expect(repository.fetchRefs(['refs/heads/main'])).rejects.toMatchObject({
      kind: 'occupied',
      message: expect.stringContaining('DGRID_REPO_PATH') as string,
    });
    await expect(repository.rebuild('test')).rejects.toMatchObject({ kind: 'occupied' });
    expect(readdirSync(dir.sub('clone'))).toEqual(['precious.txt']);
    // Listing needs no clone.
    expect((await repository.listRefs(['refs/heads/'])).refs.size).toBe(1);
  });

  it('writes and reads many objects, and knows their sizes', async () => {
    const { repository } = open();
    await repository.fetchRefs(['refs/heads/main']);
    const blobs = Array.from({ length: 500 }, (_, at) => makeBlob(`blob ${at} ${'x'.repeat(at)}`, 'sha1'));
    await repository.writeObjects([...blobs, ...blobs.slice(0, 3)]);
    await repository.writeObjects(blobs.slice(0, 5));
    const missing = oid('1'.repeat(40));
    const found = await repository.readObjects([...blobs.map((blob) => blob.oid), missing]);
    expect(found.size).toBe(500);
    for (const blob of blobs) expect(found.get(blob.oid)?.content).toEqual(blob.content);
    const [small, large] = [blobs[7]?.oid as Oid, blobs[490]?.oid as Oid];
    expect(await repository.readBlobs([small, large, missing], 100)).toEqual(
      new Map([
        [large, { kind: 'too-large', bytes: blobs[490]?.content.length }],
        [small, { kind: 'content', content: blobs[7]?.content }],
      ]),
    );
  });

  it('keeps the clone small over many fetches', async () => {
    const { repository } = open();
    const looseCount = () => git(dir.sub('clone'), ['count-objects']).then((text) => Number.parseInt(text, 10));
    for (let at = 0; at < 10; at += 1) {
      await commitFiles(path, { [`f${at}`]: String(at) });
      await repository.fetchRefs(['refs/heads/main']);
    }
    expect(await looseCount()).toBeGreaterThan(20);
    await repository.upkeep();
    await repository.upkeep();
    // What nothing refers to any more stays for an hour, in case it is about to be sent.
    expect(await git(dir.sub('clone'), ['for-each-ref', '--format=%(refname)'])).toBe('refs/remote/heads/main');
    await git(dir.sub('clone'), ['prune', '--expire=now']);
    expect(await looseCount()).toBe(0);
    await repository.check();
  });

  it('sends what upkeep has kept for it', async () => {
    const { repository } = open();
    await repository.fetchRefs(['refs/heads/main']);
    const next = await prepare(repository, tip, { new: '1' });
    await repository.upkeep();
    expect((await repository.swapRefs([{ ref: MAIN, from: tip, to: next }], [])).get(MAIN)?.kind).toBe('applied');
    expect((await repository.readObjects([next])).has(next)).toBe(true);
  });
});
