/**
 * Files of the worker that take up room for nothing: what a crash left half written, and a clone that could not be deleted
 * when it was replaced. And how much room a directory takes up.
 *
 * Nothing here is a result, nor evidence for a person: what was set aside as damaged stays.
 */
import type { Dirent } from 'node:fs';
import { lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

export interface OwnPlaces {
  stateDir: string;
  /** The local clone. */
  repoPath: string;
}

export interface Leftover {
  path: string;
  /** Which of the two places it lies in. */
  place: keyof OwnPlaces;
  bytes: number;
  inodes: number;
}

/** Whoever writes such a file has renamed it within moments. */
const HALF_WRITTEN_MS = 3_600_000;
const HALF_WRITTEN = /\.(?:tmp|new)$/;
/** Of a directory whose files are counted; what lies beyond is not worth the time on a disk that is short of it. */
const MAX_COUNTED_FILES = 100_000;
const MAX_DEPTH = 32;
const BLOCK_BYTES = 512;

/** Never throws: what cannot be looked at is no leftover. */
export async function findLeftovers({ repoPath, stateDir }: OwnPlaces, wallMs: number): Promise<Leftover[]> {
  const leftovers: Leftover[] = [];
  for (const entry of await entriesOf(stateDir)) {
    if (!entry.isFile() || !HALF_WRITTEN.test(entry.name)) continue;
    const path = join(stateDir, entry.name);
    const found = await lstat(path).catch(() => null);
    if (found === null || wallMs - found.mtimeMs < HALF_WRITTEN_MS) continue;
    leftovers.push({ path, place: 'stateDir', bytes: found.blocks * BLOCK_BYTES, inodes: 1 });
  }
  const aside = `${repoPath}.set-aside`;
  if ((await lstat(aside).catch(() => null))?.isDirectory()) {
    leftovers.push({ path: aside, place: 'repoPath', ...(await roomOf(aside)) });
  }
  return leftovers;
}

/** @returns those that are gone now. What cannot be deleted stays, whatever the reason. */
export async function removeLeftovers(leftovers: readonly Leftover[], signal: AbortSignal): Promise<string[]> {
  const removed: string[] = [];
  for (const { path } of leftovers) {
    signal.throwIfAborted();
    const isGone = await rm(path, { recursive: true, force: true }).then(
      () => true,
      () => false,
    );
    if (isGone) removed.push(path);
  }
  return removed;
}

/** What a directory with all that is below it takes up on its disk. Follows no links. */
export async function roomOf(directory: string): Promise<{ bytes: number; inodes: number }> {
  const room = { bytes: 0, inodes: 1 };
  let level = [directory];
  for (let depth = 0; depth < MAX_DEPTH && level.length > 0; depth += 1) {
    const next: string[] = [];
    for (const parent of level) {
      for (const entry of await entriesOf(parent)) {
        if (room.inodes >= MAX_COUNTED_FILES) return room;
        const path = join(parent, entry.name);
        room.inodes += 1;
        room.bytes += ((await lstat(path).catch(() => null))?.blocks ?? 0) * BLOCK_BYTES;
        if (entry.isDirectory()) next.push(path);
      }
    }
    level = next;
  }
  return room;
}

async function entriesOf(directory: string): Promise<Dirent[]> {
  return await readdir(directory, { withFileTypes: true }).catch(() => []);
}
