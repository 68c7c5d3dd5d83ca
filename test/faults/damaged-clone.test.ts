/**
 * A worker's clone, damaged in every way that we could think of: while the worker runs, and while it is stopped. It goes
 * on unaided, the next task gets its right record, and nothing that somebody wrote into the clone is ever run or believed.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CloneDamage, cloneDamages, gitIn } from '../support/clone-damage.ts';
import { initBare } from '../support/git.ts';
import { atScale } from '../support/scale.ts';
import { StubWorkerProcess } from '../support/stub-worker-process.ts';
import { TaskRepository } from '../support/task-repository.ts';
import { makeTempDir, type TempDir } from '../support/temp.ts';
import { testSeed } from '../support/test-seed.ts';
import { until } from '../support/until.ts';
import type { WorkerProcess } from '../support/worker-process.ts';

const HEAL_BOUND_MS = 60_000;
const PACK_BOUND_MS = 5_000;
const GIT_TIMEOUT_SECONDS = 4;
/** Each of these waits for processes most of the time. */
const AT_ONCE = 4;

const ALL = cloneDamages();
const COUNT = atScale(8, ALL.length);
/** Another part of them each time. */
const OFFSET = testSeed() % ALL.length;
const CHOSEN = Array.from(
  { length: COUNT },
  (_, at) => ALL[(OFFSET + Math.floor((at * ALL.length) / COUNT)) % ALL.length] as CloneDamage,
);

let dir: TempDir;
let canary: string;
let trace: string;
const healedMs: number[] = [];

beforeAll(() => {
  dir = makeTempDir('clone');
  trace = dir.sub('trace');
  canary = dir.sub('canary');
  writeFileSync(canary, `#!/bin/sh\necho "$0 $*" >>'${trace}'\nexit 1\n`, { mode: 0o755 });
});
afterAll(() => {
  const slowest = healedMs.length > 0 ? Math.round(Math.max(...healedMs)) : 0;
  console.info(
    `damaged clone: ${healedMs.length} times damaged (${CHOSEN.length} of ${ALL.length} ways, from number ${OFFSET}, ` +
      `running and stopped), slowest next record after ${slowest} ms`,
  );
  dir.remove();
});

class Box {
  readonly clone: string;
  readonly #name: string;
  readonly #repo: TaskRepository;
  worker: WorkerProcess | null = null;

  constructor(name: string, remote: string) {
    this.#name = name;
    this.#repo = new TaskRepository(remote);
    this.clone = dir.sub(name, 'state', 'repository.git');
  }

  start(): void {
    this.worker = StubWorkerProcess.start({
      directory: dir.path,
      name: this.#name,
      repoUrl: this.#repo.path,
      env: {
        GIT_TRANSPORT: 'command',
        PULL_INTERVAL: '0.3',
        HEARTBEAT_INTERVAL: '1',
        NODE_TTL: '30',
        RECORD_DELAY: '0.1',
        GIT_COMMAND_TIMEOUT: String(GIT_TIMEOUT_SECONDS),
        RETRY_BASE_SECONDS: '0.1',
      },
    });
  }

  /** Queues a task and waits for its record. */
  async work(id: string): Promise<number> {
    const startedMs = performance.now();
    await this.#repo.queue({ [id]: { script: 'exit 0' } });
    const said = (): string => `${this.#name}, ${id}\n${this.worker?.output.slice(-12_000)}`;
    await until(
      `a record of ${id}`,
      async () => this.worker?.ended === true || (await this.#repo.record(id)) !== null,
      HEAL_BOUND_MS,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${said()}`, { cause: error });
    });
    const record = await this.#repo.record(id);
    if (!record) throw new Error(`the worker ended\n${said()}`);
    expect(record, said()).toMatchObject({ status: 'success', stdout: `ran ${id}\n`, attempt: 1 });
    return performance.now() - startedMs;
  }

  async records(): Promise<string[]> {
    return (await this.#repo.files()).filter((path) => /^tasks\/(completed|failed)\//.test(path));
  }
}

/** @returns false when the worker is in the way. */
function pack(clone: string): boolean {
  try {
    gitIn(clone, ['repack', '-a', '-d', '-q']);
    gitIn(clone, ['pack-refs', '--all']);
    return true;
  } catch {
    return false;
  }
}

async function damageOnce(number: number, { name, packed, damage }: CloneDamage): Promise<void> {
  const remote = dir.sub(`r${number}.git`);
  await initBare(remote);
  const box = new Box(`b${number}`, remote);
  const spoil = async (): Promise<void> => {
    if (packed) await until('a moment without a lock', () => pack(box.clone), PACK_BOUND_MS);
    damage(box.clone, canary);
  };
  try {
    box.start();
    await box.worker?.logged('worker.ready');
    await box.work('before');
    await spoil();
    healedMs.push(await box.work('running'));
    expect(await box.worker?.stop()).toBe(0);
    try {
      await spoil();
    } catch {
      // It has not come upon the damage yet: the clone is as it should be for this, damaged.
    }
    box.start();
    healedMs.push(await box.work('started'));
    expect(await box.worker?.stop()).toBe(0);
    expect((await box.records()).sort(), name).toEqual(
      ['before', 'running', 'started'].map((id) => `tasks/completed/${id}.json`),
    );
    expect(existsSync(trace), name).toBe(false);
  } finally {
    await box.worker?.stop('SIGKILL');
  }
}

describe('a damaged clone', () => {
  it('has a canary that sings', () => {
    const clone = dir.sub('sings.git');
    gitIn(dir.path, ['init', '--quiet', '--bare', clone]);
    gitIn(clone, ['config', 'remote.grid.receivepack', canary]);
    const remote = dir.sub('sings-remote.git');
    gitIn(dir.path, ['init', '--quiet', '--bare', remote]);
    gitIn(clone, ['config', 'remote.grid.url', remote]);
    const empty = gitIn(clone, ['commit-tree', gitIn(clone, ['mktree']), '-m', 'x']);
    expect(() => gitIn(clone, ['push', '--quiet', 'grid', `${empty}:refs/heads/main`])).toThrow();
    expect(existsSync(trace)).toBe(true);
    rmSync(trace);
  });

  const groups = Array.from({ length: Math.ceil(CHOSEN.length / AT_ONCE) }, (_, at) =>
    CHOSEN.slice(at * AT_ONCE, (at + 1) * AT_ONCE),
  );
  it.each(groups.map((group, at) => [group.map(({ name }) => name).join('; '), at * AT_ONCE, group] as const))(
    '%s',
    { timeout: 2 * HEAL_BOUND_MS + 60_000 },
    async (_names, first, group) => {
      await Promise.all(group.map((damage, at) => damageOnce(first + at, damage)));
    },
  );
});
