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
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
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

const holderSchema = z.object({ pid: z.int(), hostName: z.string(), nodeId: z.string(), since: z.string() });

export class InstanceLock {
  #lock: KernelLock | null;
  readonly #holderPath: string;

  private constructor(lock: KernelLock, holderPath: string) {
    this.#lock = lock;
    this.#holderPath = holderPath;
  }

  /**
   * Takes the lock at once or not at all. The caller must keep the returned object for as long as it needs the lock.
   * @throws InstanceLockError
   */
  static async acquire(options: { stateDir: string; nodeId: string; clock: Clock }): Promise<InstanceLock> {
    const { stateDir, nodeId, clock } = options;
    const holderPath = join(stateDir, 'worker.holder.json');
    let lock: KernelLock | null;
    try {
      await mkdir(stateDir, { recursive: true, mode: 0o700 });
      lock = await KernelLock.tryAcquire(join(stateDir, 'worker.lock'));
    } catch (error) {
      const reason = (error as Error).message;
      throw new InstanceLockError('unusable', `cannot lock the state directory ${stateDir}: ${reason}`, null, error);
    }
    if (!lock) {
      const holder = await readHolder(holderPath);
      throw new InstanceLockError('held', `another worker uses ${stateDir}${describe(holder)}`, holder, undefined);
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

async function readHolder(path: string): Promise<LockHolder | null> {
  try {
    return holderSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    return null;
  }
}

function describe(holder: LockHolder | null): string {
  if (!holder) return '';
  return `: process ${holder.pid} on ${holder.hostName}, node ${holder.nodeId}, since ${holder.since}`;
}

async function removeQuietly(path: string): Promise<void> {
  await rm(path, { force: true }).catch(() => undefined);
}
