/** A task repository of its own, with the nodes that work on it, for one death and what comes after it. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { gridIdOf } from '../../src/executor/docker/grid-id.ts';
import { systemRandomHex } from '../../src/runtime.ts';
import { CRASH_HOOKS, CRASH_VARIABLE, type CrashPlan, crashMarker } from './crash-plan.ts';
import type { PrivateEngine } from './engine.ts';
import { git } from './git.ts';
import type { GitRequest, GitServer } from './git-server.ts';
import type { Misbehaviour } from './misbehaviour.ts';
import type { Violation } from './oracle/check.ts';
import { judge } from './oracle/judge.ts';
import { ServerHistory } from './oracle/server-history.ts';
import { WorkerHistory } from './oracle/worker-history.ts';
import { TaskRepository } from './task-repository.ts';
import { until } from './until.ts';
import { WorkerProcess } from './worker-process.ts';

/** As short as the rules between the settings and a busy machine allow. */
export const TTL_MS = 5_000;
/** For one life, and for all that is waited for in it: a busy machine is slow, and a dead one is not. */
export const LIFE_LIMIT_MS = 150_000;

const WORKER = join(import.meta.dirname, 'crashing-worker.ts');
const CLIENT = join(import.meta.dirname, 'crashing-client.ts');

export interface CrashSiteParts {
  server: GitServer;
  engine: PrivateEngine;
  /** A directory of the test's, for all sites. */
  directory: string;
  /** Unique; part of the node ids. */
  name: string;
  env?: Readonly<Record<string, string>>;
}

export type Death = Omit<CrashPlan, 'repository'>;

export class CrashSite {
  readonly repo: TaskRepository;
  /** Asked before each request to this repository. */
  onRequest: ((request: GitRequest) => Promise<Misbehaviour | undefined>) | null = null;
  readonly #parts: CrashSiteParts;
  readonly #nodes = new Set<string>();
  readonly #history: ServerHistory;
  readonly #processes: WorkerProcess[] = [];
  #deathMs = Number.NaN;

  private constructor(parts: CrashSiteParts, repositoryPath: string, history: ServerHistory) {
    this.#parts = parts;
    this.repo = new TaskRepository(repositoryPath);
    this.#history = history;
  }

  static async make(parts: CrashSiteParts): Promise<CrashSite> {
    const path = await parts.server.createRepository(parts.name);
    return new CrashSite(parts, path, await ServerHistory.install(path));
  }

  /** Of all sites of the test. */
  get directory(): string {
    return this.#parts.directory;
  }

  get url(): string {
    return this.#parts.server.url(this.#parts.name);
  }

  /** Every node that has lived here. */
  get nodes(): readonly string[] {
    return [...this.#nodes];
  }

  /** A place in the state directory of a node. */
  statePath(node: string, ...parts: string[]): string {
    return join(this.#parts.directory, this.#idOf(node), 'state', ...parts);
  }

  /** A life of a node that ends when nothing is left to do, or where the plan says. */
  start(node: string, death: Death | null = null): WorkerProcess {
    this.#nodes.add(node);
    return this.#run(node, [WORKER, '--until-idle'], death);
  }

  /** A life of a node that goes on when nothing is left to do. */
  stay(node: string, death: Death | null = null): WorkerProcess {
    this.#nodes.add(node);
    return this.#run(node, [WORKER], death);
  }

  /** The client, on the machine of a node. */
  runClient(node: string, args: readonly string[], death: Death | null = null): WorkerProcess {
    return this.#run(node, [CLIENT, ...args], death);
  }

  /** Resolves when the process has died at the very point of its plan. @throws Error when it ended in any other way. */
  async died(process: WorkerProcess, death: Death): Promise<void> {
    await bounded(process, 'to die');
    const last = process.output.trimEnd().split('\n').at(-1);
    const marker = crashMarker({ ...death, repository: '' });
    // Between the word that the process is about to be killed by the repository and its death, others may come.
    const atOnce = 'event' in death.at || death.at.moment === 'before' || death.at.moment === 'after';
    const reached = atOnce ? last === marker : process.output.includes(marker);
    if (process.child.signalCode !== 'SIGKILL' || !reached) {
      const how = process.child.signalCode ?? process.child.exitCode;
      throw new Error(`${process.name} ended with ${how} and not at ${marker}\n${process.output}`);
    }
    this.#deathMs = Date.now();
  }

  /** A whole life without a death in it. @throws Error when it does not end well. */
  async live(process: WorkerProcess): Promise<WorkerProcess> {
    const code = await bounded(process, 'to finish');
    if (code !== 0)
      throw new Error(`${process.name} ended with ${process.child.signalCode ?? code}\n${process.output}`);
    return process;
  }

  /** Milliseconds from the last death to the last change of the branch; 0 when nothing was left to change. */
  async recoveryMs(): Promise<number> {
    const { mtimeMs } = await stat(join(this.repo.path, 'refs/heads/main'));
    return Math.max(0, mtimeMs - this.#deathMs);
  }

  /** For the server, which all sites share. */
  misbehaviour(request: GitRequest): Promise<Misbehaviour | undefined> | undefined {
    return request.path.startsWith(`/${this.#parts.name}.git/`) ? this.onRequest?.(request) : undefined;
  }

  /** Declares a node dead that lives. */
  async fence(node: string): Promise<void> {
    const ref = `refs/dgrid/nodes/${this.#idOf(node)}`;
    const tree = await git(this.repo.path, ['mktree'], { input: Buffer.alloc(0) });
    await until(`${ref} to be fenced`, async () => {
      const seen = await git(this.repo.path, ['rev-parse', ref]);
      const alive = await git(this.repo.path, ['log', '-1', '--format=%B', seen]);
      const message = alive
        .replace('DGrid-State: alive', 'DGrid-State: fenced\nDGrid-Fenced-By: somebody')
        .replace(/^DGrid-Nonce: .*$/m, `DGrid-Nonce: ${systemRandomHex(16)}`);
      const fenced = await git(this.repo.path, ['commit-tree', tree], { input: Buffer.from(message) });
      return git(this.repo.path, ['update-ref', ref, fenced, seen]).then(
        () => true,
        () => false,
      );
    });
  }

  /** What is wrong with all that has happened here. To be asked when every process has ended. */
  async violations(): Promise<Violation[]> {
    const workers = new WorkerHistory();
    for (const { name, log } of this.#processes) workers.take(name, log);
    return (await judge(this.#history, workers, { settled: true })).violations;
  }

  /** What should be gone: refs of tasks and of their output, containers, results that wait on a machine. */
  async leftovers(): Promise<string[]> {
    const found = [...(await this.repo.refs('refs/dgrid/tasks/')), ...(await this.repo.refs('refs/dgrid-output/'))];
    const containers = await this.#parts.engine.countLeftovers(gridIdOf(this.url));
    if (containers > 0) found.push(`${containers} containers`);
    for (const node of this.#nodes) {
      const names = await readdir(this.statePath(node, 'outbox')).catch(() => []);
      found.push(...names.filter((name) => !name.endsWith('.damaged')).map((name) => `outbox of ${node}: ${name}`));
    }
    return found;
  }

  #idOf(node: string): string {
    return `${node}-${this.#parts.name}`;
  }

  #installHook({ at }: Death): void {
    if ('event' in at || at.moment === 'before' || at.moment === 'after') return;
    const { name, script } = CRASH_HOOKS[at.moment];
    mkdirSync(join(this.repo.path, 'hooks'), { recursive: true });
    writeFileSync(join(this.repo.path, 'hooks', name), script, { mode: 0o755 });
  }

  #run(node: string, program: readonly string[], death: Death | null): WorkerProcess {
    const { directory, engine, env } = this.#parts;
    const plan: CrashPlan | null = death && { ...death, repository: this.repo.path };
    if (death) this.#installHook(death);
    const started = WorkerProcess.start({
      directory,
      name: this.#idOf(node),
      repoUrl: this.url,
      dockerHost: engine.host,
      program: [process.execPath, ...program],
      env: {
        NODE_COMPILE_CACHE: join(directory, 'compiled'),
        HEARTBEAT_INTERVAL: '1',
        NODE_TTL: String(TTL_MS / 1000),
        RECORD_DELAY: '0',
        MAX_PARALLEL_TASKS: '2',
        MAX_TASKS_PER_HOUR: '100',
        ...env,
        [CRASH_VARIABLE]: JSON.stringify(plan),
      },
    });
    this.#processes.push(started);
    return started;
  }
}

async function bounded(process: WorkerProcess, what: string): Promise<number | null> {
  const late = setTimeout(() => process.child.kill('SIGABRT'), LIFE_LIMIT_MS);
  const code = await process.exit();
  clearTimeout(late);
  if (process.child.signalCode === 'SIGABRT') {
    throw new Error(`waited ${LIFE_LIMIT_MS} ms in vain for ${process.name} ${what}\n${process.output}`);
  }
  return code;
}
