/**
 * Nothing in `src` makes anything durable but in the places listed here: through a named step, or for a reason why a death
 * there does not matter. A new place fails these tests until it is listed, and a new step until processes die at it.
 */
import { globSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DURABLE_STEPS, type DurableStep, durably } from '../../src/steps.ts';
import { CRASH_CASES } from '../support/crash-scenarios.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { recordEvents } from '../support/recorded-events.ts';

const SRC = `${import.meta.dirname}/../../src`;
const STEPS = Object.keys(DURABLE_STEPS) as DurableStep[];
const SOURCES = new Map(
  globSync('**/*.ts', { cwd: SRC })
    .toSorted()
    .map((path) => [path, readFileSync(`${SRC}/${path}`, 'utf8')] as const),
);

/** Where each step is made. */
const CALL_SITES: Readonly<Record<DurableStep, readonly [string, ...string[]]>> = {
  'machine-id.save': ['host/machine-id.ts'],
  'quota.set-aside': ['host/quota.ts'],
  'quota.save': ['host/quota.ts'],
  // Appended, and written anew.
  'signed-start.save': ['host/nonce-memory.ts', 'host/nonce-memory.ts'],
  'clone.clear': ['git/local-clone.ts'],
  'clone.mark': ['git/local-clone.ts'],
  'clone.init': ['git/local-clone.ts'],
  'clone.complete': ['git/local-clone.ts'],
  'clone.fetch': ['git/local-clone.ts'],
  'clone.keep': ['git/local-clone.ts'],
  'clone.store': ['git/local-clone.ts'],
  'swap.register': ['ledger/membership.ts'],
  'swap.adopt': ['ledger/claims.ts'],
  // A sign of life, also where somebody has deleted the ref by hand.
  'swap.beat': ['ledger/membership.ts', 'ledger/membership.ts'],
  'swap.fence': ['ledger/membership.ts'],
  'swap.goodbye': ['ledger/membership.ts'],
  'swap.submit': ['client/submit.ts'],
  'swap.lay-out': ['client/layout.ts'],
  'swap.cancel': ['client/cancel.ts'],
  'swap.claim': ['ledger/claims.ts'],
  'swap.release': ['ledger/claims.ts'],
  'swap.give-up': ['ledger/claims.ts'],
  'swap.result': ['ledger/claims.ts'],
  'swap.put-back': ['ledger/claims.ts'],
  'swap.settle': ['ledger/settler.ts'],
  'swap.record': ['ledger/recorder.ts'],
  'swap.delete': ['ledger/recorder.ts'],
  'swap.output': ['agent/output-tap.ts'],
  // By who wrote it, and by whoever finds it left.
  'swap.output-delete': ['agent/output-tap.ts', 'ledger/output-sweep.ts'],
  'container.create': ['executor/docker/containers.ts'],
  'container.hand-over': ['executor/docker/hand-overs.ts'],
  'container.start': ['executor/docker/containers.ts'],
  'container.stop': ['executor/docker/containers.ts'],
  'container.remove': ['executor/docker/containers.ts'],
  'outbox.write': ['ledger/outbox.ts'],
  'outbox.rename': ['ledger/outbox.ts'],
  'outbox.sync': ['ledger/outbox.ts'],
  'outbox.remove': ['ledger/outbox.ts'],
  'outbox.discard': ['ledger/outbox.ts'],
  'outbox.set-aside': ['ledger/outbox.ts'],
};

/** Calls that make something durable, by file. */
const DURABLE_CALLS: Readonly<Record<string, Calls>> = {
  'ledger/publisher.ts': { swapRefs: 1 },
  // Passes on what the publisher sends.
  'ledger/ordered-repository.ts': { swapRefs: 1 },
  'git/http-repository.ts': { swapRefs: 1 },
  'agent/counted-repository.ts': { swapRefs: 1 },
  // One `rm` takes back what `add` could not finish, which a crash leaves for `load` to discard.
  'ledger/outbox.ts': { mkdir: 1, open: 2, rename: 2, rm: 3 },
  // Attaching and waiting are asked for with POST too, and change nothing.
  'executor/docker/containers.ts': { POST: 5, DELETE: 1 },
  // A note that outlives its container tells of nothing that is there.
  'executor/docker/hand-overs.ts': { mkdir: 1, rm: 1, writeFile: 2 },
  // Parts of steps that are made in local-clone.ts.
  'git/clone-directory.ts': { mkdir: 2, rename: 2, rm: 4, writeFile: 1 },
  // The second is a dry run.
  'git/cli-repository.ts': { 'git push': 2 },
  // `update-ref` and `gc` keep a cache small: whatever a death leaves of them, the clone is sound or is made anew.
  'git/local-clone.ts': {
    // Parts of `clone.init` and `clone.keep`.
    writeFile: 2,
    rename: 1,
    'git init': 1,
    'git fetch': 1,
    'git unpack-objects': 1,
    'git index-pack': 2,
    'git update-ref': 2,
    'git gc': 1,
  },
  'host/machine-id.ts': { writeStateFile: 1 },
  // The second `open` is its own.
  'host/nonce-memory.ts': { appendFile: 1, open: 2, writeStateFile: 1 },
  'host/quota.ts': { copyFile: 1, writeStateFile: 1 },
  // The one door to files that must be whole: its callers name the step.
  'host/state-file.ts': { open: 2, rename: 1 },
};

/** Calls where a death leaves nothing that anybody has to put right, and why. */
const WITHOUT_A_STEP: Readonly<Record<string, { calls: Calls; why: string }>> = {
  'agent/assemble.ts': { calls: { rm: 1, writeStateFile: 1 }, why: 'a probe of the state directory that nobody reads' },
  'worker.ts': { calls: { mkdir: 1 }, why: 'the state directory itself: made again' },
  'host/instance-lock.ts': {
    calls: { mkdir: 1, rm: 1, writeFile: 1 },
    why: 'the kernel drops the lock with the process; who held it is for a message only',
  },
  'host/own-files.ts': { calls: { rm: 1 }, why: 'what a death left: found again by the next who is short of room' },
  'executor/docker/images.ts': { calls: { POST: 1 }, why: "images are the engine's cache: built again" },
  'executor/docker/pull.ts': { calls: { POST: 1 }, why: "images are the engine's cache: pulled again" },
  'executor/docker/registry-credentials.ts': { calls: { open: 1 }, why: 'reads' },
  'executor/docker/clean.ts': { calls: { POST: 1, DELETE: 1 }, why: 'images and build cache that can be had again' },
  'executor/docker/owned-images.ts': {
    calls: { mkdir: 1, rename: 1, writeFile: 1 },
    why: 'an image that is forgotten stays on the disk, which is the harmless mistake',
  },
  'secrets/store.ts': { calls: { open: 1 }, why: 'reads' },
  'secrets/store-check.ts': { calls: { openSync: 1 }, why: 'reads' },
  'executor/docker/filter/admit.ts': {
    calls: { POST: 6, DELETE: 2 },
    why: 'calls of the worker, which names the steps; the filter passes them on and makes none of its own accord',
  },
  'executor/docker/filter/calls.ts': { calls: { POST: 4, DELETE: 1 }, why: 'a table of those calls' },
  'executor/docker/filter/listen.ts': {
    calls: { chmod: 1, unlink: 1 },
    why: 'a socket, which is made anew with every start',
  },
  'doctor/state.ts': { calls: { mkdir: 1, rm: 1, writeStateFile: 1 }, why: 'a probe that nobody reads' },
  'doctor/until-aborted.ts': { calls: { swapRefs: 1 }, why: 'passes on what the doctor sends' },
  'doctor/signing.ts': {
    calls: { mkdtemp: 1, rm: 1, writeFile: 3 },
    why: 'a key and a signature, to see whether they can be made',
  },
  'doctor/bundle.ts': {
    calls: { open: 1, rm: 1 },
    why: 'a person asks for a bundle, and does so again when it was cut short',
  },
  'doctor/bundle-parts.ts': { calls: { open: 1 }, why: 'reads' },
  'client/probe-cleanup.ts': {
    calls: { swapRefs: 1 },
    why: 'records of probes that stay, which is the harmless mistake',
  },
  'cli/client/bench-grid.ts': { calls: { open: 1 }, why: 'a report for a person, who asks for another one' },
  'doctor/probe-refs.ts': { calls: { swapRefs: 2 }, why: 'refs of its own, which the next doctor removes' },
  'doctor/swaps.ts': { calls: { swapRefs: 2 }, why: 'a branch that cannot come into being' },
  'git/changed-files.ts': { calls: { 'git config': 1 }, why: 'reads' },
  'git/clone-frame.ts': { calls: { open: 1 }, why: 'reads' },
  'git/branch-log.ts': {
    calls: { mkdtemp: 1, rm: 1, 'git init': 1, 'git fetch': 1 },
    why: 'a repository that is read once and removed',
  },
  'git/bare-repository.ts': {
    calls: { mkdir: 1, 'git init': 1, 'git config': 1 },
    why: 'a person makes a repository, and does so again when it was cut short',
  },
  'client/cache-slot.ts': { calls: { mkdir: 1, mkdtemp: 1, rm: 1 }, why: 'a cache' },
  'client/known-ids.ts': { calls: { mkdir: 1, rename: 1, rm: 1, writeFile: 1 }, why: 'a cache' },
  'client/key-store.ts': {
    calls: { rename: 1, writeFile: 1 },
    why: 'a person changes a file of keys, and does so again when it was cut short',
  },
  'client/static-site.ts': {
    calls: { mkdir: 2, rename: 1, rm: 1, writeFile: 1 },
    why: 'a picture of the grid, whole at every moment; the next run writes it anew and removes what is left over',
  },
  'signing/ssh-keygen.ts': {
    calls: { mkdir: 1, mkdtemp: 1, rm: 1, writeFile: 1 },
    why: 'the directory of a new key, made again; and a signature while it is checked',
  },
  'cli/client/read-sources.ts': { calls: { open: 1 }, why: 'reads' },
  'cli/client/demo.ts': { calls: { mkdtemp: 1, rm: 1 }, why: 'a demonstration in a temporary directory' },
  'cli/client/demo-worker.ts': { calls: { open: 1 }, why: 'the log of a demonstration' },
};

type Calls = Readonly<Record<string, number>>;

const FILE_CALLS =
  /^(?:appendFile|chmod|copyFile|cp|createWriteStream|ftruncate|link|mkdir|mkdtemp|open|rename|rm|rmdir|symlink|truncate|unlink|utimes|write|writeFile)(?:Sync)?$/;
const GIT_COMMANDS =
  /\[\s*'(am|branch|checkout|clone|commit|commit-tree|config|fast-import|fetch|gc|hash-object|index-pack|init|maintenance|merge|mktree|pack-refs|prune|pull|push|read-tree|rebase|reflog|remote|repack|reset|symbolic-ref|tag|unpack-objects|update-index|update-ref|worktree|write-tree)'/g;
/** Ways to write past the calls above. */
const OTHER_DOORS: Readonly<Record<string, readonly string[]>> = {
  'node:child_process': [
    'cli/client/demo-worker.ts',
    // Asks systemd.
    'doctor/systemd.ts',
    'executor/docker/busybox-image.ts',
    // Asks a program of the operator's, and keeps nothing.
    'executor/docker/credential-helper.ts',
    'executor/docker/ssh-agent.ts',
    'signing/ssh-keygen.ts',
  ],
  'node:sqlite': ['host/kernel-lock.ts'],
  'node:http': [
    'executor/docker/engine-transport.ts',
    'executor/docker/filter/answer.ts',
    'executor/docker/filter/proxy.ts',
    'executor/docker/filter/relay.ts',
    'executor/docker/ssh-agent.ts',
    'git/http/connection.ts',
    'observe/http/server.ts',
  ],
  'node:https': ['executor/docker/engine-transport.ts', 'executor/docker/filter/relay.ts', 'git/http/connection.ts'],
};

function importsOf(source: string, module: string): string[] {
  const pattern = new RegExp(`import (?!type )([^;]*?) from '${module}'`, 'g');
  return [...source.matchAll(pattern)].map(([, names = '']) => names);
}

function count(calls: Record<string, number>, name: string, times: number): void {
  if (times > 0) calls[name] = (calls[name] ?? 0) + times;
}

function durableCalls(path: string, source: string): Calls {
  const calls: Record<string, number> = {};
  for (const module of ['node:fs', 'node:fs/promises']) {
    for (const name of importsOf(source, module).join(',').match(/\w+/g) ?? []) {
      if (FILE_CALLS.test(name))
        count(calls, name, source.match(new RegExp(`(?<![.\\w])${name}\\(`, 'g'))?.length ?? 0);
    }
  }
  count(calls, 'swapRefs', source.match(/\.swapRefs\(/g)?.length ?? 0);
  count(calls, 'writeStateFile', source.match(/(?<!function )\bwriteStateFile\(/g)?.length ?? 0);
  for (const method of ['POST', 'PUT', 'DELETE']) {
    if (path.startsWith('executor/')) count(calls, method, source.split(`method: '${method}'`).length - 1);
  }
  if (path.startsWith('git/')) {
    for (const [, command] of source.matchAll(GIT_COMMANDS)) count(calls, `git ${command}`, 1);
  }
  return calls;
}

describe('durable steps', () => {
  it.each(STEPS)('%s is made exactly where it is said to be', (step) => {
    const sites = [...SOURCES].flatMap(([path, source]) => {
      // The publisher knows how much each swap matters, and makes none of its own accord.
      if (['steps.ts', 'publisher.ts'].includes(basename(path))) return [];
      return Array.from({ length: source.split(`'${step}'`).length - 1 }, () => path);
    });
    expect(sites).toEqual(CALL_SITES[step]);
  });

  it('have a death of their own each', () => {
    expect(Object.keys(CRASH_CASES).toSorted()).toEqual(STEPS.toSorted());
  });

  it('are all that makes anything durable', () => {
    const found = Object.fromEntries(
      [...SOURCES].flatMap(([path, source]) => {
        const calls = durableCalls(path, source);
        return Object.keys(calls).length > 0 ? [[path, calls]] : [];
      }),
    );
    const exempt = Object.entries(WITHOUT_A_STEP).map(([path, { calls }]) => [path, calls] as const);
    expect(found).toEqual({ ...DURABLE_CALLS, ...Object.fromEntries(exempt) });
  });

  it('cannot be passed by: the file system only by its calls, programs and databases only where they are known', () => {
    for (const [path, source] of SOURCES) {
      for (const module of ['node:fs', 'node:fs/promises']) {
        for (const names of importsOf(source, module)) expect(names, path).toMatch(/^\{/);
        expect(source, path).not.toContain(`import('${module}')`);
      }
      expect(source, path).not.toMatch(/\brequire\(/);
    }
    for (const [module, expected] of Object.entries(OTHER_DOORS)) {
      const users = [...SOURCES].filter(
        ([, source]) => importsOf(source, module).length > 0 || source.includes(`import('${module}')`),
      );
      expect(users.map(([path]) => path)).toEqual(expected);
    }
  });
});

describe('durably', () => {
  function setUp() {
    const clock = new ManualClock();
    const events = recordEvents();
    return { clock, events, parts: { clock, emit: events.emit } };
  }

  it('tells before and after, and how long it took', async () => {
    const { clock, events, parts } = setUp();
    const answer = await durably(parts, 'quota.save', { path: '/p' }, async () => {
      expect(events.all).toEqual([{ name: 'step.begun', fields: { step: 'quota.save', path: '/p' } }]);
      clock.advance(12);
      return 'answer';
    });
    expect(answer).toBe('answer');
    expect(events.named('step.done')).toEqual([{ step: 'quota.save', path: '/p', ms: 12 }]);
  });

  it('names each of the steps that come about together once', async () => {
    const { events, parts } = setUp();
    await durably(parts, ['swap.claim', 'swap.beat', 'swap.claim'], { swaps: 3 }, async () => undefined);
    const step = (name: string, rest: object = {}) => ({ step: name, swaps: 3, ...rest });
    expect(events.named('step.begun')).toEqual([step('swap.claim'), step('swap.beat')]);
    expect(events.named('step.done')).toEqual([step('swap.claim', { ms: 0 }), step('swap.beat', { ms: 0 })]);
  });

  it('does not call a step done that failed', async () => {
    const { events, parts } = setUp();
    const failed = durably(parts, 'outbox.write', {}, () => Promise.reject(new Error('disk full')));
    await expect(failed).rejects.toThrow('disk full');
    expect(events.all.map(({ name }) => name)).toEqual(['step.begun']);
  });
});
