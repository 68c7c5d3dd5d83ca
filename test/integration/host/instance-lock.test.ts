import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, it, onTestFinished } from 'vitest';
import { InstanceLock } from '../../../src/host/instance-lock.ts';
import type { Emit } from '../../../src/observe/events.ts';
import { systemClock } from '../../../src/runtime.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const SCRIPT = new URL('../../support/hold-instance-lock.ts', import.meta.url).pathname;

interface Holder {
  child: ChildProcess;
  said: { held: boolean; kind?: string; message?: string };
  kill(signal: NodeJS.Signals): Promise<void>;
  letGo(): Promise<void>;
}

/** Resolves when the process has said whether it got the lock. */
async function startHolder(stateDir: string, nodeId: string, wrapper: string[] = []): Promise<Holder> {
  const argv = [...wrapper, process.execPath, SCRIPT, stateDir, nodeId];
  const child = spawn('env', argv, { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return {
    child,
    said: JSON.parse(line) as Holder['said'],
    async kill(signal) {
      child.kill(signal);
      await exited;
    },
    async letGo() {
      child.stdin.end();
      await exited;
    },
  };
}

const acquire = (stateDir: string) => InstanceLock.acquire({ stateDir, nodeId: 'here', clock: systemClock });

it('keeps a second worker out and says who is in', async () => {
  const stateDir = join(await temporaryDirectory(), 'made', 'on', 'demand');
  const first = await startHolder(stateDir, 'box-1');
  expect(first.said).toEqual({ held: true });
  const error: unknown = await acquire(stateDir).catch((reason: unknown) => reason);
  expect(error).toMatchObject({
    name: 'InstanceLockError',
    kind: 'held',
    holder: { pid: first.child.pid, nodeId: 'box-1' },
    message: expect.stringContaining(`process ${first.child.pid} on `),
  });
  await first.letGo();
  const lock = await acquire(stateDir);
  await lock.release();
});

it('is free at once after kill -9, and names the new holder then', async () => {
  const stateDir = await temporaryDirectory();
  for (let round = 0; round < 5; round++) {
    const holder = await startHolder(stateDir, `round-${round}`);
    expect(holder.said).toEqual({ held: true });
    await expect(acquire(stateDir)).rejects.toMatchObject({ holder: { nodeId: `round-${round}` } });
    await holder.kill('SIGKILL');
  }
  const lock = await acquire(stateDir);
  await lock.release();
  expect(await readdir(stateDir)).toEqual(['worker.lock']);
});

it('waits for the one before it when it was told to, and says once that it does', async () => {
  const stateDir = await temporaryDirectory();
  const holder = await startHolder(stateDir, 'leaving');
  const told: unknown[] = [];
  const emit: Emit = (name, fields) => void told.push([name, fields]);
  const options = { stateDir, nodeId: 'next', clock: systemClock, waitMs: 60_000, emit };
  const waiting = InstanceLock.acquire(options);
  const isOver = await Promise.race([waiting.then(() => true), systemClock.sleep(1_200).then(() => false)]);
  expect(isOver).toBe(false);
  const { pid } = holder.child;
  const about = { holder_pid: pid, holder_host: hostname(), holder_node: 'leaving', since: expect.any(String) };
  expect(told).toEqual([['worker.waiting', { ...about, state_dir: stateDir, wait_ms: 60_000 }]]);
  await holder.letGo();
  const lock = await waiting;
  expect(JSON.parse(await readFile(join(stateDir, 'worker.holder.json'), 'utf8'))).toMatchObject({ nodeId: 'next' });
  await lock.release();
});

it('gives up waiting when the time is over, and when it is told to', async () => {
  const stateDir = await temporaryDirectory();
  const holder = await startHolder(stateDir, 'staying');
  const options = { stateDir, nodeId: 'next', clock: systemClock };
  const held = { kind: 'held', holder: { nodeId: 'staying' } };
  const begunMs = performance.now();
  await expect(InstanceLock.acquire({ ...options, waitMs: 700 })).rejects.toMatchObject(held);
  expect(performance.now() - begunMs).toBeGreaterThanOrEqual(690);
  const signal = AbortSignal.timeout(300);
  await expect(InstanceLock.acquire({ ...options, waitMs: 600_000, signal })).rejects.toMatchObject(held);
  await holder.letGo();
});

it('stays held by a process that is only stopped', async () => {
  const stateDir = await temporaryDirectory();
  const holder = await startHolder(stateDir, 'asleep');
  holder.child.kill('SIGSTOP');
  await expect(acquire(stateDir)).rejects.toMatchObject({ kind: 'held' });
  holder.child.kill('SIGCONT');
  await holder.letGo();
});

it('lets exactly one of two win, each time, also over the lock of a dead one', async () => {
  const stateDir = await temporaryDirectory();
  for (let round = 0; round < 20; round++) {
    const racers = await Promise.all([startHolder(stateDir, 'left'), startHolder(stateDir, 'right')]);
    const winners = racers.filter(({ said }) => said.held);
    const losers = racers.filter(({ said }) => !said.held);
    expect(winners).toHaveLength(1);
    expect(losers.map(({ said }) => said.kind)).toEqual(['held']);
    await winners[0]?.kill('SIGKILL');
  }
});

it('is not put off by somebody who only looks at the lock for a moment, as a second one that tries does', async () => {
  const stateDir = await temporaryDirectory();
  const { DatabaseSync } = await import('node:sqlite');
  const passing = new DatabaseSync(join(stateDir, 'worker.lock'));
  passing.exec('BEGIN; SELECT * FROM sqlite_master');
  setTimeout(() => passing.close(), 1);
  const lock = await acquire(stateDir);
  await lock.release();
});

it('holds across process tables, as between two containers', async () => {
  const stateDir = await temporaryDirectory();
  const isolated = ['unshare', '--user', '--map-root-user', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const inside = await startHolder(stateDir, 'inside', isolated);
  expect(inside.said).toEqual({ held: true });
  const other = await startHolder(stateDir, 'other', isolated);
  expect(other.said).toMatchObject({ held: false, kind: 'held' });
  await expect(acquire(stateDir)).rejects.toMatchObject({ kind: 'held', holder: { pid: 1, nodeId: 'inside' } });
  // The holder itself, not what started it: that ends only when the holder is gone for good.
  const wrapperPid = inside.child.pid;
  const [holderPid] = (await readFile(`/proc/${wrapperPid}/task/${wrapperPid}/children`, 'utf8')).trim().split(' ');
  const ended = once(inside.child, 'exit');
  process.kill(Number(holderPid), 'SIGKILL');
  await ended;
  const lock = await acquire(stateDir);
  await lock.release();
});

it('is not passed on to child processes', async () => {
  const stateDir = await temporaryDirectory();
  const lock = await acquire(stateDir);
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child, 'spawn');
  await lock.release();
  const again = await acquire(stateDir);
  await again.release();
});

it('keeps a second one out within a process, and gives back as often as one likes', async () => {
  const stateDir = await temporaryDirectory();
  const lock = await acquire(stateDir);
  await expect(acquire(stateDir)).rejects.toMatchObject({ kind: 'held', holder: { pid: process.pid } });
  await lock.release();
  await lock.release();
  const next = await acquire(stateDir);
  await lock.release();
  await expect(acquire(stateDir)).rejects.toMatchObject({ kind: 'held' });
  await next.release();
});

it('says what is wrong where no lock can be had', async () => {
  const root = await temporaryDirectory();
  const file = join(root, 'file');
  await writeFile(file, 'in the way');
  await expect(acquire(join(file, 'state'))).rejects.toMatchObject({ kind: 'unusable', holder: null });
  await mkdir(join(root, 'worker.lock'));
  await expect(acquire(root)).rejects.toMatchObject({ kind: 'unusable', message: expect.stringContaining(root) });
});

it('does not name a holder from a file that says nothing of use', async () => {
  const stateDir = await temporaryDirectory();
  const lock = await acquire(stateDir);
  expect(JSON.parse(await readFile(join(stateDir, 'worker.holder.json'), 'utf8'))).toMatchObject({ nodeId: 'here' });
  await writeFile(join(stateDir, 'worker.holder.json'), '{"pid":');
  await expect(acquire(stateDir)).rejects.toMatchObject({ kind: 'held', holder: null });
  await lock.release();
});
