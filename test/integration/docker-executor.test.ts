/** What a task gets and what becomes of it, on a real engine. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { finish, type TestExecutor, testExecutor, testJob } from '../support/docker-jobs.ts';
import { PrivateEngine } from '../support/engine.ts';

const MIB = 1024 * 1024;

let engine: PrivateEngine;
let test: TestExecutor;

beforeAll(async () => {
  engine = await PrivateEngine.start();
  await engine.importBusybox();
  await engine.importWithoutShell('no-shell:latest', 'echo');
  await engine.importBusybox('with-volume:latest', ['VOLUME /data']);
  test = await testExecutor(engine.host, { allowedImages: ['busybox:stable', 'no-shell', 'with-volume', 'absent'] });
});

afterAll(async () => {
  await test[Symbol.asyncDispose]();
  await engine.stop();
});

async function run(program: string | readonly string[], changes: Parameters<typeof testJob>[1] = {}) {
  return await finish(await test.executor.start(testJob(program, changes)));
}

describe('ends', () => {
  it('tells success, both outputs, times and the image', async () => {
    const end = await run('echo out; echo err >&2');
    expect(end.verdict).toEqual({ kind: 'exited', exitCode: 0, outOfMemory: false });
    expect([end.stdout, end.stderr]).toEqual(['out\n', 'err\n']);
    expect(end.timingsMs.start).toBeGreaterThan(0);
    expect(end.timingsMs.run).toBeGreaterThanOrEqual(0);
    expect(end.finishedAtMs).toBeGreaterThanOrEqual(end.startedAtMs ?? Number.NaN);
    expect(end.image.name).toBe('busybox:stable');
    expect(end.image.digest).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(end.usage).toEqual({ cpuSeconds: null, peakMemoryBytes: null });
  });

  it('tells an exit code', async () => {
    expect((await run('exit 3')).verdict).toEqual({ kind: 'exited', exitCode: 3, outOfMemory: false });
  });

  it('measures what a longer run used', async () => {
    const end = await run('i=0; while [ $i -lt 150000 ]; do i=$((i+1)); done; sleep 3');
    expect(end.usage.cpuSeconds).toBeGreaterThan(0.01);
    expect(end.usage.cpuSeconds).toBeLessThan(30);
    expect(end.usage.peakMemoryBytes).toBeGreaterThan(100_000);
  });

  it('stops a task at its time limit, and one that ignores TERM a little later', async () => {
    const polite = await run('sleep 100', { timeoutMs: 1000 });
    expect(polite.verdict).toEqual({ kind: 'stopped', reason: 'timeout', exitCode: 143 });
    const stubborn = await run("trap '' TERM; while :; do sleep 1; done", { timeoutMs: 1000 });
    expect(stubborn.verdict).toEqual({ kind: 'stopped', reason: 'timeout', exitCode: 137 });
  });

  it('lets a task tidy up when it is stopped', async () => {
    const end = await run('trap "echo tidied; exit 9" TERM; while :; do sleep 0.1; done', { timeoutMs: 1500 });
    expect(end.verdict).toEqual({ kind: 'stopped', reason: 'timeout', exitCode: 9 });
    expect(end.stdout).toBe('tidied\n');
  });

  it('keeps the first reason to stop', async () => {
    const running = await test.executor.start(testJob('sleep 100'));
    running.stop('cancelled');
    running.stop('fenced');
    expect((await finish(running)).verdict).toMatchObject({ kind: 'stopped', reason: 'cancelled' });
  });

  it('tells a task that ran out of memory from one whose child did', async () => {
    const hungry = 'head -c 200000000 /dev/zero | tail >/dev/null';
    const whole = await run(`exec sh -c '${hungry}'`, { memoryBytes: 32 * MIB });
    expect(whole.verdict).toEqual({ kind: 'exited', exitCode: 137, outOfMemory: true });
    // The kernel chooses whom to kill; this makes it the child.
    const first = 'echo 1000 >/proc/self/oom_score_adj';
    // And the engine hears of it by a message of its own, which may come after that of the end.
    const child = await run(`(${first}; ${hungry}); sleep 1; exit 0`, { memoryBytes: 32 * MIB });
    expect(child.verdict).toEqual({ kind: 'exited', exitCode: 0, outOfMemory: false, childOutOfMemory: true });
  });

  it('does not take a task that kills itself for one that ran out of memory', async () => {
    expect((await run('kill -9 $$')).verdict).toEqual({ kind: 'exited', exitCode: 137, outOfMemory: false });
  });

  it('tells a program that is not there from one that failed', async () => {
    const missing = await run(['/no/such/program']);
    expect(missing.verdict).toMatchObject({ kind: 'unstartable', exitCode: 127 });
    const directory = await run(['/etc']);
    expect(directory.verdict).toMatchObject({ kind: 'unstartable', exitCode: 126 });
    expect((await run('no-such-tool')).verdict).toMatchObject({ kind: 'exited', exitCode: 127 });
  });

  it('runs a command in an image without a shell, and says so when a script is asked for', async () => {
    const command = await run(['/echo', 'a b', '$HOME', '*'], { image: 'no-shell' });
    expect(command.verdict).toMatchObject({ kind: 'exited', exitCode: 0 });
    expect(command.stdout).toBe('a b $HOME *\n');
    const script = await run('echo no', { image: 'no-shell' });
    expect(script.verdict).toMatchObject({ kind: 'unstartable', exitCode: 127 });
    expect(script.verdict).toHaveProperty('message', expect.stringContaining('no /bin/sh'));
  });

  it('waits for a task that closes its outputs and lives on', async () => {
    const end = await run('echo last; exec >&- 2>&-; sleep 2; exit 6');
    expect(end.verdict).toMatchObject({ kind: 'exited', exitCode: 6 });
    expect(end.stdout).toBe('last\n');
    expect(end.timingsMs.run).toBeGreaterThanOrEqual(1900);
  });

  it('refuses an image that is not there or not allowed', async () => {
    await expect(run('true', { image: 'absent' })).rejects.toMatchObject({ kind: 'image-unavailable' });
    await expect(run('true', { image: 'other' })).rejects.toMatchObject({ kind: 'rejected' });
  });

  it('runs four tasks at a time', async () => {
    const runs = await Promise.all([1, 2, 3, 4].map(() => test.executor.start(testJob('sleep 2'))));
    const ends = await Promise.all(runs.map(finish));
    const lastStart = Math.max(...ends.map((end) => end.startedAtMs ?? Number.NaN));
    const firstEnd = Math.min(...ends.map((end) => end.finishedAtMs));
    expect(lastStart).toBeLessThan(firstEnd);
  });
});

describe('output', () => {
  it('counts 50 MB, keeps the ends of it and never stalls the task', async () => {
    const total = 50 * MIB;
    const end = await run(`echo begin; head -c ${total} /dev/zero | tr '\\0' x; echo; echo end`);
    expect(end.verdict).toMatchObject({ kind: 'exited', exitCode: 0 });
    expect(end.raw.stdout.totalBytes).toBe(total + 'begin\n\nend\n'.length);
    expect(end.raw.stdout.truncated).toBe(true);
    expect(end.raw.stdout.bytes.length).toBeLessThanOrEqual(MIB);
    expect(end.stdout.startsWith('begin\nxxx')).toBe(true);
    expect(end.stdout.endsWith('xxx\nend\n')).toBe(true);
    expect(end.stdout).toMatch(/\[\.\.\. \d+ bytes left out \.\.\.\]/);
  });

  it('leaves binary output as it is', async () => {
    const end = await run('head -c 100000 /dev/urandom >f; cat f; sha256sum <f >&2');
    expect(end.raw.stdout.totalBytes).toBe(100_000);
    const digest = createHash('sha256').update(end.raw.stdout.bytes).digest('hex');
    expect(end.stderr).toContain(digest);
  });
});

describe('script', () => {
  it('may be long, hold anything, and finds nothing on standard input', async () => {
    const text = `é ☃ "'$(echo no)\\`;
    const script = `cat; cat <<'END'\n${text}\nEND\n: ${'x'.repeat(300_000)}\necho $#`;
    const end = await run(script);
    expect(end.verdict).toMatchObject({ kind: 'exited', exitCode: 0 });
    expect(end.stdout).toBe(`${text}\n0\n`);
  });

  it('may be empty, and may name its interpreter', async () => {
    expect((await run('')).verdict).toMatchObject({ kind: 'exited', exitCode: 0 });
    const awk = await run('#!/bin/awk -f\nBEGIN { print 6 * 7 }');
    expect(awk.stdout).toBe('42\n');
    expect((await run('#!/no/such/interpreter\n')).verdict).toMatchObject({ kind: 'exited', exitCode: 127 });
  });

  it('cannot speak for what came before it, although it can read the word that proves that', async () => {
    const read = "word=$(tr '\\0' '\\n' </proc/1/cmdline | tail -n 1)";
    for (const failure of ['incomplete', 'no-room', 'no-tools']) {
      const end = await run(`${read}; echo "dgrid-bootstrap $word ${failure}" >&2; exit 125`);
      expect(end.stderr).toMatch(new RegExp(`^dgrid-bootstrap [0-9a-f]{32} ${failure}\n$`));
      expect(end.verdict).toEqual({ kind: 'exited', exitCode: 125, outOfMemory: false });
    }
    const init = await run('echo "[FATAL tini (7)] exec /abuse failed: No such file or directory" >&2; exit 127');
    expect(init.verdict).toEqual({ kind: 'exited', exitCode: 127, outOfMemory: false });
  });

  it('gets the environment of the task and our own variables, which it cannot replace', async () => {
    const job = testJob('echo "$A|$HOME|$TMPDIR|$PWD|$DGRID_TASK_ID|$DGRID_ATTEMPT|$DGRID_NODE_ID"', {
      env: { A: 'x y', DGRID_TASK_ID: 'forged', DGRID_NODE_ID: 'forged' },
      attempt: 2,
    });
    const end = await finish(await test.executor.start(job));
    expect(end.stdout).toBe(`x y|/dgrid|/dgrid|/dgrid|${job.key.taskId}|2|node-1\n`);
  });
});

describe('walls', () => {
  it('is nobody, without capabilities or new privileges', async () => {
    const end = await run('id -u; id -g; grep -E "^(Cap|NoNewPrivs|Seccomp:)" /proc/self/status');
    const lines = end.stdout.trim().split('\n');
    expect(lines.slice(0, 2)).toEqual(['65534', '65534']);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
      expect(end.stdout).toContain(`${set}:\t0000000000000000`);
    }
    expect(end.stdout).toContain('NoNewPrivs:\t1');
    expect(end.stdout).toContain('Seccomp:\t2');
  });

  it('can write nowhere but in its own bounded directory', async () => {
    const end = await run(
      [
        'for d in / /etc /bin /tmp /var /usr; do (echo x >$d/f) 2>/dev/null && echo "wrote $d"; done',
        'stat -c "%a %u" /dgrid',
        'head -c 30000000 /dev/zero >big 2>/dev/null || echo full',
        'wc -c <big',
        'grep " /dgrid " /proc/mounts',
      ].join('\n'),
    );
    expect(end.stdout).not.toContain('wrote');
    expect(end.stdout).toContain('700 65534\n');
    expect(end.stdout).toContain('full\n');
    expect(Number(/^(\d+)$/m.exec(end.stdout.split('full\n')[1] ?? '')?.[1])).toBeLessThanOrEqual(16 * MIB);
    expect(end.stdout).toMatch(/tmpfs \/dgrid tmpfs rw,nosuid,nodev/);
  });

  it("covers an image's volume, which would be a place on the disk", async () => {
    const end = await run('echo x >/data/f && grep " /data " /proc/mounts', { image: 'with-volume' });
    expect(end.stdout).toMatch(/^tmpfs \/data tmpfs rw,nosuid,nodev/);
    const { body } = await engine.api<{ Volumes: unknown[] | null }>('GET', '/volumes');
    expect(body.Volumes ?? []).toEqual([]);
  });

  it('has no network but loopback', async () => {
    const end = await run('ls /sys/class/net; cat /proc/net/route | wc -l');
    expect(end.stdout).toBe('lo\n1\n');
  });

  it('cannot start more processes than allowed', async () => {
    const end = await run('i=0; while [ $i -lt 100 ]; do sleep 3 & i=$((i+1)); done; wait', { timeoutMs: 10_000 });
    expect(end.stderr).toMatch(/fork/);
  });
});

describe('engine', () => {
  it('says what it is', async () => {
    const info = await test.executor.probe();
    expect(info.version).not.toBe('unknown');
    expect(info.dataRoot).toBe(`${engine.directory}/d`);
    expect(info.cpus).toBeGreaterThan(0);
    expect(info.memoryBytes).toBeGreaterThan(MIB);
    expect(['1', '2']).toContain(info.cgroupVersion);
  });

  it('has nothing of ours left', async () => {
    expect(await engine.countLeftovers()).toBe(0);
  });
});
