/**
 * What a crash leaves in a repository on the server: ref files without an id, refs to objects that are gone, lock files, a
 * packed-refs cut off in the middle. The worker names it with the remedy, lives on, does what is still possible, and goes on by
 * itself when it is mended. `doctor` names it too.
 */
import { appendFileSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { git } from '../support/git.ts';
import { GitServer } from '../support/git-server.ts';
import { atScale } from '../support/scale.ts';
import { StubWorkerProcess } from '../support/stub-worker-process.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { testSeed } from '../support/test-seed.ts';
import { until } from '../support/until.ts';
import type { WorkerProcess } from '../support/worker-process.ts';

const MEND_BOUND_MS = 60_000;
const GONE = '1'.repeat(40);

let dir: TempDir;
let server: GitServer;
const tried: string[] = [];
const recoveryMs: number[] = [];

beforeAll(async () => {
  dir = makeTempDir('broken-refs');
  server = await GitServer.start();
});
afterAll(async () => {
  await server.stop();
  dir.remove();
  console.info(
    `broken refs on the server: ${tried.length} kinds, slowest record after mending ${Math.round(Math.max(0, ...recoveryMs))} ms`,
  );
});

interface Broken {
  name: string;
  /** In the repository on the server. @returns how to undo it. */
  break: (path: string) => () => void;
  /** What the worker has to say, and a word that has to be in it. */
  told: { event: 'remote.broken' | 'ref.locked' | 'poll.failed'; names: string };
  /** Whether other tasks can be worked on meanwhile. */
  works: boolean;
}

function file(name: string, content: string): (path: string) => () => void {
  return (path) => {
    const full = join(path, name);
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, content);
    return () => rmSync(full, { force: true });
  };
}

const KINDS: readonly Broken[] = [
  {
    name: 'an empty task ref',
    break: file('refs/dgrid/tasks/broken', ''),
    told: { event: 'remote.broken', names: 'refs/dgrid/tasks/broken' },
    works: false,
  },
  {
    name: 'garbage in a branch that is not ours',
    break: file('refs/heads/other', 'garbage\n'),
    told: { event: 'remote.broken', names: 'refs/heads/other' },
    works: false,
  },
  {
    name: 'a tag whose object is gone',
    break: file('refs/tags/v1', `${GONE}\n`),
    told: { event: 'remote.broken', names: 'refs/tags/v1' },
    works: false,
  },
  {
    name: 'a task ref whose object is gone',
    break: file('refs/dgrid/tasks/gone', `${GONE}\n`),
    told: { event: 'remote.broken', names: 'refs/dgrid/tasks/gone' },
    works: false,
  },
  {
    name: 'a stale lock on a queued task',
    break: file('refs/dgrid/tasks/second.lock', ''),
    told: { event: 'ref.locked', names: 'refs/dgrid/tasks/second.lock' },
    works: true,
  },
  {
    name: 'a stale lock on the branch',
    break: file('refs/heads/main.lock', ''),
    told: { event: 'ref.locked', names: 'refs/heads/main.lock' },
    works: true,
  },
  {
    name: 'a packed-refs with a line that is none',
    break: (path) => {
      const packed = join(path, 'packed-refs');
      const before = readFileSync(packed);
      appendFileSync(packed, 'zzz\n');
      return () => writeFileSync(packed, before);
    },
    told: { event: 'poll.failed', names: 'packed-refs' },
    works: false,
  },
  {
    name: 'a packed-refs that is cut off',
    break: (path) => {
      const packed = join(path, 'packed-refs');
      const before = readFileSync(packed);
      truncateSync(packed, before.length - 10);
      return () => writeFileSync(packed, before);
    },
    told: { event: 'poll.failed', names: 'packed-refs' },
    works: false,
  },
];

function polls(worker: WorkerProcess): number {
  return (['poll.failed', 'poll.skipped', 'poll.pulling'] as const).flatMap((event) => worker.entries(event)).length;
}

function start(name: string, repoUrl: string): WorkerProcess {
  return StubWorkerProcess.start({
    directory: dir.path,
    name,
    repoUrl,
    env: {
      PULL_INTERVAL: '0.3',
      HEARTBEAT_INTERVAL: '1',
      NODE_TTL: '20',
      RECORD_DELAY: '0.1',
      RETRY_BASE_SECONDS: '0.1',
    },
  });
}

const WAYS = ['file', 'http'] as const;
const ALL = KINDS.flatMap((kind) => WAYS.map((way) => ({ kind, way, what: kind.name })));
const COUNT = atScale(2, ALL.length);
/** Others each time; steps of 5 go through all 16, and change the way with each. */
const OFFSET = testSeed() % ALL.length;
const CHOSEN = Array.from({ length: COUNT }, (_, at) => ALL[(OFFSET + 5 * at) % ALL.length] as (typeof ALL)[number]);

describe('a server with', () => {
  it.each(CHOSEN)('$what is named, lived with and got over, over $way', { timeout: 150_000 }, async ({ kind, way }) => {
    const name = `k${KINDS.indexOf(kind)}-${way}`;
    const path = await server.createRepository(name);
    const repo = new TaskRepository(path);
    await repo.commit({ 'README.md': 'x' }, 'begin');
    await git(path, ['pack-refs', '--all']);
    await using worker = start(name, way === 'file' ? path : server.url(name));
    await worker.logged('worker.ready');
    await repo.queue({ first: { script: 'exit 0' } });
    await until('the first record', async () => (await repo.record('first')) !== null, MEND_BOUND_MS);
    // It must not get to them before they are broken.
    worker.child.kill('SIGSTOP');
    await repo.queue({ second: { script: 'exit 0' }, third: { script: 'exit 0' } });
    const mend = kind.break(path);
    const before = polls(worker);
    worker.child.kill('SIGCONT');
    const told = await worker.logged(kind.told.event, (entry) => JSON.stringify(entry).includes(kind.told.names));
    expect(JSON.stringify(told)).toMatch(/on the host|in the repository/);
    if (kind.works) {
      // Everything but what is locked: the third task has its result, in its ref or recorded.
      await until('the third result', () => worker.entries('task.finished').some(({ task }) => task === 'third'));
    }
    await until('some more polls', () => polls(worker) >= before + 6, 30_000);
    expect(worker.ended).toBe(false);
    mend();
    const mendedMs = performance.now();
    for (const id of ['second', 'third']) {
      await until(`the record of ${id}`, async () => (await repo.record(id)) !== null, MEND_BOUND_MS).catch((error) => {
        throw new Error(`${String(error)}\n${worker.output.slice(-8_000)}`, { cause: error });
      });
      expect(await repo.record(id)).toMatchObject({ status: 'success', stdout: `ran ${id}\n` });
    }
    recoveryMs.push(performance.now() - mendedMs);
    if (kind.told.event === 'remote.broken') await worker.logged('remote.mended');
    expect(await worker.stop()).toBe(0);
    tried.push(`${kind.name} ${way}`);
  });
});

describe('a worker that starts', () => {
  const STARTS: readonly Broken[] = [
    {
      name: 'an empty ref',
      break: file('refs/dgrid/tasks/broken', ''),
      told: { event: 'remote.broken', names: 'refs/dgrid/tasks/broken' },
      works: false,
    },
    {
      name: 'a stale lock on its own ref',
      break: file('refs/dgrid/nodes/own-lock.lock', ''),
      told: { event: 'ref.locked', names: 'refs/dgrid/nodes/own-lock.lock' },
      works: false,
    },
  ];

  it.each(STARTS.slice(-atScale(1, STARTS.length)))(
    'on a server with $name waits, and takes no other namespace',
    async (kind) => {
      const name = kind.told.event === 'ref.locked' ? 'own-lock' : 'empty';
      const path = await server.createRepository(name);
      const repo = new TaskRepository(path);
      await repo.queue({ task: { script: 'exit 0' } });
      const mend = kind.break(path);
      await using worker = start(name, server.url(name));
      const told = await worker.logged(kind.told.event, (entry) => JSON.stringify(entry).includes(kind.told.names));
      expect(JSON.stringify(told)).toMatch(/on the host|in the repository/);
      await until('another try', () => worker.entries('poll.failed').length >= 2, 30_000);
      mend();
      await until('the record', async () => (await repo.record('task')) !== null, MEND_BOUND_MS);
      expect(worker.entries('namespace.fallback')).toEqual([]);
      expect(await repo.refs('refs/heads/dgrid/')).toEqual([]);
      expect(await worker.stop()).toBe(0);
    },
  );
});
