/**
 * Who may have a task run: forged, altered, moved and repeated signatures against a real worker that is told to run signed
 * tasks only, with keys and signatures by the real OpenSSH. Good ones wait between the bad ones, and all of them run.
 */
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RESULT_SIGNATURE_NAMESPACE } from '../../src/signing/names.ts';
import type { ResultRecord } from '../../src/task/result.ts';
import { git } from '../support/git.ts';
import { GitServer } from '../support/git-server.ts';
import { atScale } from '../support/scale.ts';
import { FOR_TASKS, GRID, SigningKeys, signedContent } from '../support/signing.ts';
import { StubWorkerProcess } from '../support/stub-worker-process.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';
import type { WorkerProcess } from '../support/worker-process.ts';

const EACH = atScale(3, 100);
const LIMIT_MS = atScale(120_000, 1_800_000);
const TASK = { script: 'exit 0' };
const DAY_MS = 86_400_000;
/** A bare expression in an expected object would match whatever is there. */
const like = (expression: RegExp): string => expect.stringMatching(expression) as string;
const iso = (ms: number): string => new Date(ms).toISOString();

let server: GitServer;
let directory: TempDir;
let keys: SigningKeys;
let trusted: string;
let revoked: string;

beforeAll(async () => {
  server = await GitServer.start();
  directory = makeTempDir('signatures');
  keys = new SigningKeys(join(directory.path, 'keys'));
  trusted = keys.trusted('trusted', {
    alice: FOR_TASKS,
    leaver: FOR_TASKS,
    old: `${FOR_TASKS},valid-before="20200101"`,
    early: `${FOR_TASKS},valid-after="20900101"`,
    node: `namespaces="${RESULT_SIGNATURE_NAMESPACE}"`,
  });
  revoked = keys.revoked('revoked', ['leaver']);
});

afterAll(async () => {
  await server.stop();
  directory.remove();
});

type Files = Readonly<Record<string, string>>;

const pathOf = (id: string): string => `tasks/queue/${id}.json`;

function signed(id: string, content: string, signer: string, namespace?: string): Files {
  return { [pathOf(id)]: content, [`${pathOf(id)}.sig`]: keys.sign(content, signer, namespace) };
}

/** What somebody tries, and what the record has to say of it. */
const FORGERIES: Readonly<Record<string, { files: (id: string) => Files; message: RegExp }>> = {
  unsigned: {
    files: (id) => ({ [pathOf(id)]: signedContent(id, TASK) }),
    message: /not signed/,
  },
  altered: {
    files: (id) => {
      const content = signedContent(id, TASK);
      return { ...signed(id, content, 'alice'), [pathOf(id)]: content.replace('exit 0', 'exit 1') };
    },
    message: /signature is not accepted/,
  },
  'one-space-more': {
    files: (id) => {
      const content = signedContent(id, TASK);
      return { ...signed(id, content, 'alice'), [pathOf(id)]: `${content} ` };
    },
    message: /signature is not accepted/,
  },
  'other-grid': {
    files: (id) => signed(id, signedContent(id, TASK, { grid: 'elsewhere.test/tasks' }), 'alice'),
    message: /admission\.grid: it was signed for "elsewhere\.test\/tasks", and this is "grid\.test\/tasks"/,
  },
  expired: {
    files: (id) => signed(id, signedContent(id, TASK, { expires_at: iso(Date.now() - 1_000) }), 'alice'),
    message: /admission\.expires_at: its signature expired/,
  },
  'not-yet-valid': {
    files: (id) => signed(id, signedContent(id, TASK, { not_before: iso(Date.now() + DAY_MS) }), 'alice'),
    message: /admission\.not_before/,
  },
  'for-ever': {
    files: (id) => signed(id, signedContent(id, TASK, { expires_at: iso(Date.now() + 90 * DAY_MS) }), 'alice'),
    message: /SIGNATURE_MAX_DAYS/,
  },
  'without-admission': {
    files: (id) => signed(id, `${JSON.stringify({ task_id: id, ...TASK })}\n`, 'alice'),
    message: /admission: is missing/,
  },
  revoked: { files: (id) => signed(id, signedContent(id, TASK), 'leaver'), message: /signature is not accepted/ },
  'key-expired': { files: (id) => signed(id, signedContent(id, TASK), 'old'), message: /no trusted key made it/ },
  'key-not-yet-valid': {
    files: (id) => signed(id, signedContent(id, TASK), 'early'),
    message: /no trusted key made it/,
  },
  'key-not-allowed': {
    files: (id) => signed(id, signedContent(id, TASK), 'mallory'),
    message: /no trusted key made it/,
  },
  'key-for-results': {
    files: (id) => signed(id, signedContent(id, TASK), 'node'),
    message: /signature is not accepted/,
  },
  'wrong-namespace': {
    files: (id) => signed(id, signedContent(id, TASK), 'alice', 'git'),
    message: /signature is not accepted/,
  },
  'signature-of-another': {
    files: (id) => ({
      [pathOf(id)]: signedContent(id, TASK),
      [`${pathOf(id)}.sig`]: keys.sign(signedContent('other', TASK), 'alice'),
    }),
    message: /signature is not accepted/,
  },
  'no-signature-at-all': {
    files: (id) => ({ [pathOf(id)]: signedContent(id, TASK), [`${pathOf(id)}.sig`]: 'trust me\n' }),
    message: /no trusted key made it/,
  },
  'huge-signature': {
    files: (id) => ({ [pathOf(id)]: signedContent(id, TASK), [`${pathOf(id)}.sig`]: 'A'.repeat(100_000) }),
    message: /signature has more than/,
  },
};

function start(name: string, repo: string, env: Record<string, string> = {}): WorkerProcess {
  return StubWorkerProcess.start({
    directory: directory.path,
    name,
    repoUrl: server.url(repo),
    env: {
      ENABLE_TASK_SIGNING: 'true',
      TRUSTED_KEYS_FILE: trusted,
      REVOKED_KEYS_FILE: revoked,
      GRID_NAME: GRID,
      MAX_PARALLEL_TASKS: '4',
      ...env,
    },
  });
}

async function recordsOf(repo: TaskRepository, ids: readonly string[]): Promise<(ResultRecord | null)[]> {
  return Promise.all(ids.map((id) => repo.record(id)));
}

async function emptied(repo: TaskRepository): Promise<void> {
  await until('the queue to be empty', async () => (await repo.queued()).length === 0, LIMIT_MS);
}

describe('a worker that runs signed tasks only', () => {
  it('runs all good ones and none of the others, and each record says why', { timeout: LIMIT_MS }, async () => {
    const repo = new TaskRepository(await server.createRepository('forged'));
    const good = Array.from({ length: EACH }, (_, index) => `good-${index}`);
    const bad = Object.keys(FORGERIES).flatMap((kind) =>
      Array.from({ length: EACH }, (_, index) => ({ id: `${kind}-${index}`, kind })),
    );
    const files = [
      ...good.map((id) => signed(id, signedContent(id, TASK), 'alice')),
      ...bad.map(({ id, kind }) => FORGERIES[kind]!.files(id)),
    ];
    await repo.commit(Object.assign({}, ...files));
    const worker = start('w', 'forged');
    await emptied(repo);
    for (const record of await recordsOf(repo, good)) {
      expect(record).toMatchObject({ status: 'success', signer: 'alice' });
    }
    const records = await recordsOf(
      repo,
      bad.map(({ id }) => id),
    );
    for (const [index, { id, kind }] of bad.entries()) {
      const record = records[index];
      expect(record, id).toMatchObject({ status: 'failed', reason: 'rejected', started_at: null });
      expect(record?.message, id).toMatch(FORGERIES[kind]!.message);
      expect(record, id).not.toHaveProperty('signer');
    }
    expect(worker.entries('task.started')).toHaveLength(good.length);
    // Signatures leave the queue with their tasks.
    expect((await repo.files()).filter((path) => path.startsWith('tasks/queue/'))).toEqual([]);
    expect(await worker.stop()).toBe(0);
  });

  it('runs a task under no other name', { timeout: LIMIT_MS }, async () => {
    const repo = new TaskRepository(await server.createRepository('renamed'));
    const ids = Array.from({ length: EACH }, (_, index) => `renamed-${index}`);
    const files = ids.map((id) => {
      const content = signedContent('original', TASK);
      return { [pathOf(id)]: content, [`${pathOf(id)}.sig`]: keys.sign(content, 'alice') };
    });
    await repo.commit(Object.assign({}, ...files));
    const worker = start('r', 'renamed');
    await emptied(repo);
    for (const record of await recordsOf(repo, ids)) {
      expect(record).toMatchObject({
        status: 'failed',
        reason: 'invalid-task',
        message: like(/task_id: is "original"/),
      });
    }
    expect(worker.entries('task.started')).toEqual([]);
    expect(await worker.stop()).toBe(0);
  });

  it('runs none again whose record was deleted, in this life or the next', { timeout: LIMIT_MS }, async () => {
    const repo = new TaskRepository(await server.createRepository('replayed'));
    const ids = Array.from({ length: EACH }, (_, index) => `once-${index}`);
    const files: Files = Object.assign({}, ...ids.map((id) => signed(id, signedContent(id, TASK), 'alice')));
    const again: Record<string, string | null> = {
      ...files,
      ...Object.fromEntries(
        ids.flatMap((id) => ['completed', 'failed'].map((dir) => [`tasks/${dir}/${id}.json`, null])),
      ),
    };
    await repo.commit(files);
    const first = start('p', 'replayed');
    await emptied(repo);
    expect(first.entries('task.started')).toHaveLength(ids.length);
    const refsGone = async () => (await repo.refs('refs/dgrid/tasks/')).length === 0;
    await until('the refs to be gone', refsGone, LIMIT_MS);
    await repo.commit(again, 'put back');
    await emptied(repo);
    for (const record of await recordsOf(repo, ids)) {
      expect(record).toMatchObject({ status: 'failed', reason: 'rejected', message: like(/admission\.nonce/) });
    }
    expect(first.entries('task.started')).toHaveLength(ids.length);
    expect(await first.stop()).toBe(0);

    // Now with a forged past, so that the epoch of the next claim is high, and after a restart.
    await repo.commit(again, 'put back once more');
    for (const id of ids) await forgeWaiting(repo, id);
    const second = start('p', 'replayed');
    await emptied(repo);
    for (const record of await recordsOf(repo, ids)) {
      expect(record).toMatchObject({ status: 'failed', reason: 'rejected', message: like(/admission\.nonce/) });
    }
    expect(second.entries('task.started')).toEqual([]);
    expect(await second.stop()).toBe(0);
  });

  it('still tries a task again that failed', { timeout: LIMIT_MS }, async () => {
    const repo = new TaskRepository(await server.createRepository('retried'));
    await repo.commit(signed('again', signedContent('again', { script: 'exit 7', retries: 1 }), 'alice'));
    const worker = start('t', 'retried');
    await emptied(repo);
    expect(await repo.record('again')).toMatchObject({ reason: 'exit-code', attempt: 2, signer: 'alice' });
    expect(await worker.stop()).toBe(0);
  });

  it('blames no task when it cannot check, and goes on when it can', { timeout: LIMIT_MS }, async () => {
    const repo = new TaskRepository(await server.createRepository('unable'));
    const own = join(directory.path, 'own-trusted');
    writeFileSync(own, `alice ${FOR_TASKS} ${keys.publicKey('alice')}\n`);
    chmodSync(own, 0o666);
    await repo.commit(signed('waits', signedContent('waits', TASK), 'alice'));
    const worker = start('u', 'unable', { TRUSTED_KEYS_FILE: own });
    const told = await worker.logged('signing.unavailable', undefined, LIMIT_MS);
    expect(JSON.stringify(told)).toContain('may be written by anybody');
    expect(await repo.record('waits')).toBeNull();
    expect(await repo.queued()).toHaveLength(1);
    await worker.stop();
    chmodSync(own, 0o644);
    const mended = start('u', 'unable', { TRUSTED_KEYS_FILE: own });
    await emptied(repo);
    expect(await repo.record('waits')).toMatchObject({ status: 'success' });
    expect(await mended.stop()).toBe(0);
  });
});

describe('a worker that knows trusted keys and demands no signature', () => {
  it('runs unsigned tasks, and still refuses bad signatures', { timeout: LIMIT_MS }, async () => {
    const repo = new TaskRepository(await server.createRepository('optional'));
    await repo.commit({
      ...FORGERIES['altered']!.files('altered'),
      ...signed('good', signedContent('good', TASK), 'alice'),
      [pathOf('plain')]: `${JSON.stringify({ task_id: 'plain', ...TASK })}\n`,
    });
    const worker = start('o', 'optional', { ENABLE_TASK_SIGNING: 'false' });
    await emptied(repo);
    expect(await repo.record('altered')).toMatchObject({ reason: 'rejected' });
    expect(await repo.record('good')).toMatchObject({ status: 'success', signer: 'alice' });
    expect(await repo.record('plain')).toMatchObject({ status: 'success' });
    expect(await worker.stop()).toBe(0);
  });
});

/** A state as whoever can write to the repository can make one: a task that waits, with a long past. */
async function forgeWaiting(repo: TaskRepository, id: string): Promise<void> {
  const tree = await git(repo.path, ['mktree'], { input: Buffer.alloc(0) });
  const blob = await git(repo.path, ['rev-parse', `${repo.ref}:${pathOf(id)}`]);
  const facts = {
    Format: 1,
    Kind: 'task',
    State: 'waiting',
    Task: id,
    Node: 'mallory',
    Incarnation: 'forged',
    Epoch: 1_000,
    Attempt: 1,
    Failures: 0,
    Takeovers: 0,
    Spec: blob,
    Nonce: `forged-${id}`,
    'Wait-Reason': 'handed-back',
    'Delay-Ms': 0,
  };
  const trailers = Object.entries(facts).map(([name, value]) => `DGrid-${name}: ${value}\n`);
  const commit = await git(repo.path, ['commit-tree', tree], { input: Buffer.from(`forged\n\n${trailers.join('')}`) });
  await git(repo.path, ['update-ref', `refs/dgrid/tasks/${id}`, commit]);
}
