/** Smart HTTP as the worker itself speaks it, against Git's own server. */
import { readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { GitSettings } from '../../src/config/settings.ts';
import { GitError } from '../../src/git/errors.ts';
import { type GitObject, makeBlob, makeCommit, makeTree, parseCommit, parseTree } from '../../src/git/objects.ts';
import { type ObjectFormat, type Oid, oid, type RefName, refName } from '../../src/git/oid.ts';
import { readChunks, readLiveBatch } from '../../src/ledger/live-output.ts';
import { outputRef } from '../../src/ledger/names.ts';
import { chunksOf } from '../../src/ledger/output-codec.ts';
import { StateWriter } from '../../src/ledger/state-writer.ts';
import { systemClock, systemRandomHex } from '../../src/runtime.ts';
import { nodeId, taskId } from '../../src/task/id.ts';
import { commitFiles, git } from '../support/git.ts';
import { GitServer, type RequestKind } from '../support/git-server.ts';
import type { Misbehaviour } from '../support/misbehaviour.ts';
import { openByRemote } from '../support/repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';

const MAIN = refName('refs/heads/main');
const TASK = refName('refs/dgrid/tasks/a');
const OTHER = refName('refs/dgrid/tasks/b');

let dir: TempDir;
let server: GitServer;
beforeEach(async () => {
  dir = makeTempDir('transport');
  server = await GitServer.start();
});
afterEach(async () => {
  await server.stop();
  dir.remove();
});

type Opened = ReturnType<typeof openByRemote>;
const open = (settings: Partial<GitSettings> = {}, env: Record<string, string> = {}, clone = 'clone'): Opened =>
  openByRemote({ url: server.url('r'), path: dir.sub(clone), home: dir.path, settings, env });

const commands = ({ named }: Opened): string[] =>
  named('git.command').map(({ fields }) => (fields['args'] as string[])[0] ?? '');

async function serve(
  files: Record<string, string> = { a: '1' },
  format: ObjectFormat = 'sha1',
): Promise<[string, Oid]> {
  const path = await server.createRepository('r', { format });
  await git(path, ['config', 'uploadpack.allowFilter', 'true']);
  return [path, oid(await commitFiles(path, files))];
}

function state(nonce: string, parents: Oid[] = [], format: ObjectFormat = 'sha1'): { oid: Oid; objects: GitObject[] } {
  const who = { name: 'Worker', email: 'w@example.org', seconds: 1_700_000_000 };
  const tree = makeTree([], format);
  const commit = makeCommit({ tree: tree.oid, parents, author: who, committer: who, message: nonce }, format);
  return { oid: commit.oid, objects: [tree, commit] };
}

async function failure(action: Promise<unknown>): Promise<GitError> {
  const error: unknown = await action.then(
    () => new Error('it succeeded'),
    (caught: unknown) => caught,
  );
  if (!(error instanceof GitError)) throw error;
  return error;
}

describe.each(['sha1', 'sha256'] as const)('a %s repository over HTTP', (format) => {
  it('is listed, fetched and swapped without a git process, but for the first fetch', async () => {
    const [path, tip] = await serve({ 'tasks/queue/a.json': '{"a":1}', 'tasks/completed/z.json': '{"z":1}' }, format);
    const test = open();
    const { repository } = test;
    const listing = await repository.listRefs(['refs/']);
    expect(listing).toEqual({ refs: new Map([[MAIN, tip]]), headBranch: MAIN });
    expect(commands(test)).toEqual([]);
    await repository.fetchRefs([MAIN], undefined, new Map([[MAIN, tip]]));
    expect(test.named('clone.completed')).toHaveLength(1);
    const before = commands(test).length;

    // A new tip, built on the one that is known.
    const next = oid(await commitFiles(path, { 'tasks/queue/b.json': '{"b":2}' }));
    await repository.fetchRefs([MAIN], undefined, new Map([[MAIN, next]]));
    const commit = (await repository.readObjects([next])).get(next);
    const { tree, parents } = parseCommit((commit as GitObject).content);
    expect(parents).toEqual([tip]);
    const entriesOf = async (id: Oid) =>
      parseTree(((await repository.readObjects([id])).get(id) as GitObject).content, format);
    const tasks = (await entriesOf(tree)).find(({ name }) => name === 'tasks');
    const queue = (await entriesOf(tasks?.oid as Oid)).find(({ name }) => name === 'queue');
    const files = await entriesOf(queue?.oid as Oid);
    const blobs = await repository.readBlobs(
      files.map(({ oid: id }) => id),
      1_000,
    );
    expect([...blobs.values()].map((blob) => blob.kind === 'content' && blob.content.toString())).toEqual(
      expect.arrayContaining(['{"a":1}', '{"b":2}']),
    );
    // Trees that did not change were read from the clone.
    expect(
      commands(test)
        .slice(before)
        .filter((name) => name !== 'cat-file'),
    ).toEqual([]);

    const first = state('1', [], format);
    const second = state('2', [first.oid], format);
    const other = state('3', [], format);
    const swap = async (from: Oid | null, to: { oid: Oid; objects: GitObject[] } | null, ref: RefName = TASK) =>
      (await repository.swapRefs([{ ref, from, to: to?.oid ?? null }], to?.objects ?? [])).get(ref)?.kind;
    expect(await swap(null, first)).toBe('applied');
    expect(await swap(null, second)).toBe('rejected');
    expect(await swap(null, first)).toBe('rejected');
    expect(await swap(first.oid, second)).toBe('applied');
    expect(await swap(first.oid, other)).toBe('rejected');
    expect(await swap(first.oid, null)).toBe('rejected');
    const both = await repository.swapRefs(
      [
        { ref: TASK, from: first.oid, to: other.oid },
        { ref: OTHER, from: null, to: other.oid },
      ],
      other.objects,
    );
    expect([both.get(TASK)?.kind, both.get(OTHER)?.kind]).toEqual(['rejected', 'applied']);
    expect((await repository.listRefs(['refs/dgrid/'])).refs).toEqual(
      new Map([
        [TASK, second.oid],
        [OTHER, other.oid],
      ]),
    );
    expect(await swap(second.oid, null)).toBe('applied');
    expect((await repository.listRefs(['refs/dgrid/'])).refs).toEqual(new Map([[OTHER, other.oid]]));
    expect(await git(path, ['fsck', '--strict'])).not.toMatch(/error|missing/);
    expect(server.counts['info-refs']).toBeLessThan(4);
    expect(
      commands(test)
        .slice(before)
        .filter((name) => name !== 'cat-file'),
    ).toEqual([]);
  });
});

it('fetches the states of others by their ids, and leaves out what is gone', async () => {
  const [path, tip] = await serve();
  const [one, two] = [open(), open({}, {}, 'other')];
  await two.repository.fetchRefs([MAIN], undefined, new Map([[MAIN, tip]]));
  const states = Array.from({ length: 50 }, (_, at) => state(`state ${at}`));
  const refs = states.map((_, at) => refName(`refs/dgrid/tasks/t${at}`));
  await one.repository.swapRefs(
    states.map(({ oid: to }, at) => ({ ref: refs[at] as RefName, from: null, to })),
    states.flatMap(({ objects }) => objects),
  );
  const listing = await two.repository.listRefs(['refs/dgrid/']);
  expect(listing.refs.size).toBe(50);
  // Deleted and swept between the listing and the fetch.
  await git(path, ['update-ref', '-d', refs[7] as RefName]);
  await git(path, ['prune', '--expire=now']);
  await git(path, ['gc', '--quiet', '--prune=now']);
  await two.repository.fetchRefs(['refs/dgrid/tasks/*'], undefined, listing.refs);
  const read = await two.repository.readObjects(states.map(({ oid: id }) => id));
  expect(read.size).toBe(49);
  expect(read.has(states[7]?.oid as Oid)).toBe(false);
});

it('takes a file above the bound for too large, whatever comes with it', async () => {
  const big = 'x'.repeat(300_000);
  const [path] = await serve({ 'q/small.json': '{}', 'q/other.json': '[]', 'q/big.json': big });
  const { repository } = open();
  await repository.fetchRefs([MAIN]);
  const ids = (await git(path, ['ls-tree', '-r', '--format=%(objectname)', 'main'])).trim().split('\n').map(oid);
  const blobs = await repository.readBlobs(ids, 1_000);
  const found = [...blobs.values()].map((blob) => (blob.kind === 'content' ? blob.content.toString() : blob.bytes));
  expect(new Set(found)).toEqual(new Set([big.length, '[]', '{}']));
});

it('brings only what a new tip adds, on a branch with many results', async () => {
  const results = Object.fromEntries(
    Array.from({ length: 3_000 }, (_, at) => [`tasks/completed/t${at}.json`, `${at}`]),
  );
  const [path, tip] = await serve(results);
  const { repository } = open();
  await repository.fetchRefs([MAIN], undefined, new Map([[MAIN, tip]]));
  const next = oid(await commitFiles(path, { 'tasks/completed/new.json': 'new' }));
  server.resetCounts();
  await repository.fetchRefs([MAIN], undefined, new Map([[MAIN, next]]));
  expect(server.bytesOut).toBeLessThan(5_000);
  expect((await repository.readObjects([next])).size).toBe(1);
});

describe('traffic with a host', () => {
  it('is told as it came and went, byte by byte', async () => {
    const [path, tip] = await serve({ 'tasks/queue/a.json': `{"a":"${'x'.repeat(10_000)}"}` });
    const { named, repository } = open();
    // The first fetch asks by the git command too, which says nothing of its traffic.
    await repository.fetchRefs([MAIN], undefined, new Map([[MAIN, tip]]));
    server.resetCounts();
    const before = named('git.request').length;
    await repository.listRefs(['refs/']);
    const next = oid(await commitFiles(path, { 'tasks/queue/b.json': '{"b":2}' }));
    await repository.fetchRefs([MAIN], undefined, new Map([[MAIN, next]]));
    const made = state('1');
    await repository.swapRefs([{ ref: TASK, from: null, to: made.oid }], made.objects);
    const told = named('git.request')
      .slice(before)
      .map(({ fields }) => fields);
    expect(told.map(({ operation }) => operation)).toEqual(['ls-remote', 'fetch', 'push']);
    expect(told.map(({ status }) => status)).toEqual([200, 200, 200]);
    const sum = (field: string): number => told.reduce((total, fields) => total + Number(fields[field]), 0);
    expect(sum('received_bytes')).toBe(server.bytesOut);
    expect(sum('sent_bytes')).toBe(server.bytesIn);
  });
});

describe('who we are', () => {
  const TOKEN = 'ghp_s3cretT0ken+/=%';

  it('is told when the host asks, and never in a text', async () => {
    const [, tip] = await serve();
    server.auth = { user: 'x-access-token', token: TOKEN };
    const test = open({ token: TOKEN });
    expect((await test.repository.listRefs(['refs/'])).refs.get(MAIN)).toBe(tip);
    await test.repository.listRefs(['refs/']);
    expect(server.counts['info-refs']).toBe(2);
    expect(server.counts['ls-refs']).toBe(2);
    server.auth = { user: 'x-access-token', token: 'another' };
    const error = await failure(test.repository.listRefs(['refs/']));
    expect(error.kind).toBe('auth');
    expect(JSON.stringify([error.message, test.events])).not.toContain(TOKEN);
    expect(test.named('transport.fallback')).toEqual([]);
  });

  it('is not told to a host that the first contact was redirected to', async () => {
    await serve();
    const other = await GitServer.start();
    try {
      await commitFiles(await other.createRepository('r'), { b: '2' });
      const heard: unknown[] = [];
      other.onRequest = ({ headers }) => void heard.push(headers['authorization']);
      // The first host wants to know who we are, and sends us on once it does.
      server.auth = { user: 'x-access-token', token: TOKEN };
      const Location = `${other.url('r')}/info/refs?service=git-upload-pack`;
      server.onRequest = () => ({ kind: 'status', status: 302, headers: { Location } });
      const { repository } = open({ token: TOKEN });
      expect((await repository.listRefs(['refs/'])).refs.size).toBe(1);
      await repository.fetchRefs(['refs/dgrid/*']);
      const made = state('x');
      await repository.swapRefs([{ ref: TASK, from: null, to: made.oid }], made.objects);
      expect(heard.length).toBeGreaterThanOrEqual(3);
      expect(new Set(heard)).toEqual(new Set([undefined]));
    } finally {
      await other.stop();
    }
  });

  it('is asked of the helper once, and again when it was replaced', async () => {
    await serve();
    const file = dir.sub('secret');
    const helper = `!f() { echo "$1" >> ${dir.sub('calls')}; test "$1" != get || cat ${file}; }; f`;
    writeFileSync(file, 'username=me\npassword=one\n');
    server.auth = { user: 'me', token: 'one' };
    const test = open({ credentialHelper: helper });
    await test.repository.listRefs(['refs/']);
    await test.repository.listRefs(['refs/']);
    const calls = () => readFileSync(dir.sub('calls'), 'utf8').trim().split('\n');
    expect(calls()).toEqual(['get', 'store']);
    writeFileSync(file, 'username=me\npassword=two\n');
    server.auth = { user: 'me', token: 'two' };
    await test.repository.listRefs(['refs/']);
    expect(calls()).toEqual(['get', 'store', 'erase', 'get', 'store']);
  });
});

describe('a server that misbehaves', () => {
  const onKind = (kind: RequestKind, misbehaviour: Misbehaviour): void => {
    server.onRequest = (request) => (request.kind === kind ? misbehaviour : undefined);
  };

  it.each([
    [{ kind: 'drop' }, 'network'],
    [{ kind: 'status', status: 401 }, 'auth'],
    [{ kind: 'status', status: 403 }, 'auth'],
    [{ kind: 'status', status: 404 }, 'not-found'],
    [{ kind: 'status', status: 429 }, 'throttled'],
    [{ kind: 'status', status: 500 }, 'network'],
    [{ kind: 'status', status: 502 }, 'network'],
    [{ kind: 'status', status: 503 }, 'network'],
    [{ kind: 'truncate', bytes: 20 }, 'network'],
  ] as ReadonlyArray<[Misbehaviour, string]>)('%o is %s for every kind of request', async (misbehaviour, kind) => {
    const [path, tip] = await serve();
    const test = open();
    const { repository } = test;
    await repository.listRefs(['refs/']);
    await repository.fetchRefs([MAIN], undefined, new Map([[MAIN, tip]]));
    const next = oid(await commitFiles(path, { d: '4' }));
    onKind('ls-refs', misbehaviour);
    expect((await failure(repository.listRefs(['refs/']))).kind).toBe(kind);
    onKind('fetch', misbehaviour);
    expect((await failure(repository.fetchRefs([MAIN], undefined, new Map([[MAIN, next]])))).kind).toBe(kind);
    onKind('receive-pack', misbehaviour);
    const made = state('x', [tip]);
    expect((await failure(repository.swapRefs([{ ref: TASK, from: null, to: made.oid }], made.objects))).kind).toBe(
      kind,
    );
    server.onRequest = null;
    expect(test.named('transport.fallback')).toEqual([]);
    expect((await repository.swapRefs([{ ref: TASK, from: null, to: made.oid }], made.objects)).size).toBe(1);
  });

  it('is given up on at the deadline', async () => {
    await serve();
    const { repository } = open({ commandTimeoutMs: 500 });
    await repository.listRefs(['refs/']);
    onKind('ls-refs', { kind: 'hang' });
    expect((await failure(repository.listRefs(['refs/']))).kind).toBe('deadline');
  });

  it('is left to the git command where it does not speak version 2', async () => {
    const [, tip] = await serve();
    server.withoutProtocol = true;
    const test = open();
    expect((await test.repository.listRefs(['refs/'])).refs.get(MAIN)).toBe(tip);
    await test.repository.fetchRefs([MAIN]);
    expect((await test.repository.readObjects([tip])).size).toBe(1);
    const made = state('x', [tip]);
    const verdicts = await test.repository.swapRefs([{ ref: TASK, from: null, to: made.oid }], made.objects);
    expect(verdicts.get(TASK)).toEqual({ kind: 'applied' });
    expect(test.named('transport.fallback').map(({ fields }) => fields['what'])).toEqual(
      expect.arrayContaining(['listing', 'pushing']),
    );
  });

  it('is left to the git command for pushes that it does not take without being asked first', async () => {
    await serve();
    const test = open();
    await test.repository.listRefs(['refs/']);
    let refused = 0;
    server.onRequest = (request) => {
      if (request.kind !== 'receive-pack' || refused > 0) return undefined;
      refused += 1;
      return { kind: 'status', status: 415 };
    };
    const first = state('1');
    const verdicts = await test.repository.swapRefs([{ ref: TASK, from: null, to: first.oid }], first.objects);
    expect(verdicts.get(TASK)).toEqual({ kind: 'applied' });
    expect(commands(test)).toContain('push');
    // What hangs on states that came past the clone is fetched for the command.
    const second = state('2', [first.oid]);
    const again = await test.repository.swapRefs([{ ref: TASK, from: first.oid, to: second.oid }], second.objects);
    expect(again.get(TASK)).toEqual({ kind: 'applied' });
    expect(test.named('transport.fallback')).toHaveLength(1);
  });
});

describe('the clone', () => {
  const inClone = async (): Promise<number> => {
    const all = await git(dir.sub('clone'), ['cat-file', '--batch-all-objects', '--batch-check']);
    return all.match(/blob/g)?.length ?? 0;
  };

  it.each([true, false])(
    'has no files if the host can leave them out (%s), and the next start takes it up',
    async (filter) => {
      const [path, tip] = await serve({ 'q/a.json': '{"a":1}', 'q/b.json': '{"b":1}', 'done/z.json': 'z' });
      await git(path, ['config', 'uploadpack.allowFilter', String(filter)]);
      const first = open();
      await first.repository.fetchRefs([MAIN], undefined, new Map([[MAIN, tip]]));
      expect(await git(dir.sub('clone'), ['rev-parse', '--is-shallow-repository'])).toBe('true');
      expect(await inClone()).toBe(filter ? 0 : 3);
      const names = await git(path, ['ls-tree', '-r', '--format=%(objectname) %(path)', 'main']);
      const queued = names.split('\n').flatMap((line) => (line.includes(' q/') ? [oid(line.slice(0, 40))] : []));
      const read = async ({ repository }: Opened): Promise<unknown[]> =>
        [...(await repository.readBlobs(queued, 100)).values()].map(
          (blob) => blob.kind === 'content' && blob.content.toString(),
        );
      expect(await read(first)).toEqual(expect.arrayContaining(['{"a":1}', '{"b":1}']));
      await first.repository.check();
      const next = oid(await commitFiles(path, { 'done/y.json': 'y' }));
      await first.repository.fetchRefs([MAIN], undefined, new Map([[MAIN, next]]));
      await first.repository.upkeep();
      await first.repository.check();
      expect(await git(dir.sub('clone'), ['rev-parse', 'refs/remote/heads/main'])).toBe(next);

      const again = open();
      const last = oid(await commitFiles(path, { 'done/x.json': 'x' }));
      await again.repository.fetchRefs([MAIN], undefined, new Map([[MAIN, last]]));
      expect(again.named('clone.damaged')).toEqual([]);
      expect(again.named('clone.started')).toEqual([]);
      expect((await again.repository.readObjects([last])).size).toBe(1);
      expect(await inClone()).toBe(filter ? 0 : 5);
      await again.repository.check();
    },
  );

  it('keeps nothing of what tasks write while they run', async () => {
    const [path, tip] = await serve();
    const test = open();
    const { repository } = test;
    await repository.fetchRefs([MAIN], undefined, new Map([[MAIN, tip]]));
    const id = taskId('loud');
    const ref = outputRef('refs/dgrid', id);
    const writer = new StateWriter({
      user: { name: 'Worker', email: 'w@example.org' },
      clock: systemClock,
      randomHex: systemRandomHex,
      format: () => 'sha1',
    });
    const publish = async (from: Oid | null, text: string): Promise<Oid> => {
      const files = chunksOf('stdout', Buffer.from(text), (bytes) => makeBlob(bytes, 'sha1'));
      const facts = { taskId: id, nodeId: nodeId('a'), incarnation: 'x', epoch: 1, attempt: 1 };
      const { commit, tree } = writer.output({ state: 'open', ...facts }, files);
      const objects = [...files.map(({ blob }) => blob), tree, commit];
      await open({}, {}, 'another').repository.swapRefs([{ ref, from, to: commit.oid }], objects);
      return commit.oid;
    };
    const reader = {
      repository,
      format: 'sha1',
      signal: new AbortController().signal,
      namespace: 'refs/dgrid',
    } as const;
    const read = async (at: Oid): Promise<string | undefined> => {
      const batch = await readLiveBatch(reader, id, at);
      return batch.kind === 'batch' ? (await readChunks(reader, batch.chunks.stdout, 0))?.toString() : batch.kind;
    };
    const first = await publish(null, 'one\n');
    expect(await read(first)).toBe('one\n');
    const second = await publish(first, 'one\ntwo\n');
    expect(await read(second)).toBe('one\ntwo\n');
    expect(await git(dir.sub('clone'), ['for-each-ref', '--format=%(refname)'])).toBe('refs/remote/heads/main');
    // The task has ended, and the host has cleared away what it had written.
    await git(path, ['update-ref', '-d', ref]);
    await git(path, ['gc', '--quiet', '--prune=now']);
    await repository.upkeep();
    expect(await git(dir.sub('clone'), ['for-each-ref', '--format=%(refname)'])).toBe('refs/remote/heads/main');
    expect(await read(await publish(null, 'three\n'))).toBe('three\n');
    const gone = await publish(await repository.listRefs([ref]).then(({ refs }) => refs.get(ref) ?? null), 'four\n');
    await git(path, ['update-ref', '-d', ref]);
    await git(path, ['gc', '--quiet', '--prune=now']);
    await expect(read(gone)).rejects.toThrow(/not our ref/);
  });

  it('is replaced by a whole one when only the git command is left', async () => {
    const [path, tip] = await serve({ 'q/a.json': '{"a":1}' });
    const test = open();
    await test.repository.fetchRefs([MAIN], undefined, new Map([[MAIN, tip]]));
    server.withoutProtocol = true;
    const again = open();
    await again.repository.fetchRefs([MAIN], undefined, new Map([[MAIN, tip]]));
    const file = oid(await git(path, ['rev-parse', 'main:q/a.json']));
    expect((await again.repository.readBlobs([file], 100)).get(file)).toMatchObject({ kind: 'content' });
  });
});

it('says what a hook says', async () => {
  const [path] = await serve();
  writeFileSync(`${path}/hooks/update`, '#!/bin/sh\necho "not today" >&2\nexit 1\n', { mode: 0o755 });
  const { repository } = open();
  const made = state('x');
  const verdicts = await repository.swapRefs([{ ref: TASK, from: null, to: made.oid }], made.objects);
  expect(verdicts.get(TASK)).toEqual({ kind: 'refused', reason: 'hook declined' });
});

it('answers with what a blob is, also one that it sent itself', async () => {
  const [, tip] = await serve();
  const { repository } = open();
  await repository.fetchRefs([MAIN], undefined, new Map([[MAIN, tip]]));
  const blob = makeBlob('hello', 'sha1');
  const tree = makeTree([{ mode: '100644', name: 'f', oid: blob.oid }], 'sha1');
  const who = { name: 'W', email: 'w@example.org', seconds: 1 };
  const commit = makeCommit({ tree: tree.oid, parents: [], author: who, committer: who, message: 'm' }, 'sha1');
  await repository.swapRefs([{ ref: TASK, from: null, to: commit.oid }], [blob, tree, commit]);
  expect(await repository.readBlobs([blob.oid], 100)).toEqual(
    new Map([[blob.oid, { kind: 'content', content: Buffer.from('hello') }]]),
  );
});
