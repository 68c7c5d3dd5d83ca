/**
 * One worker for each state directory on this machine.
 *
 * The lock on `worker.lock` is the kernel's (kernel-lock.ts). So there is no stale lock to judge and no take-over that
 * could race, and no reboot keeps it. A file with a process id could not do that: two containers that share the directory
 * cannot look into each other's process table.
 *
 * `worker.holder.json` beside it says who holds the lock, for the error message only; it decides nothing.
 *
 * Bounds: machines that share the directory over a network depend on that file system's locking, and whoever deletes
 * `worker.lock` while a worker runs makes room for a second one.
 */
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import type { Emit, EventFields } from '../observe/events.ts';
import { type Clock, isoTime } from '../runtime.ts';
import { KernelLock } from './kernel-lock.ts';

export interface LockHolder {
  /** In the holder's own process table, which may be a container's. */
  pid: number;
  hostName: string;
  nodeId: string;
  /** ISO 8601 UTC. */
  since: string;
}

export type InstanceLockErrorKind =
  /** Another worker runs here. */
  | 'held'
  /** The directory or this Node cannot give a lock. */
  | 'unusable';

export class InstanceLockError extends Error {
  override readonly name = 'InstanceLockError';
  readonly kind: InstanceLockErrorKind;
  /** For `held`: who says to hold it; null when that cannot be read. */
  readonly holder: LockHolder | null;
  constructor(kind: InstanceLockErrorKind, message: string, holder: LockHolder | null, cause: unknown) {
    super(message, { cause });
    this.kind = kind;
    this.holder = holder;
  }
}

export interface AcquireOptions {
  stateDir: string;
  nodeId: string;
  clock: Clock;
  /** For another worker to give the lock back. Default: none. */
  waitMs?: number;
  /** Ends the waiting. */
  signal?: AbortSignal;
  emit?: Emit;
}

/** Whoever waits in the kernel's own queue could not be called away. */
const LOOK_EVERY_MS = 500;

const holderSchema = z.object({ pid: z.int(), hostName: z.string(), nodeId: z.string(), since: z.string() });

export class InstanceLock {
  #lock: KernelLock | null;
  readonly #holderPath: string;

  private constructor(lock: KernelLock, holderPath: string) {
    this.#lock = lock;
    this.#holderPath = holderPath;
  }

  /**
   * Takes the lock at once, or as soon as another worker has given it back. The caller must keep the returned object for as
   * long as it needs the lock.
   * @throws InstanceLockError, `held` when it was not given back in time or the signal aborted.
   */
  static async acquire(options: AcquireOptions): Promise<InstanceLock> {
    const { stateDir, nodeId, clock, waitMs = 0, signal } = options;
    const holderPath = join(stateDir, 'worker.holder.json');
    const giveUpMs = clock.monotonicMs() + waitMs;
    let lock = await tryLock(stateDir);
    for (let tried = 1; lock === null; tried += 1) {
      const holder = await readHolder(holderPath);
      const leftMs = giveUpMs - clock.monotonicMs();
      if (leftMs <= 0 || signal?.aborted) {
        throw new InstanceLockError('held', `another worker uses ${stateDir}${describe(holder)}`, holder, undefined);
      }
      if (tried === 1) options.emit?.('worker.waiting', { ...told(holder), state_dir: stateDir, wait_ms: waitMs });
      await clock.sleep(Math.min(LOOK_EVERY_MS, leftMs), signal);
      lock = await tryLock(stateDir);
    }
    const holder: LockHolder = { pid: process.pid, hostName: hostname(), nodeId, since: isoTime(clock.wallMs()) };
    // The lock holds without it, even on a full disk; a name left by someone else must not be taken for ours, though.
    await writeFile(holderPath, `${JSON.stringify(holder)}\n`, { mode: 0o600 }).catch(() => removeQuietly(holderPath));
    return new InstanceLock(lock, holderPath);
  }

  /** Gives the lock back. Calling it again does nothing. Never throws. */
  async release(): Promise<void> {
    const lock = this.#lock;
    if (!lock) return;
    this.#lock = null;
    // While the lock is still held: afterwards the file may name the next holder.
    await removeQuietly(this.#holderPath);
    lock.release();
  }
}

/**
 * Whether a worker uses the directory, for those who only look. Takes the lock for the moment of looking, which a worker that
 * starts then waits for.
 * @returns null when nobody does, or nobody ever has. @throws Error when the directory cannot be looked into.
 */
export async function lookForHolder(stateDir: string): Promise<{ holder: LockHolder | null } | null> {
  const path = join(stateDir, 'worker.lock');
  // Looking must not make it.
  const isThere = await stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
  if (!isThere) return null;
  const lock = await KernelLock.tryAcquire(path);
  lock?.release();
  return lock ? null : { holder: await readHolder(join(stateDir, 'worker.holder.json')) };
}

async function tryLock(stateDir: string): Promise<KernelLock | null> {
  try {
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    return await KernelLock.tryAcquire(join(stateDir, 'worker.lock'));
  } catch (error) {
    const reason = (error as Error).message;
    throw new InstanceLockError('unusable', `cannot lock the state directory ${stateDir}: ${reason}`, null, error);
  }
}

async function readHolder(path: string): Promise<LockHolder | null> {
  try {
    return holderSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    return null;
  }
}

function told(holder: LockHolder | null): EventFields {
  if (!holder) return {};
  return { holder_pid: holder.pid, holder_host: holder.hostName, holder_node: holder.nodeId, since: holder.since };
}

function describe(holder: LockHolder | null): string {
  if (!holder) return '';
  return `: process ${holder.pid} on ${holder.hostName}, node ${holder.nodeId}, since ${holder.since}`;
}

async function removeQuietly(path: string): Promise<void> {
  await rm(path, { force: true }).catch(() => undefined);
}
