/**
 * Git processes that are killed before their n-th write, link or rename, on the worker's side and on the server's: nothing
 * that was reported is untrue, and the next operation finds its way.
 */
import { existsSync, globSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GitError } from '../../src/git/errors.ts';
import { type GitObject, makeBlob, makeCommit, makeTree } from '../../src/git/objects.ts';
import { type Oid, oid, type RefName, refName } from '../../src/git/oid.ts';
import type { EventName } from '../../src/observe/events.ts';
import { systemClock } from '../../src/runtime.ts';
import { expectNoViolations } from '../support/broken-rule.ts';
import { commitFiles, git } from '../support/git.ts';
import { type DeadlyCalls, GitKiller, type KillPlan } from '../support/git-killer.ts';
import { GitServer } from '../support/git-server.ts';
import { judge } from '../support/oracle/judge.ts';
import { ServerHistory } from '../support/oracle/server-history.ts';
import { WorkerHistory } from '../support/oracle/worker-history.ts';
import { openRepository, type TestRepository } from '../support/repository.ts';
import { atScale } from '../support/scale.ts';
import { StubWorkerProcess } from '../support/stub-worker-process.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { until } from '../support/until.ts';

const MAIN = refName('refs/heads/main');
/** At the small scale only some of the calls are tried. */
const LAST_CALL = atScale(13, 60);
const STEP = atScale(4, 1);
/** So many calls after the last one that killed somebody are tried before it is believed that there are no more. */
const PATIENCE = 3;

let dir: TempDir;
let server: GitServer;
let path: string;
let killer: GitKiller;
let count: number;
beforeEach(async () => {
  dir = makeTempDir('killed-git');
  server = await GitServer.start();
  path = await server.createRepository('r');
  await commitFiles(path, { a: '1' });
  killer = new GitKiller(dir.sub('killer'));
  count = 0;
});
afterEach(async () => {
  await server.stop();
  dir.remove();
});

function open(): TestRepository {
  const env = { PATH: `${killer.path}:${process.env['PATH'] ?? ''}` };
  return openRepository({ url: server.url('r'), path: dir.sub('clone'), home: dir.path, env });
}

/** Some new objects, none of them written yet. */
function state(files = 2): { commit: Oid; objects: GitObject[] } {
  count += 1;
  const blobs = Array.from({ length: files }, (_, at) => makeBlob(`${count} ${at} ${'x'.repeat(200)}`, 'sha1'));
  const tree = makeTree(
    blobs.map((blob, at) => ({ mode: '100644', name: `f${String(at).padStart(4, '0')}`, oid: blob.oid })),
    'sha1',
  );
  const who = { name: 'Worker', email: 'w@example.org', seconds: 1_700_000_000 };
  const commit = makeCommit(
    { tree: tree.oid, parents: [], author: who, committer: who, message: `state ${count}\n` },
    'sha1',
  );
  return { commit: commit.oid, objects: [...blobs, tree, commit] };
}

interface Tally {
  rounds: number;
  killed: number;
  /** Operations that failed, were right after all, and needed a new clone afterwards. */
  failed: number;
  rebuilt: number;
}

/** What the agent does: a clone that is said to be damaged is replaced, once, before the next operation. */
async function recovering<T>({ repository }: TestRepository, tally: Tally, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof GitError) || error.kind !== 'corrupt-local') throw error;
    tally.rebuilt += 1;
    await repository.rebuild(error.message);
    return action();
  }
}

/** One round for each call of each kind that kills somebody. */
async function everyCall(
  operation: string,
  round: (test: TestRepository, tally: Tally, plan: KillPlan) => Promise<void>,
): Promise<Tally> {
  const tally: Tally = { rounds: 0, killed: 0, failed: 0, rebuilt: 0 };
  const test = open();
  await test.repository.fetchRefs([MAIN, 'refs/x/*']);
  for (const calls of ['name', 'write'] satisfies DeadlyCalls[]) {
    let spared = 0;
    for (let at = 1; at <= LAST_CALL && spared < PATIENCE; at += STEP) {
      const before = killer.killed();
      await round(test, tally, { operation, calls, at });
      killer.spare();
      const killed = killer.killed() - before;
      spared = killed === 0 ? spared + 1 : 0;
      tally.rounds += 1;
      tally.killed += killed;
      // Whatever it left behind does not hold up what comes next.
      const next = oid(await commitFiles(path, { next: String(tally.rounds + at) }));
      await recovering(test, tally, () => test.repository.fetchRefs([MAIN, 'refs/x/*']));
      expect((await test.repository.readObjects([next])).get(next)?.type).toBe('commit');
      const { commit, objects } = state();
      await recovering(test, tally, () => test.repository.writeObjects(objects));
      const ref = refName(`refs/x/after-${operation}-${calls}-${at}`);
      const verdicts = await recovering(test, tally, async () => {
        await test.repository.writeObjects(objects);
        return test.repository.swapRefs([{ ref, from: null, to: commit }], []);
      });
      expect(verdicts.get(ref)).toEqual({ kind: 'applied' });
      await test.repository.check();
    }
  }
  expect(tally.killed).toBeGreaterThanOrEqual(2);
  // What a killed git leaves is cleared away; that is no reason to fetch everything anew.
  expect(tally.rebuilt).toBe(0);
  return tally;
}

async function remoteRefs(): Promise<Map<RefName, Oid>> {
  const lines = (await git(path, ['for-each-ref', '--format=%(objectname) %(refname)'])).split('\n');
  return new Map(lines.map((line) => [refName(line.slice(41)), oid(line.slice(0, 40))]));
}

function tell(what: string, { failed, killed, rebuilt, rounds }: Tally): void {
  console.info(`killed git ${what}: ${rounds} rounds, ${killed} killed, ${failed} failed, ${rebuilt} clones replaced`);
}

describe('a git of the worker that is killed', { timeout: atScale(120_000, 1_200_000) }, () => {
  it('as it fetches says so, or has fetched', async () => {
    const tally = await everyCall('fetch', async ({ repository }, counts, plan) => {
      const tip = oid(
        await commitFiles(path, { f: `${plan.calls} ${plan.at} ${'y'.repeat(300)}`, [`g${plan.at}`]: 'g' }),
      );
      await git(path, ['update-ref', `refs/x/${plan.calls}${plan.at}`, tip]);
      killer.kill(plan);
      const fetched = await repository.fetchRefs([MAIN, 'refs/x/*']).then(() => true, isGitError);
      killer.spare();
      if (!fetched) counts.failed += 1;
      else expect((await repository.readObjects([tip])).get(tip)?.type).toBe('commit');
    });
    tell('fetch', tally);
  });

  it('as it pushes claims nothing that is not so', async () => {
    const tally = await everyCall('push', async ({ repository }, counts, plan) => {
      const swaps = Array.from({ length: 3 }, (_, at) => ({
        ref: refName(`refs/x/push-${plan.calls}-${plan.at}-${at}`),
        from: null,
        ...state(),
      }));
      await repository.writeObjects(swaps.flatMap(({ objects }) => objects));
      killer.kill(plan);
      const verdicts = await repository
        .swapRefs(
          swaps.map(({ ref, from, commit }) => ({ ref, from, to: commit })),
          [],
        )
        .catch((error: unknown) => isGitError(error) || null);
      killer.spare();
      if (!verdicts) counts.failed += 1;
      const there = await remoteRefs();
      for (const { ref, commit } of swaps) {
        const kind = verdicts?.get(ref)?.kind ?? 'unclear';
        // Nobody else moved these refs, and the host forbade nothing.
        expect(['applied', 'unclear']).toContain(kind);
        if (kind === 'applied') expect(there.get(ref)).toBe(commit);
      }
    });
    tell('push', tally);
  });

  it.each([
    ['unpack-objects', 4],
    ['index-pack', 150],
  ])('as it writes objects (%s) has written all that it says it has', async (operation, files) => {
    const tally = await everyCall(operation, async ({ repository }, counts, plan) => {
      const { objects } = state(files);
      killer.kill(plan);
      const written = await repository.writeObjects(objects).then(() => true, isGitError);
      killer.spare();
      if (!written) counts.failed += 1;
      else expect((await repository.readObjects(objects.map((object) => object.oid))).size).toBe(objects.length);
      await repository.writeObjects(objects);
      const found = await repository.readObjects(objects.map((object) => object.oid));
      expect(objects.filter((object) => !found.get(object.oid)?.content.equals(object.content))).toEqual([]);
    });
    tell(operation, tally);
  });

  it('as it cleans up has thrown nothing away that is needed', async () => {
    const tally = await everyCall('gc', async ({ repository }, counts, plan) => {
      const { commit, objects } = state(20);
      await repository.writeObjects(objects);
      const tip = oid(await commitFiles(path, { gc: `${plan.calls} ${plan.at}` }));
      await repository.fetchRefs([MAIN, 'refs/x/*']);
      killer.kill(plan);
      const cleaned = await repository.upkeep().then(() => true, isGitError);
      killer.spare();
      if (!cleaned) counts.failed += 1;
      // Written, and not sent yet.
      const found = await repository.readObjects([tip, commit, ...objects.map((object) => object.oid)]);
      expect(found.size).toBe(objects.length + 1);
      await repository.upkeep();
    });
    tell('gc', tally);
    expect(existsSync(dir.sub('clone', 'gc.pid'))).toBe(false);
  });
});

const WORKER_COMMANDS = ['ls-remote', 'fetch', 'push', 'unpack-objects', 'cat-file'];
const KILLED = atScale(8, 200);
const NEXT_PLAN_MS = 400;
/** Longer than a push takes: no lock that old has an owner that lives. */
const LOCK_AGE_MS = 3_000;
/** A busy machine is slow, and that is no fault. */
const SETTLE_MS = 120_000;
const WRONG: readonly EventName[] = ['node.fenced', 'node.dead', 'task.fenced', 'task.taken-over', 'record.refused'];

/** What a host's own housekeeping does now and then: a server that was killed leaves its locks. */
function removeLocks(ageMs: number): void {
  for (const name of globSync('refs/**/*.lock', { cwd: path })) {
    const lock = join(path, name);
    const found = statSync(lock, { throwIfNoEntry: false });
    if (found && Date.now() - found.mtimeMs >= ageMs) rmSync(lock, { force: true });
  }
}

describe('workers', { timeout: atScale(180_000, 1_800_000) }, () => {
  it.each(['their own git', "the server's git"])('go through their queue while %s is killed', async (whose) => {
    const own = whose === 'their own git';
    await using host = await GitServer.start(own ? {} : { backendPath: killer.path });
    path = await host.createRepository('grid');
    const repo = new TaskRepository(path);
    await repo.queue({});
    const history = await ServerHistory.install(path);
    const env = {
      GIT_COMMAND_TIMEOUT: '20',
      RETRY_ATTEMPTS: '6',
      RETRY_BASE_SECONDS: '0.05',
      PULL_INTERVAL: '1',
      RECORD_DELAY: '0.3',
      HEARTBEAT_INTERVAL: '2',
      NODE_TTL: '600',
      MAX_PARALLEL_TASKS: '3',
      // Only the git command starts processes that could be killed.
      ...(own ? { GIT_TRANSPORT: 'command', PATH: `${killer.path}:${process.env['PATH'] ?? ''}` } : {}),
    };
    const workers = ['a', 'b'].map((name) =>
      StubWorkerProcess.start({ directory: dir.sub(`workers-${own}`), name, repoUrl: host.url('grid'), env }),
    );
    try {
      await Promise.all(workers.map((worker) => worker.logged('worker.ready', undefined, SETTLE_MS)));
      const ids: string[] = [];
      const finished = (): number =>
        workers.reduce((sum, worker) => sum + worker.entries('result.acknowledged').length, 0);
      for (let round = 0; killer.killed() < KILLED; round += 1) {
        const operation = own ? (WORKER_COMMANDS[round % WORKER_COMMANDS.length] as string) : 'http-backend';
        killer.kill({ operation, calls: round % 3 === 0 ? 'write' : 'name', at: 1 + (round % 7) });
        if (ids.length - finished() < 4) {
          const more = Array.from({ length: 4 }, (_, at) => `t${ids.length + at}`);
          await repo.queue(Object.fromEntries(more.map((id) => [id, { script: 'sleep 100' }])));
          ids.push(...more);
        }
        await systemClock.sleep(NEXT_PLAN_MS);
        removeLocks(LOCK_AGE_MS);
      }
      killer.spare();
      const startMs = performance.now();
      await until(
        'the results',
        () => {
          removeLocks(LOCK_AGE_MS);
          return finished() >= ids.length;
        },
        SETTLE_MS,
      );
      await until('the records', async () => (await repo.queued()).length === 0, SETTLE_MS);
      await until('the refs to go', async () => (await repo.refs('refs/dgrid/tasks/')).length === 0, SETTLE_MS);
      const settledMs = Math.round(performance.now() - startMs);
      expect(await Promise.all(workers.map((worker) => worker.stop()))).toEqual([0, 0]);
      const told = new WorkerHistory();
      for (const worker of workers) told.take(worker.name, worker.log);
      const verdict = await judge(history, told, { settled: true });
      expectNoViolations(verdict.violations);
      expect(verdict.figures.records).toBe(ids.length);
      const wrong = workers.flatMap((worker) => worker.log).filter(({ event }) => WRONG.includes(event));
      expect(wrong).toEqual([]);
      const damaged = workers.flatMap((worker) => worker.entries('clone.damaged'));
      console.info(
        `killed git of ${own ? 'workers' : 'the server'}: ${killer.killed()} killed, ${ids.length} tasks, ` +
          `${verdict.figures.startedMoreThanOnce} started twice, ${damaged.length} clones replaced, settled in ${settledMs} ms`,
      );
    } finally {
      for (const worker of workers) await worker.stop('SIGKILL');
    }
  });
});

/** False for a failure of Git; anything else is thrown. */
function isGitError(error: unknown): false {
  if (error instanceof GitError) return false;
  throw error;
}
