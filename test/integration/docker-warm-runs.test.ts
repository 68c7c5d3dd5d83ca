/** A task in a container that had waited for it is the same as in one that was made for it, on a real engine. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Job } from '../../src/executor/executor.ts';
import { systemClock } from '../../src/runtime.ts';
import { finish, type Outcome, type TestExecutor, testExecutor, testJob } from '../support/docker-jobs.ts';
import { PrivateEngine } from '../support/engine.ts';
import { runWarm, statsOf, untilWaiting, WARM_LIMITS } from '../support/warm-pool.ts';

const MIB = 1024 * 1024;

let engine: PrivateEngine;
let cold: TestExecutor;
let warm: TestExecutor;

beforeAll(async () => {
  engine = await PrivateEngine.start();
  await engine.importBusybox('busybox:stable', ['ENV OF_IMAGE=yes', 'ENV PATH=/bin:/usr/bin:/sbin']);
  cold = await testExecutor(engine.host, WARM_LIMITS);
  warm = await testExecutor(engine.host, { warmPoolSize: 2, ...WARM_LIMITS });
  warm.executor.prepare('fill');
});

afterAll(async () => {
  await cold[Symbol.asyncDispose]();
  await warm[Symbol.asyncDispose]();
  const left = await engine.countLeftovers();
  await engine.stop();
  expect(left).toBe(0);
});

/** The same job, of the same task, in one container and in the other. */
async function both(program: string, changes: Partial<Job> = {}): Promise<{ inCold: Outcome; inWarm: Outcome }> {
  const job = testJob(program, changes);
  return { inCold: await finish(await cold.executor.start(job)), inWarm: await runWarm(warm.executor, job) };
}

/** What goes into a record, but for times. */
function record({ raw, verdict, image, outputIsCut }: Outcome): object {
  const output = ({ bytes, totalBytes, truncated }: Outcome['raw']['stdout']) => {
    return { text: Buffer.from(bytes).toString('latin1'), totalBytes, truncated };
  };
  return { verdict, image, outputIsCut, stdout: output(raw.stdout), stderr: output(raw.stderr) };
}

const ODD = {
  quotes: `'"'\\''""\\`,
  lines: '\n\na\nb\r\n\n',
  commands: '$(echo no) `echo no` $HOME ${HOME} ; echo no & | > < # !',
  spaces: '  \t two  words  ',
  empty: '',
  glob: '* ? [a] ~ {a,b}',
  options: '-n -e \\n \\0101 %s %%',
  bytes: Array.from({ length: 0x17f }, (_, index) => String.fromCharCode(index + 1)).join(''),
  words: 'Á é ☃ 𝔘 \u0081\u0088',
  code: "'; exit 9; '",
};

const EXIT_CODES = [0, 1, 2, 3, 9, 42, 124, 125, 126, 127, 128, 129, 137, 143, 200, 255];
const HUNGRY = 'head -c 200000000 /dev/zero | tail >/dev/null';

describe('a hit has the same result', () => {
  it.each<[string, string, Partial<Job>?]>([
    ['of an exit code', EXIT_CODES.map((code) => `sh -c 'exit ${code}'; echo $?`).join('\n')],
    ['of both outputs', 'echo out; echo err >&2; exit 7'],
    ['of an exit code that stands for something elsewhere', 'exit 125'],
    ['of one more', 'exit 127'],
    ['of a script that kills itself', 'kill -9 $$'],
    ['of a script that asks itself to end', 'kill -TERM $$'],
    ['of an empty script', ''],
    ['of a script without an end of line', 'printf "%s" "$0"; cat'],
    ['of an interpreter of its own', '#!/bin/awk -f\nBEGIN { print 6 * 7; exit 4 }'],
    ['of an interpreter that is not there', '#!/no/such/interpreter\n'],
    ['of a syntax error', 'echo before\nif'],
    ['of a program that is not there', 'no-such-tool'],
    [
      'of an output of some megabytes',
      'head -c 5000000 /dev/zero | tr "\\0" x; head -c 3000000 /dev/zero | tr "\\0" y >&2',
    ],
    ['of any bytes', `printf '\\000\\001\\377\\200'; printf '\\377' >&2`],
    ['of a long script', `: ${'é'.repeat(100_000)}\necho $#`],
    ['of a time limit', 'sleep 100', { timeoutMs: 1_000 }],
    [
      'of a time limit with somebody who tidies up',
      'trap "echo tidied; exit 9" TERM; while :; do sleep 0.1; done',
      { timeoutMs: 1_500 },
    ],
    [
      'of a time limit with somebody who does not listen',
      "trap '' TERM; while :; do sleep 1; done",
      { timeoutMs: 1_000 },
    ],
    ['of too little memory', `exec sh -c '${HUNGRY}'`],
    // The engine hears of it by a message of its own, which may come after that of the end.
    [
      'of too little memory for a child',
      `(echo 1000 >/proc/self/oom_score_adj; ${HUNGRY}) 2>/dev/null; sleep 1; exit 0`,
    ],
    ['of a full work directory', 'head -c 100000000 /dev/zero >f; wc -c <f'],
    ['of an environment', 'printf "%s\\n" "$quotes" "$lines" "$code"; set -- $glob; echo $#', { env: ODD, attempt: 3 }],
    [
      'of a variable that means something to the image',
      'echo "$OF_IMAGE $PATH $HOME"',
      { env: { OF_IMAGE: 'no', PATH: '/bin', HOME: '/h' } },
    ],
    ['of a language', 'echo "$LANG$LC_ALL"; echo err >&2', { env: { LANG: 'xx_YY.UTF-8', LC_ALL: 'C.UTF-8' } }],
  ])('%s', async (_what, program, changes) => {
    const { inCold, inWarm } = await both(program, changes);
    expect(record(inWarm)).toEqual(record(inCold));
    expect(inWarm.verdict.kind).not.toBe('vanished');
  });

  it('of every variable byte by byte, and of none besides', async () => {
    const script = 'cat /proc/self/environ';
    const { inCold, inWarm } = await both(script, { env: ODD });
    // Each container has a name of its own.
    const variables = ({ raw }: Outcome) =>
      Buffer.from(raw.stdout.bytes)
        .toString('utf8')
        .replace(/(?<=\0|^)HOSTNAME=[0-9a-f]{12}(?=\0)/, 'HOSTNAME=its own')
        .split('\0')
        .toSorted();
    expect(variables(inWarm)).toEqual(variables(inCold));
    for (const [name, value] of Object.entries(ODD)) expect(variables(inWarm)).toContain(`${name}=${value}`);
  });

  it('of binary output, to the last bit', async () => {
    const { inWarm } = await both('head -c 100000 /dev/urandom >f; cat f; sha256sum <f >&2');
    expect(inWarm.stderr).toContain(createHash('sha256').update(inWarm.raw.stdout.bytes).digest('hex'));
  });

  it('and times of the task, not of the waiting', async () => {
    await untilWaiting(warm.executor, 2);
    const [askedMs, wallMs] = [systemClock.monotonicMs(), systemClock.wallMs()];
    const end = await runWarm(warm.executor, testJob('sleep 2'));
    const tookMs = systemClock.monotonicMs() - askedMs;
    expect(end.startedAtMs).toBeGreaterThanOrEqual(Math.floor(wallMs));
    expect(end.finishedAtMs).toBeGreaterThanOrEqual(end.startedAtMs ?? Number.NaN);
    expect(end.timingsMs.run).toBeGreaterThanOrEqual(2_000);
    expect((end.timingsMs.start ?? Number.NaN) + (end.timingsMs.run ?? Number.NaN)).toBeLessThanOrEqual(tookMs);
  });

  it('and figures of what it used', async () => {
    const end = await runWarm(warm.executor, testJob('i=0; while [ $i -lt 150000 ]; do i=$((i+1)); done; sleep 3'));
    expect(end.usage.cpuSeconds).toBeGreaterThan(0.01);
    expect(end.usage.peakMemoryBytes).toBeGreaterThan(100_000);
  });

  it('also when several are asked for at once', async () => {
    await untilWaiting(warm.executor, 2);
    const jobs = ['a', 'b', 'c', 'd'].map((word) => testJob(`echo ${word} "$DGRID_TASK_ID"`));
    const ends = await Promise.all(jobs.map(async (job) => finish(await warm.executor.start(job))));
    expect(ends.map(({ stdout }) => stdout)).toEqual(
      jobs.map(({ key }, index) => `${['a', 'b', 'c', 'd'][index]} ${key.taskId}\n`),
    );
  });
});

describe('a container is made for the task', () => {
  it.each<[string, string | readonly string[], Partial<Job>]>([
    ['that brings a command', ['echo', 'x'], {}],
    ['with a variable that a shell would change', 'echo "[$IFS]" $OPTIND', { env: { IFS: 'x', OPTIND: '7' } }],
    ['with a long environment', 'echo ${#A}', { env: { A: 'x'.repeat(50_000) } }],
  ])('%s', async (_what, program, changes) => {
    await untilWaiting(warm.executor, 2);
    const before = statsOf(warm.executor);
    const job = testJob(program, changes);
    const end = await finish(await warm.executor.start(job));
    expect(record(end)).toEqual(record(await finish(await cold.executor.start(job))));
    expect(statsOf(warm.executor)).toEqual(before);
  });

  it('of which none waits: nobody waits for the pool', async () => {
    const { misses } = statsOf(warm.executor);
    const end = await finish(await warm.executor.start(testJob('echo $((6 * 7))', { memoryBytes: 32 * MIB })));
    expect(end.stdout).toBe('42\n');
    expect(statsOf(warm.executor).misses).toBe(misses + 1);
  });

  it.each(['image', 'limits', 'variable'])('never, where a wrong %s has to be refused', async (what) => {
    await untilWaiting(warm.executor, 2);
    const wrong: Record<string, Partial<Job>> = {
      image: { image: 'other' },
      limits: { cpus: 2 },
      variable: { env: { 'A=B': 'x' } },
    };
    await expect(warm.executor.start(testJob('echo no', wrong[what]))).rejects.toMatchObject({ kind: 'rejected' });
  });
});
