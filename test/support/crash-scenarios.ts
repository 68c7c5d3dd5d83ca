/** What must go on for a process to come by each durable step, and what has to come of it in the end. */
import { mkdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DurableStep } from '../../src/steps.ts';
import type { ResultRecord } from '../../src/task/result.ts';
import { type CrashSite, type Death, LIFE_LIMIT_MS } from './crash-site.ts';
import { git } from './git.ts';
import { FOR_TASKS, GRID, SigningKeys } from './signing.ts';
import { TaskRepository } from './task-repository.ts';
import type { WorkerProcess } from './worker-process.ts';

export interface CrashScenario {
  tasks: Readonly<Record<string, object>>;
  /** The record that each of them has to get. */
  expected: Readonly<Record<string, Partial<ResultRecord>>>;
  /** Settings; made from the directory of all sites where they name files. */
  env?: Readonly<Record<string, string>> | ((directory: string) => Readonly<Record<string, string>>);
  /** What comes before: earlier lives, damage. */
  prepare?: (site: CrashSite) => Promise<void>;
  /** Happens just before a step of the life that is to die. */
  meanwhile?: (site: CrashSite) => Promise<Death['meanwhile']>;
  /** The life that is to die; a worker, node `a`, where nothing else is said. */
  victim?: (site: CrashSite, death: Death) => WorkerProcess;
  /** Rules that the scenario itself breaks. */
  breaks?: readonly string[];
  /** What whoever started the victim does again before any worker comes. */
  again?: (site: CrashSite) => Promise<void>;
}

export interface CrashCase {
  scenario: CrashScenario;
  /** At which of the occasions, from 1. */
  nth?: number;
  /** The push brings other refs too. */
  inCompany?: true;
}

const QUICK = { x: { script: 'echo x' } };
const QUICK_DONE = { x: { status: 'success', stdout: 'x\n' } } as const;
const LONG = { long: { script: 'echo begin; sleep 3; echo end' } };
const LONG_DONE = { long: { status: 'success', stdout: 'begin\nend\n' } } as const;

async function earlierLife(site: CrashSite, node: string, death: Death): Promise<void> {
  await site.died(site.start(node, death), death);
}

/** From a fresh machine to an orderly end. */
const whole: CrashScenario = {
  tasks: { ...QUICK, y: { script: 'echo y >&2; echo why' } },
  expected: { ...QUICK_DONE, y: { status: 'success', stdout: 'why\n', stderr: 'y\n' } },
};

/** The same, by the git command alone. */
const byCommand: CrashScenario = { ...whole, env: { GIT_TRANSPORT: 'command' } };

/** The same, where the host can leave files out. */
const partial: CrashScenario = {
  ...whole,
  prepare: async (site) => void (await git(site.repo.path, ['config', 'uploadpack.allowFilter', 'true'])),
};

const retried: CrashScenario = {
  tasks: { again: { script: '[ "$DGRID_ATTEMPT" -gt 1 ] || exit 1; echo again', retries: 3 } },
  expected: { again: { status: 'success', stdout: 'again\n' } },
};

const invalid: CrashScenario = {
  tasks: { bad: { scirpt: 'echo' }, ...QUICK },
  expected: { ...QUICK_DONE, bad: { status: 'failed', reason: 'invalid-task' } },
};

const overdue: CrashScenario = {
  tasks: { late: { script: 'echo begin; sleep 60', timeout_seconds: 1 } },
  expected: { late: { status: 'failed', reason: 'timeout', stdout: 'begin\n' } },
};

/** Asked to stop while a task runs that takes longer than the worker may wait. */
const stopped: CrashScenario = {
  tasks: LONG,
  expected: LONG_DONE,
  env: { SHUTDOWN_GRACE_SECONDS: '0' },
  victim: (site, death) => {
    const victim = site.start('a', death);
    void victim.logged('task.started', undefined, LIFE_LIMIT_MS).then(
      () => victim.child.kill('SIGTERM'),
      () => undefined,
    );
    return victim;
  },
};

/** Killed while a task runs: the next life finds its container. */
const adopting: CrashScenario = {
  tasks: LONG,
  expected: LONG_DONE,
  prepare: (site) => earlierLife(site, 'a', { at: { event: 'task.started' }, nth: 1 }),
};

/** Killed with a result in the outbox. */
const replaying: CrashScenario = {
  tasks: QUICK,
  expected: QUICK_DONE,
  prepare: (site) => earlierLife(site, 'a', { at: { step: 'swap.result', moment: 'before' }, nth: 1 }),
};

/** Killed with a result in the outbox, and a container of another task. */
const replayingAndAdopting: CrashScenario = {
  tasks: { ...LONG, ...QUICK },
  expected: { ...LONG_DONE, ...QUICK_DONE },
  prepare: (site) => earlierLife(site, 'a', { at: { step: 'swap.result', moment: 'before' }, nth: 1 }),
};

/** Killed with half a result. */
const halfWritten: CrashScenario = {
  tasks: QUICK,
  expected: QUICK_DONE,
  prepare: (site) => earlierLife(site, 'a', { at: { step: 'outbox.rename', moment: 'before' }, nth: 1 }),
};

/** Killed with a container that was never started. */
const neverStarted: CrashScenario = {
  tasks: QUICK,
  expected: QUICK_DONE,
  prepare: (site) => earlierLife(site, 'a', { at: { step: 'container.create', moment: 'after' }, nth: 1 }),
};

/** Killed with a container that waits for its script. */
const neverTold: CrashScenario = {
  tasks: QUICK,
  expected: QUICK_DONE,
  prepare: (site) => earlierLife(site, 'a', { at: { step: 'container.start', moment: 'after' }, nth: 1 }),
};

/** A task that comes when a container waits for one already. */
async function queueWhenWarm(site: CrashSite, victim: WorkerProcess, tasks: Readonly<Record<string, object>>) {
  await victim.logged('pool.filled', undefined, LIFE_LIMIT_MS).then(
    () => site.repo.queue(tasks),
    () => undefined, // whoever waits for its death tells how it ended
  );
}

const handedOver: CrashScenario = {
  tasks: {},
  expected: QUICK_DONE,
  env: { WARM_POOL_SIZE: '1' },
  victim: (site, death) => {
    const victim = site.stay('a', death);
    void queueWhenWarm(site, victim, QUICK);
    return victim;
  },
};

/** Killed while a task runs in a container that had waited for it: the next life takes it up. */
const adoptingHandedOver: CrashScenario = {
  tasks: {},
  expected: LONG_DONE,
  env: { WARM_POOL_SIZE: '1' },
  prepare: async (site) => {
    const death: Death = { at: { event: 'task.started' }, nth: 1 };
    const victim = site.stay('a', death);
    await queueWhenWarm(site, victim, LONG);
    await site.died(victim, death);
  },
};

/** Killed while a container waits for a task that never comes. */
const waitedInVain: CrashScenario = {
  tasks: {},
  expected: {},
  env: { WARM_POOL_SIZE: '1' },
  victim: (site, death) => site.stay('a', death),
};

const damagedOutbox: CrashScenario = {
  tasks: QUICK,
  expected: QUICK_DONE,
  prepare: async (site) => {
    await mkdir(site.statePath('a', 'outbox'), { recursive: true });
    await writeFile(site.statePath('a', 'outbox', 'x.123.result'), 'damaged');
  },
};

/** So long ago that the hour which it stands for is over. */
const damagedQuota: CrashScenario = {
  tasks: QUICK,
  expected: QUICK_DONE,
  prepare: async (site) => {
    const path = site.statePath('a', 'quota.json');
    await mkdir(site.statePath('a'), { recursive: true });
    await writeFile(path, 'damaged');
    const longAgo = new Date(Date.now() - 2 * 3_600_000);
    await utimes(path, longAgo, longAgo);
  },
};

/** A task that runs only with its signature. */
const signed: CrashScenario = {
  tasks: {},
  expected: { x: { status: 'success', stdout: 'x\n', signer: 'alice' } },
  env: (directory) => ({
    ENABLE_TASK_SIGNING: 'true',
    TRUSTED_KEYS_FILE: new SigningKeys(join(directory, 'keys')).trusted('trusted', { alice: FOR_TASKS }),
    GRID_NAME: GRID,
  }),
  prepare: async (site) => {
    const keys = new SigningKeys(join(site.directory, 'keys'));
    await site.repo.commit(keys.signedTask('x', QUICK.x, 'alice'));
  },
};

/** Another node has died with a task. */
const deadNode: CrashScenario = {
  tasks: LONG,
  expected: LONG_DONE,
  prepare: (site) => earlierLife(site, 'z', { at: { event: 'task.started' }, nth: 1 }),
};

/** Recorded by somebody between the look at the queue and the claim. */
const overtaken: CrashScenario = {
  tasks: QUICK,
  expected: { x: { stdout: 'somebody was quicker\n' } },
  meanwhile: async (site) => {
    await git(site.repo.path, ['branch', 'next', 'main']);
    const record = { task_id: 'x', status: 'success', stdout: 'somebody was quicker\n' };
    const files = { 'tasks/queue/x.json': null, 'tasks/completed/x.json': JSON.stringify(record) };
    await new TaskRepository(site.repo.path, 'refs/heads/next').commit(files, 'Record 1 result: x');
    const moved = await git(site.repo.path, ['rev-parse', 'next']);
    await git(site.repo.path, ['branch', '-D', 'next']);
    return {
      step: 'swap.claim',
      command: ['git', '--git-dir', site.repo.path, 'update-ref', 'refs/heads/main', moved],
    };
  },
};

/** A claim is applied, its answer gets lost, and the task is another one when the worker comes to know of its claim. */
const stray: CrashScenario = {
  tasks: { x: { script: 'echo old' } },
  expected: { x: { status: 'success', stdout: 'new\n' } },
  env: { RETRY_ATTEMPTS: '0' },
  victim: (site, death) => {
    const victim = site.start('a', death);
    let isAway = false;
    site.onRequest = async ({ kind, body }) => {
      if (isAway) return { kind: 'drop' };
      if (kind !== 'receive-pack' || !body.includes('refs/dgrid/tasks/x')) return undefined;
      isAway = true;
      await site.repo.queue({ x: { script: 'echo new' } });
      return { kind: 'drop-reply' };
    };
    void victim
      .logged('push.failed', undefined, LIFE_LIMIT_MS)
      .catch(() => undefined)
      .then(() => {
        site.onRequest = null;
      });
    return victim;
  },
};

/** A task that is followed while it runs. */
const followed: CrashScenario = {
  tasks: { loud: { script: 'for i in 1 2 3 4 5 6; do echo line $i; sleep 0.5; done', follow: true } },
  expected: { loud: { status: 'success', stdout: [1, 2, 3, 4, 5, 6].map((line) => `line ${line}\n`).join('') } },
  env: { FOLLOW_INTERVAL: '0.2' },
};

/** Another node has died with a task whose output it had published. */
const outputLeft: CrashScenario = {
  ...followed,
  prepare: (site) => earlierLife(site, 'z', { at: { step: 'swap.output', moment: 'after' }, nth: 1 }),
};

/** Declared dead although it lives. */
const fenced: CrashScenario = {
  tasks: LONG,
  expected: LONG_DONE,
  breaks: ['fencing'],
  victim: (site, death) => {
    const victim = site.start('a', death);
    void victim
      .logged('task.started', undefined, LIFE_LIMIT_MS)
      .then(() => site.fence('a'))
      .catch(() => undefined);
    return victim;
  },
};

function client(tasks: CrashScenario['tasks'], expected: CrashScenario['expected'], args: string[]): CrashScenario {
  return {
    tasks,
    expected,
    victim: (site, death) => site.runClient('c', args, death),
    again: async (site) => void (await site.live(site.runClient('c', args))),
  };
}

const submitting = client({}, QUICK_DONE, ['submit', 'x', 'echo x']);
const layingOut = client(QUICK, QUICK_DONE, ['init']);
const cancelling = client(QUICK, { x: { status: 'failed', reason: 'cancelled' } }, ['cancel', 'x']);

/** Every durable step, and on which occasions a process dies there. */
export const CRASH_CASES: Readonly<Record<DurableStep, readonly [CrashCase, ...CrashCase[]]>> = {
  'machine-id.save': [{ scenario: whole }],
  'quota.set-aside': [{ scenario: damagedQuota }],
  'clone.clear': [{ scenario: whole }],
  'clone.mark': [{ scenario: whole }],
  'clone.init': [{ scenario: whole }],
  'clone.complete': [{ scenario: whole }],
  'clone.fetch': [{ scenario: whole }],
  'clone.keep': [{ scenario: partial }],
  'clone.store': [{ scenario: byCommand }, { scenario: byCommand, nth: 2 }],
  'swap.register': [
    { scenario: whole },
    { scenario: adopting, inCompany: true },
    { scenario: replayingAndAdopting, inCompany: true },
    { scenario: fenced, nth: 2 },
  ],
  'swap.adopt': [{ scenario: adopting, inCompany: true }],
  'swap.beat': [{ scenario: whole }, { scenario: adopting, nth: 2 }],
  'swap.fence': [{ scenario: deadNode }],
  'outbox.discard': [{ scenario: halfWritten }],
  'outbox.set-aside': [{ scenario: damagedOutbox }],
  'swap.submit': [{ scenario: submitting }],
  'swap.lay-out': [{ scenario: layingOut }],
  'swap.cancel': [{ scenario: cancelling }],
  'swap.claim': [{ scenario: whole }, { scenario: retried, nth: 2 }, { scenario: deadNode }],
  'swap.release': [{ scenario: stray }],
  'swap.give-up': [{ scenario: overtaken }],
  'quota.save': [{ scenario: whole }, { scenario: damagedQuota }],
  // Made when the worker begins, when the task is started, when its result is accepted.
  'signed-start.save': [{ scenario: signed }, { scenario: signed, nth: 2 }, { scenario: signed, nth: 3 }],
  'swap.output': [{ scenario: followed }, { scenario: followed, nth: 2 }, { scenario: outputLeft }],
  'container.create': [{ scenario: whole }, { scenario: waitedInVain }],
  'container.hand-over': [{ scenario: handedOver }],
  'container.start': [{ scenario: whole }, { scenario: whole, nth: 2 }, { scenario: waitedInVain }],
  'container.stop': [{ scenario: overdue }, { scenario: stopped }],
  'container.remove': [
    { scenario: whole },
    { scenario: retried },
    { scenario: stopped },
    { scenario: adopting },
    { scenario: neverStarted },
    { scenario: neverTold },
    { scenario: handedOver },
    { scenario: adoptingHandedOver },
  ],
  'outbox.write': [{ scenario: whole }],
  'outbox.rename': [{ scenario: whole }],
  'outbox.sync': [{ scenario: whole }],
  'outbox.remove': [{ scenario: whole }, { scenario: replaying }],
  'swap.result': [{ scenario: whole }, { scenario: replaying, inCompany: true }, { scenario: adopting }],
  'swap.put-back': [{ scenario: retried }, { scenario: stopped }],
  'swap.settle': [{ scenario: invalid }],
  'swap.record': [{ scenario: whole }],
  'swap.output-delete': [{ scenario: followed }, { scenario: outputLeft }],
  'swap.delete': [{ scenario: whole }],
  'swap.goodbye': [{ scenario: whole }, { scenario: stopped }],
};
