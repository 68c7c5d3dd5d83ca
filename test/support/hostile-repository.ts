/** A real repository that hostile writers write into, a server in front of it, and workers on it. */
import { type GitObject, makeCommit, makeObject, makeTree } from '../../src/git/objects.ts';
import type { Oid } from '../../src/git/oid.ts';
import { writePack } from '../../src/git/pack.ts';
import { git } from './git.ts';
import { GitServer } from './git-server.ts';
import { MAX_GROWTH_MIB, peakMemoryMib, residentMib } from './peak-memory.ts';
import { atScale } from './scale.ts';
import { StubWorkerProcess } from './stub-worker-process.ts';
import { TaskRepository } from './task-repository.ts';
import { makeTempDir, type TempDir } from './temp.ts';
import { until } from './until.ts';
import type { WorkerProcess } from './worker-process.ts';

/** How workers reach it. */
export const ALL_WAYS = ['http', 'file'] as const;
export const WAYS = ALL_WAYS.slice(0, atScale(1, 2));
export type Way = (typeof ALL_WAYS)[number];
export const BOUND_MS = atScale(60_000, 600_000);
export const EMPTY = makeTree([], 'sha1');
const NOBODY = { name: 'nobody', email: 'nobody@example.org', seconds: 1_700_000_000 };

/** @param message anything at all */
export function commitOf(message: string | Buffer, tree: Oid = EMPTY.oid, parents: Oid[] = []): GitObject {
  const head = makeCommit({ tree, parents, author: NOBODY, committer: NOBODY, message: '' }, 'sha1').content;
  return makeObject('commit', Buffer.concat([head, Buffer.from(message)]), 'sha1');
}

export class HostileRepository {
  readonly dir: TempDir;
  readonly path: string;
  readonly repo: TaskRepository;
  readonly #server: GitServer;

  private constructor(dir: TempDir, server: GitServer, path: string) {
    this.dir = dir;
    this.#server = server;
    this.path = path;
    this.repo = new TaskRepository(path);
  }

  static async make(): Promise<HostileRepository> {
    const server = await GitServer.start();
    const path = await server.createRepository('r');
    await git(path, ['config', 'uploadpack.allowFilter', 'true']);
    const made = new HostileRepository(makeTempDir('hostile-repository'), server, path);
    await made.repo.commit({ 'README.md': 'x' }, 'begin');
    return made;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop();
    this.dir.remove();
  }

  start(way: Way): WorkerProcess {
    return StubWorkerProcess.start({
      directory: this.dir.path,
      name: 'a',
      repoUrl: way === 'file' ? this.path : this.#server.url('r'),
      env: {
        PULL_INTERVAL: '0.3',
        HEARTBEAT_INTERVAL: '1',
        NODE_TTL: '300',
        RECORD_DELAY: '0.2',
        RETRY_BASE_SECONDS: '0.1',
        MAX_PARALLEL_TASKS: '8',
        GIT_COMMAND_TIMEOUT: '60',
      },
    });
  }

  /** Stores objects as they are, whatever is wrong with them. */
  async store(objects: readonly GitObject[]): Promise<void> {
    const distinct = [...new Map(objects.map((object) => [object.oid, object])).values()];
    await git(this.path, ['unpack-objects', '-q'], { input: writePack(distinct, 'sha1') });
  }

  async setRefs(refs: Readonly<Record<string, string>>): Promise<void> {
    const lines = Object.entries(refs).map(([ref, oid]) => `update ${ref} ${oid}\n`);
    await git(this.path, ['update-ref', '--stdin'], { input: lines.join('') });
  }

  async tip(): Promise<Oid> {
    return (await git(this.path, ['rev-parse', 'main'])) as Oid;
  }

  async recorded(worker: WorkerProcess, ...ids: string[]): Promise<void> {
    for (const id of ids) {
      await until(`the record of ${id}`, async () => (await this.repo.record(id)) !== null, BOUND_MS).catch(
        (error: unknown) => {
          throw new Error(`${String(error)}\n${worker.output.slice(-6_000)}`, { cause: error });
        },
      );
    }
  }
}

/** @returns what it holds before anything has happened, in MiB */
export async function ready(worker: WorkerProcess): Promise<number> {
  await worker.logged('worker.ready', undefined, BOUND_MS);
  return residentMib(worker.pid);
}

/** @returns for people, what it has held since. @throws Error when that is too much */
export function growthOf(worker: WorkerProcess, idleMib: number): string {
  const grown = peakMemoryMib(worker.pid) - idleMib;
  const figure = `${Math.round(idleMib)} + ${Math.round(grown)} MiB`;
  if (grown > MAX_GROWTH_MIB) throw new Error(`the worker took too much memory: ${figure}`);
  return figure;
}
