/**
 * A place for the local clone of one running client.
 *
 * A clone belongs to one process at a time. A client that watches holds its clone for hours, and others must not wait for
 * it: so each repository has a few numbered places, and a client takes the first free one. When all are taken, or there
 * is no cache directory, it works in a temporary one.
 */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KernelLock } from '../host/kernel-lock.ts';

export const MAX_CACHE_SLOTS = 8;

export interface CacheSlot {
  /** For the clone. Nobody else uses it until `release`. */
  path: string;
  /** True when it lasts, and so is worth keeping small. */
  lasting: boolean;
  /** Never throws. */
  release(): Promise<void>;
}

/** What is kept of one repository. */
export function cacheRoot(cacheHome: string, repoUrl: string): string {
  return join(cacheHome, 'dgrid', createHash('sha256').update(repoUrl).digest('hex').slice(0, 16));
}

/** @param cacheHome the user's cache directory; null when there is none. @throws the file system's error when there is not even a temporary place. */
export async function takeCacheSlot(cacheHome: string | null, repoUrl: string): Promise<CacheSlot> {
  if (cacheHome !== null) {
    const root = cacheRoot(cacheHome, repoUrl);
    try {
      await mkdir(root, { recursive: true, mode: 0o700 });
      for (let number = 0; number < MAX_CACHE_SLOTS; number += 1) {
        const lock = await KernelLock.tryAcquire(join(root, `${number}.lock`));
        if (!lock) continue;
        return { path: join(root, `${number}.git`), lasting: true, release: async () => lock.release() };
      }
    } catch {
      // A read-only home, a full disk, a Node without locks: a cache is a convenience, not a condition.
    }
  }
  const path = await mkdtemp(join(tmpdir(), 'dgrid-client-'));
  return {
    path,
    lasting: false,
    release: () => rm(path, { recursive: true, force: true, maxRetries: 3 }).catch(() => undefined),
  };
}
