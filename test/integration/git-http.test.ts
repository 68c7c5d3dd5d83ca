import { execFile } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GitError } from '../../src/git/errors.ts';
import { makeCommit, makeTree } from '../../src/git/objects.ts';
import { type Oid, oid, refName } from '../../src/git/oid.ts';
import { commitFiles, git } from '../support/git.ts';
import { GitServer, type RequestKind } from '../support/git-server.ts';
import type { Misbehaviour } from '../support/misbehaviour.ts';
import { allProcesses } from '../support/processes.ts';
import { openRepository, type TestRepository } from '../support/repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';

const MAIN = refName('refs/heads/main');
const TOKEN = 'ghp_s3cretT0ken+/=%';

let dir: TempDir;
let server: GitServer;
let path: string;
let tip: Oid;
beforeEach(async () => {
  dir = makeTempDir('http');
  server = await GitServer.start();
  path = await server.createRepository('r');
  tip = oid(await commitFiles(path, { a: '1'.repeat(5_000), 'b/c': '2' }));
});
afterEach(async () => {
  await server.stop();
  dir.remove();
});

const open = (settings = {}, clone = 'clone', env = {}): TestRepository =>
  openRepository({ url: server.url('r'), path: dir.sub(clone), home: dir.path, settings, env });

function onKind(kind: RequestKind, misbehaviour: Misbehaviour): void {
  server.onRequest = (request) => (request.kind === kind ? misbehaviour : undefined);
}

/** A commit that differs from all others, stored locally. */
async function state(test: TestRepository, nonce: string, parent: Oid = tip): Promise<Oid> {
  const who = { name: 'Worker', email: 'w@example.org', seconds: 1_700_000_000 };
  const tree = makeTree([], 'sha1');
  const commit = makeCommit({ tree: tree.oid, parents: [parent], author: who, committer: who, message: nonce }, 'sha1');
  await test.repository.writeObjects([tree, commit]);
  return commit.oid;
}

async function failure(action: Promise<unknown>): Promise<GitError> {
  const error: unknown = await action.then(
    () => new Error('it succeeded'),
    (caught: unknown) => caught,
  );
  if (!(error instanceof GitError)) throw error;
  return error;
}

describe('a server that misbehaves', () => {
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
    const test = open();
    await test.repository.fetchRefs(['refs/heads/main']);
    const next = await state(test, 'x');
    await commitFiles(path, { d: '4' });
    onKind('info-refs', misbehaviour);
    expect((await failure(test.repository.listRefs(['refs/']))).kind).toBe(kind);
    onKind('fetch', misbehaviour);
    expect((await failure(test.repository.fetchRefs(['refs/heads/main']))).kind).toBe(kind);
    onKind('receive-pack', misbehaviour);
    const push = await failure(test.repository.swapRefs([{ ref: refName('refs/x/a'), from: null, to: next }], []));
    expect(push).toMatchObject({ kind, operation: 'push', retryAfterMs: null });
    server.onRequest = null;
    // Nothing of it stays: the next attempt finds a sound clone.
    await test.repository.fetchRefs(['refs/heads/main']);
    await test.repository.check();
  });

  it('fails as the network does on a pack that was damaged on its way', async () => {
    const kinds = new Set<string>();
    for (const atByte of [60, 200, 400]) {
      const test = open({}, `clone-${atByte}`);
      onKind('fetch', { kind: 'corrupt', atByte });
      kinds.add((await failure(test.repository.fetchRefs(['refs/heads/main']))).kind);
      server.onRequest = null;
      await test.repository.fetchRefs(['refs/heads/main']);
      await test.repository.check();
    }
    expect([...kinds].filter((kind) => kind !== 'network' && kind !== 'unknown')).toEqual([]);
  });

  it('does not take a login page for an empty repository', async () => {
    const page = {
      kind: 'status',
      status: 200,
      headers: { 'Content-Type': 'text/html' },
      body: '<html>Please log in',
    } as const;
    server.onRequest = () => page;
    const test = open();
    expect((await failure(test.repository.listRefs(['refs/']))).kind).toBe('network');
    server.onRequest = null;
    expect((await test.repository.listRefs(['refs/'])).refs.size).toBe(1);
    server.onRequest = () => page;
    expect((await failure(test.repository.listRefs(['refs/']))).kind).toBe('network');
  });

  it('is given up at the deadline', async () => {
    const test = open({ commandTimeoutMs: 1_500 });
    await test.repository.fetchRefs(['refs/heads/main']);
    await commitFiles(path, { d: '4' });
    onKind('fetch', { kind: 'hang' });
    expect((await failure(test.repository.fetchRefs(['refs/heads/main']))).kind).toBe('deadline');
    onKind('receive-pack', { kind: 'hang' });
    const next = await state(test, 'x');
    const error = await failure(test.repository.swapRefs([{ ref: refName('refs/x/a'), from: null, to: next }], []));
    expect(error.kind).toBe('deadline');
    server.onRequest = null;
    await test.repository.fetchRefs(['refs/heads/main']);
    await test.repository.check();
  });

  it('that loses its answer leaves an error, and the listing tells that the swap was applied', async () => {
    const test = open();
    await test.repository.fetchRefs(['refs/heads/main']);
    const next = await state(test, 'x');
    const ref = refName('refs/x/a');
    onKind('receive-pack', { kind: 'drop-reply' });
    expect((await failure(test.repository.swapRefs([{ ref, from: null, to: next }], []))).kind).toBe('network');
    expect((await test.repository.listRefs(['refs/x/'])).refs.get(ref)).toBe(next);
    server.onRequest = null;
    expect((await test.repository.swapRefs([{ ref, from: null, to: next }], [])).get(ref)?.kind).toBe('unclear');
  });

  it('is asked again when it comes back', async () => {
    const test = open({ retryAttempts: 5, retryBaseMs: 200 });
    await test.repository.fetchRefs(['refs/heads/main']);
    await server.down();
    const listing = test.repository.listRefs(['refs/heads/']);
    await expect.poll(() => test.named('git.retry').length).toBeGreaterThan(0);
    await server.up();
    expect((await listing).refs.get(MAIN)).toBe(tip);
    expect(test.named('git.retry')[0]?.fields).toMatchObject({ operation: 'ls-remote', kind: 'network', attempt: 1 });
  });

  it.each([
    ['seconds', 429, (): string => '2'],
    ['a date', 503, (): string => new Date(Date.now() + 2_000).toUTCString()],
  ] as const)('that asks for a pause in %s is left alone for so long, by every operation', async (_, status, asked) => {
    const test = open({ retryAttempts: 2, retryBaseMs: 10 });
    await test.repository.fetchRefs(['refs/heads/main']);
    const next = await state(test, 'x');
    const ref = refName('refs/x/a');
    const askedAtMs: number[] = [];
    let throttles = true;
    server.onRequest = ({ kind }): Misbehaviour | undefined => {
      askedAtMs.push(performance.now());
      if (kind !== 'receive-pack' || !throttles) return undefined;
      throttles = false;
      return { kind: 'status', status, headers: { 'Retry-After': asked() } };
    };
    const error = await failure(test.repository.swapRefs([{ ref, from: null, to: next }], []));
    expect(error.kind).toBe('throttled');
    // Whole seconds: a date may lie just across the next one.
    expect(error.retryAfterMs).toBeGreaterThanOrEqual(2_000);
    expect(error.retryAfterMs).toBeLessThanOrEqual(3_000);
    const before = askedAtMs.length;
    const toldAtMs = askedAtMs.at(-1) as number;
    expect((await test.repository.listRefs(['refs/x/'])).refs.size).toBe(0);
    expect((askedAtMs[before] as number) - toldAtMs).toBeGreaterThanOrEqual(2_000);
    expect((await test.repository.swapRefs([{ ref, from: null, to: next }], [])).get(ref)).toEqual({ kind: 'applied' });
  });

  it('is waited for no longer than the caller wants', async () => {
    const test = open();
    onKind('info-refs', { kind: 'status', status: 429, headers: { 'Retry-After': '60' } });
    await failure(test.repository.listRefs([]));
    const controller = new AbortController();
    const listing = failure(test.repository.listRefs([], controller.signal));
    controller.abort();
    expect((await listing).kind).toBe('aborted');
  });

  it('is not asked again for a swap, nor where only a person can help', async () => {
    const test = open({ retryAttempts: 5, retryBaseMs: 200 });
    await test.repository.fetchRefs(['refs/heads/main']);
    const next = await state(test, 'x');
    onKind('receive-pack', { kind: 'status', status: 503 });
    server.resetCounts();
    await failure(test.repository.swapRefs([{ ref: refName('refs/x/a'), from: null, to: next }], []));
    onKind('info-refs', { kind: 'status', status: 403 });
    await failure(test.repository.listRefs([]));
    expect(server.counts['receive-pack']).toBe(1);
    expect(test.named('git.retry')).toEqual([]);
  });

  it('stops waiting when asked to', async () => {
    const test = open({ retryAttempts: 5, retryBaseMs: 60_000 });
    await server.down();
    const controller = new AbortController();
    const listing = failure(test.repository.listRefs([], controller.signal));
    await expect.poll(() => test.named('git.retry').length).toBe(1);
    controller.abort();
    expect((await listing).kind).toBe('aborted');
  });

  it('with a ref that it cannot read is reported as damaged, not as empty', async () => {
    const test = open();
    await test.repository.fetchRefs(['refs/heads/main']);
    await git(path, ['update-ref', 'refs/x/zero', tip]);
    writeFileSync(`${path}/refs/x/zero`, '');
    expect(await failure(test.repository.listRefs(['refs/x/']))).toMatchObject({
      kind: 'corrupt-remote',
      message: expect.stringContaining('refs/x/zero') as string,
    });
    const next = await state(test, 'x');
    expect(
      (await failure(test.repository.swapRefs([{ ref: refName('refs/x/b'), from: null, to: next }], []))).kind,
    ).toBe('corrupt-remote');
  });
});

describe('a fetch that a push overtakes', () => {
  it.each(['moves', 'locks'] as const)('is made again when the push %s a ref that was fetched', async (what) => {
    const test = open();
    const ref = refName('refs/x/a');
    await test.repository.fetchRefs(['refs/heads/main']);
    const [first, second] = [await state(test, 'first'), await state(test, 'second')];
    await test.repository.swapRefs([{ ref, from: null, to: first }], []);
    // From another worker, so that this fetch has something to bring.
    const theirs = await commitFiles(path, { c: '3' });
    await git(path, ['update-ref', ref, theirs]);
    const mirror = dir.sub('clone', 'refs/remote/x/a');
    server.onRequest = async ({ kind, number }) => {
      // The second listing is that of the second try: by then the push is through.
      if (kind === 'ls-refs' && number === 2) rmSync(`${mirror}.lock`, { force: true });
      if (kind !== 'fetch' || number > 1) return undefined;
      if (what === 'moves') await git(dir.sub('clone'), ['update-ref', 'refs/remote/x/a', second]);
      else writeFileSync(`${mirror}.lock`, '');
      return undefined;
    };
    server.resetCounts();
    await test.repository.fetchRefs(['refs/heads/main', 'refs/x/*']);
    expect(server.counts['ls-refs']).toBe(2);
    expect(readFileSync(mirror, 'utf8').trim()).toBe(theirs);
  });

  it('is given up when the lock stays', async () => {
    const test = open();
    await test.repository.fetchRefs(['refs/heads/main']);
    await commitFiles(path, { c: '3' });
    writeFileSync(dir.sub('clone', 'refs/remote/heads/main.lock'), '');
    expect((await failure(test.repository.fetchRefs(['refs/heads/main']))).kind).toBe('corrupt-local');
  });
});

describe('what travels', () => {
  it('is one listing and one fetch for many refs, and one push for many swaps', async () => {
    const test = open();
    await test.repository.listRefs(['refs/heads/', 'refs/x/']);
    server.resetCounts();
    await test.repository.fetchRefs(['refs/heads/main', 'refs/x/*', 'refs/y/*']);
    expect(server.counts).toMatchObject({ 'ls-refs': 1, fetch: 1 });
    const swaps = await Promise.all(
      Array.from({ length: 30 }, async (_, at) => ({
        ref: refName(`refs/x/t${at}`),
        from: null,
        to: await state(test, `n${at}`),
      })),
    );
    server.resetCounts();
    const verdicts = await test.repository.swapRefs(swaps, []);
    expect([...verdicts.values()].every((verdict) => verdict.kind === 'applied')).toBe(true);
    expect(server.counts['receive-pack']).toBe(1);
  });

  it('lets exactly one of two workers win each ref', async () => {
    const workers = [open({}, 'one'), open({}, 'two')];
    const names = Array.from({ length: 50 }, (_, at) => refName(`refs/x/t${at}`));
    const claims = await Promise.all(
      workers.map(async (worker, who) => {
        await worker.repository.fetchRefs(['refs/heads/main']);
        return Promise.all(names.map((name) => state(worker, `${who} ${name}`)));
      }),
    );
    // Ten pushes each, five refs a push, the second worker from the other end.
    const outcomes = await Promise.all(
      workers.map(async (worker, who) => {
        const won = new Set<string>();
        const swaps = names.map((ref, at) => ({ ref, from: null, to: claims[who]?.[at] as Oid }));
        if (who === 1) swaps.reverse();
        for (let at = 0; at < swaps.length; at += 5) {
          for (const [ref, verdict] of await worker.repository.swapRefs(swaps.slice(at, at + 5), [])) {
            expect(['applied', 'rejected']).toContain(verdict.kind);
            if (verdict.kind === 'applied') won.add(ref);
          }
        }
        return won;
      }),
    );
    const { refs } = await (workers[0] as TestRepository).repository.listRefs(['refs/x/']);
    expect(refs.size).toBe(50);
    for (const [at, name] of names.entries()) {
      const winners = outcomes.map((won, who) => (won.has(name) ? who : -1)).filter((who) => who >= 0);
      expect(winners, name).toHaveLength(1);
      expect(refs.get(name)).toBe(claims[winners[0] ?? 0]?.[at]);
    }
  });
});

describe('secrets', () => {
  beforeEach(() => {
    server.auth = { user: 'me', token: TOKEN };
  });

  it('stay out of errors and events when they are wrong', async () => {
    const wrong = `${TOKEN}wrong`;
    const url = server.url('r').replace('http://', `http://me:${encodeURIComponent(wrong)}@`);
    for (const test of [open({ token: wrong }), openRepository({ url, path: dir.sub('clone'), home: dir.path })]) {
      const error = await failure(test.repository.listRefs([]));
      expect(error.kind).toBe('auth');
      const everything = JSON.stringify([
        test.events,
        error.message,
        error.stack,
        error.cause,
        (error.cause as Error).message,
      ]);
      expect(everything).not.toContain(TOKEN);
      expect(everything).not.toContain(encodeURIComponent(TOKEN));
    }
  });

  it('stay out of process lists and of the clone during a slow fetch and a slow push', async () => {
    const url = server.url('r').replace('http://', `http://me:${encodeURIComponent(TOKEN)}@`);
    const test = openRepository({ url, path: dir.sub('clone'), home: dir.path });
    const seen: string[] = [];
    server.onRequest = (request) => {
      if (request.kind !== 'fetch' && request.kind !== 'receive-pack') return undefined;
      const lines = allProcesses().map((entry) => entry.commandLine);
      if (lines.some((line) => line.includes('remote-http'))) seen.push(...lines);
      return { kind: 'delay', ms: 50 };
    };
    await test.repository.fetchRefs(['refs/heads/main']);
    const next = await state(test, 'x');
    await test.repository.swapRefs([{ ref: refName('refs/x/a'), from: null, to: next }], []);
    expect(seen.length).toBeGreaterThan(0);
    const secrets = [TOKEN, encodeURIComponent(TOKEN), Buffer.from(`me:${TOKEN}`).toString('base64')];
    const clone = await git(dir.sub('clone'), ['config', '--list', '--local']);
    for (const secret of secrets) {
      expect(seen.filter((line) => line.includes(secret))).toEqual([]);
      expect(clone + JSON.stringify(test.events)).not.toContain(secret);
    }
  });

  it('are read from their file each time', async () => {
    writeFileSync(dir.sub('token'), 'old\n');
    server.auth = { user: 'x-access-token', token: 'old' };
    const test = open({ tokenFile: dir.sub('token') });
    await test.repository.listRefs([]);
    server.auth = { user: 'x-access-token', token: 'new' };
    expect((await failure(test.repository.listRefs([]))).kind).toBe('auth');
    writeFileSync(dir.sub('token'), 'new\n');
    await test.repository.listRefs([]);
  });

  it("come from the operator's credential helper when there is one", async () => {
    writeFileSync(
      dir.sub('store'),
      `${server.url('r').replace('http://', `http://me:${encodeURIComponent(TOKEN)}@`)}\n`,
    );
    const test = open({ credentialHelper: `store --file=${dir.sub('store')}` });
    expect((await test.repository.listRefs(['refs/heads/'])).refs.get(MAIN)).toBe(tip);
  });

  it('are not shown where DEBUG asks simple-git to tell all', async () => {
    const script = `
      const { GitCommand } = await import(${JSON.stringify(new URL('../../src/git/git-command.ts', import.meta.url).href)});
      const { systemClock } = await import(${JSON.stringify(new URL('../../src/runtime.ts', import.meta.url).href)});
      const git = new GitCommand({ clock: systemClock, emit: () => {}, operatorEnv: { PATH: process.env.PATH } });
      await git.run(['version'], { cwd: '/', deadlineMs: 5000, environment: { variables: { DGRID_GIT_SECRET: 's3cret' }, config: [], secrets: ['s3cret'] } });
    `;
    const said = await new Promise<string>((resolve, reject) => {
      execFile(
        process.execPath,
        ['--input-type=module', '-e', script],
        { env: { ...process.env, DEBUG: '*' } },
        (error, out, err) => (error ? reject(error) : resolve(out + err)),
      );
    });
    expect(said).toContain('simple-git');
    expect(said).not.toContain('s3cret');
  });
});
