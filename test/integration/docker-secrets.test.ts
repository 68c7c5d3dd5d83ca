/** Secrets that a task is given: what it finds, what others can see of them, and what of them it can print. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bootstrapArgv, bootstrapInput, SECRETS_DIR, WORK_DIR } from '../../src/executor/docker/bootstrap.ts';
import type { Job } from '../../src/executor/executor.ts';
import type { Secret } from '../../src/secrets/secret.ts';
import { encodedShapes } from '../../src/secrets/shapes.ts';
import { finish, type Outcome, type TestExecutor, testExecutor, testJob } from '../support/docker-jobs.ts';
import { PrivateEngine } from '../support/engine.ts';
import { allProcesses } from '../support/processes.ts';
import { until } from '../support/until.ts';
import { runWarm, untilWaiting, WARM_LIMITS } from '../support/warm-pool.ts';

const run = promisify(execFile);
const CANARY = 'canary-/+9d2f"$(x)`~61c8 e0';
const BINARY = Buffer.from([0, 1, 2, 255, 254, 0, 10, 13, 39, 34, 36, 92, 10, 0]);
const SECRETS: readonly Secret[] = [
  { name: 'api.key', bytes: Buffer.from(`${CANARY}\n`) },
  { name: 'blob_1', bytes: BINARY },
];

let engine: PrivateEngine;
let cold: TestExecutor;
let warm: TestExecutor;

beforeAll(async () => {
  engine = await PrivateEngine.start();
  await engine.importBusybox();
  cold = await testExecutor(engine.host, WARM_LIMITS);
  warm = await testExecutor(engine.host, { warmPoolSize: 1, ...WARM_LIMITS });
  warm.executor.prepare('fill');
});

afterAll(async () => {
  await cold[Symbol.asyncDispose]();
  await warm[Symbol.asyncDispose]();
  await engine.stop();
});

const WAYS = [
  { way: 'made for the task', give: async (job: Job) => await finish(await cold.executor.start(job)) },
  { way: 'that had waited', give: async (job: Job) => await runWarm(warm.executor, job) },
] as const;

const withSecrets = (script: string, changes: Partial<Job> = {}) => testJob(script, { secrets: SECRETS, ...changes });

function expectMasked(outcome: Outcome): void {
  for (const output of [outcome.raw.stdout, outcome.raw.stderr]) {
    const text = Buffer.from(output.bytes).toString('latin1').replaceAll('\n', '');
    for (const shape of [CANARY, ...encodedShapes(Buffer.from(CANARY))]) expect(text).not.toContain(shape);
  }
}

describe.each(WAYS)('in a container $way', ({ give }) => {
  it('a task finds its secrets as files in memory, for its user alone', async () => {
    const script = [
      'echo "$DGRID_SECRETS_DIR"; cd "$DGRID_SECRETS_DIR"',
      'stat -c "%n %a %u:%g %s" . *',
      'grep " $DGRID_SECRETS_DIR " /proc/mounts | cut -d" " -f1-3',
      // The other way round, it is not masked.
      "rev api.key; od -An -tx1 -v blob_1 | tr -d ' \\n'; echo",
      'ls -A "$HOME"; cat "$0" >/dev/null && wc -c <"$0"',
    ].join('\n');
    const { stdout, stderr, verdict } = await give(withSecrets(script));
    expect({ stderr, verdict }).toMatchObject({ stderr: '', verdict: { kind: 'exited', exitCode: 0 } });
    const reversed = CANARY.split('').toReversed().join('');
    expect(stdout.split('\n')).toEqual([
      SECRETS_DIR,
      expect.stringMatching(/^\. 700 65534:65534 \d+$/),
      `api.key 400 65534:65534 ${CANARY.length + 1}`,
      `blob_1 400 65534:65534 ${BINARY.length}`,
      `tmpfs ${SECRETS_DIR} tmpfs`,
      reversed,
      '*'.repeat(2 * BINARY.length),
      '.script',
      String(Buffer.byteLength(script)),
      '',
    ]);
  });

  it('they stand in no variable, argument or mount, inside or outside', async () => {
    const script =
      'for f in /proc/[0-9]*/environ /proc/[0-9]*/cmdline; do tr "\\0" "\\n" <"$f"; done; echo; echo own:; export -p; set';
    const outcome = await give(withSecrets(script));
    expect(outcome.stdout).toContain(`DGRID_SECRETS_DIR=${SECRETS_DIR}`);
    // Nothing had to be masked, so nothing was there.
    expect(outcome.stdout).not.toContain('*'.repeat(8));
    const own = outcome.stdout.slice(outcome.stdout.indexOf('\nown:\n'));
    expect(own).toContain(SECRETS_DIR);
    expect(own).not.toMatch(/DGRID_(SECRETS|NAME|BYTES|AT|ENV|NONCE)=/);
  });

  it('a task that prints them prints asterisks, as many as they have', async () => {
    const script = [
      'cd "$DGRID_SECRETS_DIR"',
      'cat api.key; cat api.key >&2',
      'base64 api.key; base64 -w 7 api.key; printf "user:%s" "$(cat api.key)" | base64',
      'od -An -tx1 -v api.key | tr -d " "',
      // In two pieces.
      'head -c 9 api.key; sleep 1; tail -c +10 api.key',
      'echo "[$(cat api.key)]"',
    ].join('\n');
    const outcome = await give(withSecrets(script));
    expect(outcome.verdict).toMatchObject({ kind: 'exited', exitCode: 0 });
    expectMasked(outcome);
    expect(outcome.stdout.split('\n')[0]).toBe('*'.repeat(CANARY.length));
    expect(outcome.stdout).toContain(`[${'*'.repeat(CANARY.length)}]`);
    expect(outcome.stderr).toBe(`${'*'.repeat(CANARY.length)}\n`);
    // What is counted is what was written.
    expect(outcome.raw.stderr.totalBytes).toBe(CANARY.length + 1);
    expect(outcome.raw.stdout.totalBytes).toBe(outcome.raw.stdout.bytes.length);
  });

  it('they are masked before a long output is cut', async () => {
    const script = 'i=0; while [ $i -lt 60000 ]; do cat "$DGRID_SECRETS_DIR/api.key"; i=$((i + 1)); done';
    const lines = script.replace('60000', '3000');
    const outcome = await give(withSecrets(`${lines}; yes | head -c 1200000; ${lines}`));
    expect(outcome.raw.stdout.truncated).toBe(true);
    expect(outcome.raw.stdout.totalBytes).toBe(1_200_000 + 2 * 3000 * (CANARY.length + 1));
    expectMasked(outcome);
    for (const piece of [CANARY.slice(0, 10), CANARY.slice(-10)]) expect(outcome.stdout).not.toContain(piece);
  });

  it('another interpreter finds them as well, and a script that is no text', async () => {
    const outcome = await give(withSecrets('#!/bin/cat /dgrid-secrets/api.key'));
    expectMasked(outcome);
    expect(outcome.verdict).toMatchObject({ kind: 'exited' });
  });
});

describe('outside of the container', () => {
  it('the engine, its disk and the list of processes show nothing of them', async () => {
    const job = withSecrets('test -s "$DGRID_SECRETS_DIR/api.key" && echo ready; sleep 1000');
    await untilWaiting(warm.executor, 1);
    warm.executor.prepare('hold');
    for (const { executor } of [cold, warm]) {
      const running = await executor.start({ ...job, key: testJob('').key });
      try {
        const { body } = await engine.api<{ Id: string }[]>('GET', '/containers/json');
        // Of two, the latest comes first: the other one waits for a task.
        const [container] = body;
        await until('the script to have begun', async () => {
          const { body: log } = await engine.api('GET', `/containers/${container?.Id}/logs?stdout=true`);
          return String(log).includes('ready');
        });
        const seen: unknown[] = [allProcesses().map(({ commandLine }) => commandLine)];
        for (const path of ['json', 'top?ps_args=eww', 'changes']) {
          seen.push((await engine.api('GET', `/containers/${container?.Id}/${path}`)).body);
        }
        const text = JSON.stringify(seen);
        expect(text).toContain(SECRETS_DIR);
        for (const shape of [CANARY, JSON.stringify(CANARY).slice(1, -1), ...encodedShapes(Buffer.from(CANARY))]) {
          expect(text).not.toContain(shape);
        }
        expect(await filesWith(engine.directory, CANARY)).toEqual([]);
        // The search finds what is there.
        expect((await filesWith(engine.directory, 'DGRID_SECRETS')).length).toBeGreaterThan(0);
      } finally {
        await running.dispose();
      }
    }
    expect(await filesWith(engine.directory, CANARY)).toEqual([]);
    const notes = await filesWith(join(warm.ownedImagesFile, '..'), CANARY);
    expect(notes).toEqual([]);
    expect(JSON.stringify([cold.events, warm.events])).not.toContain('canary');
  });

  it('a command is refused that asks for some', async () => {
    const asking = cold.executor.start(testJob(['/bin/true'], { secrets: SECRETS }));
    await expect(asking).rejects.toMatchObject({ kind: 'rejected', message: expect.stringContaining('script') });
  });

  it('nothing is left behind', async () => {
    await warm.executor.close();
    expect(await engine.countLeftovers()).toBe(0);
  });
});

describe('the secrets of a task', () => {
  it.each([
    ['dash', ['/bin/dash']],
    ['bash', ['/bin/bash']],
    ['busybox', ['/bin/busybox', 'sh']],
  ])('come through %s as they are', async (_what, shell) => {
    const directory = await mkdtemp(join(tmpdir(), 'dgrid-bootstrap-'));
    const inMemory = `${directory}-secrets`;
    await mkdir(inMemory);
    try {
      const [, option = '', program = '', ...rest] = bootstrapArgv('00ff00ff');
      const [command = '', ...first] = shell;
      const child = spawn(command, [...first, option, program.replaceAll(WORK_DIR, directory), ...rest], {
        argv0: command === '/bin/bash' ? 'sh' : command,
        env: { PATH: process.env['PATH'], IFS: 'a' },
        stdio: ['pipe', 'pipe', 'pipe'],
      });
      let [stdout, stderr] = ['', ''];
      child.stdout.on('data', (chunk: Buffer) => {
        stdout += chunk.toString();
      });
      child.stderr.on('data', (chunk: Buffer) => {
        stderr += chunk.toString();
      });
      const large = { name: 'large', bytes: Buffer.alloc(16 * 1024, 'x\n') };
      child.stdin.end(bootstrapInput('echo "it runs: $A"', { A: 'a:1 b' }, [...SECRETS, large]));
      expect(await once(child, 'close')).toEqual([0, null]);
      expect({ stdout, stderr }).toEqual({ stdout: 'it runs: a:1 b\n', stderr: 'dgrid-bootstrap 00ff00ff ready\n' });
      for (const { name, bytes } of [...SECRETS, large]) {
        const path = join(inMemory, name);
        expect(Buffer.compare(await readFile(path), bytes)).toBe(0);
        expect((await stat(path)).mode & 0o777).toBe(0o400);
      }
      expect(await readdir(directory)).toEqual(['.script']);
    } finally {
      await rm(directory, { recursive: true, force: true });
      await rm(inMemory, { recursive: true, force: true });
    }
  });
});

/** Files below a directory that have the text in them. */
async function filesWith(directory: string, text: string): Promise<string[]> {
  const found = await run('grep', ['-rlaF', '--devices=skip', '-e', text, directory], { maxBuffer: 1 << 24 }).catch(
    (error: { stdout?: string }) => ({ stdout: error.stdout ?? '' }),
  );
  return found.stdout.split('\n').filter((path) => path !== '');
}
