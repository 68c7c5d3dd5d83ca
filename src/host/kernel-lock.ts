/**
 * A lock between processes of one machine that the kernel keeps: a POSIX record lock on a file, taken through the SQLite
 * that is part of Node (which has no call of its own for it). The kernel drops it the moment the process is gone, however
 * it went, so there is no stale lock to judge.
 */
import type { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemRandomFraction } from '../runtime.ts';

/**
 * An exclusive lock is taken in three steps, and of two that try at once each can be in the other's way, so that neither
 * gets it. Whoever holds it holds it for long; so "busy" is believed after this many tries, at uneven distances.
 */
const TRIES = 5;
const LONGEST_WAIT_MS = 40;

/** The low byte of an error code; the rest tells kinds of it apart. */
const SQLITE_BUSY = 5;

export class KernelLock {
  #database: DatabaseSync | null;

  private constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /**
   * Takes the lock within a fifth of a second or not at all: null when another process holds it. The directory of `path` must exist.
   * The caller must keep the returned object for as long as it needs the lock.
   * @throws Error when the file or this Node cannot give a lock.
   */
  static async tryAcquire(path: string): Promise<KernelLock | null> {
    // Loaded here, not above: some builds of Node come without it, and that is to be an error one can read.
    const sqlite = await import('node:sqlite');
    for (let tried = 1; ; tried++) {
      const database = new sqlite.DatabaseSync(path, { timeout: 0 });
      try {
        // Nothing is ever written to it, so it needs no journal; one left by a crash would only raise questions.
        database.exec('PRAGMA journal_mode = OFF; BEGIN EXCLUSIVE');
        return new KernelLock(database);
      } catch (error) {
        database.close();
        if (((error as { errcode?: number }).errcode ?? 0) % 256 !== SQLITE_BUSY) throw error;
      }
      if (tried === TRIES) return null;
      await sleep(systemRandomFraction() * LONGEST_WAIT_MS);
    }
  }

  /** Calling it again does nothing. */
  release(): void {
    this.#database?.close();
    this.#database = null;
  }
}
