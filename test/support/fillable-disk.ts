/** A small disk of its own for one directory, which a test fills, makes read-only, and frees again. */
import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { appendFile, open, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { onTestFinished } from 'vitest';
import { smallExt4, smallTmpfs } from './small-file-system.ts';

const run = promisify(execFile);

const CHUNK_BYTES = 1024 ** 2;
const MAX_FILES = 20_000;

export const SHORTAGES = ['bytes', 'inodes', 'read-only'] as const;
export type Shortage = (typeof SHORTAGES)[number];

export class FillableDisk {
  /** Where the files of others go that take up the room. */
  readonly root: string;
  /** The directory that the test's program uses. */
  readonly path: string;
  readonly #shortage: Shortage;
  #short = false;

  private constructor(root: string, shortage: Shortage) {
    this.root = root;
    this.path = join(root, 'used');
    this.#shortage = shortage;
    mkdirSync(this.path);
  }

  /** Removed at the end of the test. */
  static async make(shortage: Shortage, megabytes = 16): Promise<FillableDisk> {
    const root = shortage === 'inodes' ? await smallTmpfs(megabytes, 2_000) : await smallExt4(megabytes);
    const disk = new FillableDisk(root, shortage);
    // Registered after the mount, so it runs before the unmount.
    onTestFinished(() => disk.free());
    return disk;
  }

  /** On a disk that is there already. */
  static on(root: string): FillableDisk {
    const disk = new FillableDisk(root, 'bytes');
    onTestFinished(() => disk.free());
    return disk;
  }

  /** @param leftBytes what stays free, for a shortage of bytes */
  async fill(leftBytes = 0): Promise<void> {
    this.#short = true;
    if (this.#shortage === 'bytes') await this.#fillBytes(leftBytes);
    else if (this.#shortage === 'inodes') await this.#fillInodes();
    else {
      // Laid over it: what is open for writing already would keep the file system itself from becoming read-only.
      await run('mount', ['--bind', this.path, this.path]);
      await run('mount', ['-o', 'remount,bind,ro', this.path]);
    }
  }

  async free(): Promise<void> {
    if (!this.#short) return;
    this.#short = false;
    if (this.#shortage === 'read-only') await run('umount', ['--lazy', this.path]);
    else await rm(join(this.root, 'ballast'), { recursive: true, force: true });
  }

  async #fillBytes(leftBytes: number): Promise<void> {
    const ballast = join(this.root, 'ballast');
    for (let chunk = CHUNK_BYTES; chunk >= 1024; ) {
      const { bfree, bsize } = await statfs(this.root);
      const room = bfree * bsize - leftBytes;
      const bytes = Math.min(chunk, room);
      if (bytes <= 0) return;
      try {
        await appendFile(ballast, Buffer.alloc(bytes, 1));
        // Only what is allocated counts, and that may come late.
        const file = await open(ballast, 'r+');
        await file.sync();
        await file.close();
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
        chunk /= 4;
      }
    }
  }

  async #fillInodes(): Promise<void> {
    mkdirSync(join(this.root, 'ballast'));
    for (let number = 0; number < MAX_FILES; number += 1) {
      try {
        await writeFile(join(this.root, 'ballast', String(number)), '');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return;
        throw error;
      }
    }
    throw new Error('the inodes did not run out');
  }
}
