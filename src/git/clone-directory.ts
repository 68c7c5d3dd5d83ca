/**
 * The directory of the local clone as files: whose it is, making room for a new clone, clearing what a killed git left.
 *
 * Invariant: nothing is ever deleted in a directory that has neither our marker nor our configuration. The marker is the
 * first thing written and the last thing replaced, so a crash at any moment leaves a directory that is still known as
 * ours, or an empty one.
 */
import type { Dirent } from 'node:fs';
import { lstat, mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hasOurConfig, readPlainFile } from './clone-frame.ts';
import { GitError } from './errors.ts';
import type { ObjectFormat } from './oid.ts';

const MARKER_FILE = 'dgrid-clone.json';
const MARKER_VERSION = 1;
const MAX_MARKER_BYTES = 64 * 1024;
/** Deeper than any ref we know of. */
const MAX_DEPTH = 32;

/** What the clone was made for. If any of it changes, another clone is made. */
export interface CloneIdentity {
  /** Without secrets. */
  url: string;
  format: ObjectFormat;
  shallow: boolean;
}

export interface CloneMarker extends CloneIdentity {
  version: number;
  /** Whether a first fetch has been completed. */
  complete: boolean;
}

export type DirectoryState =
  | { kind: 'absent' }
  /** There is something else in it. */
  | { kind: 'foreign' }
  /** `marker: null` when ours, but the marker cannot be read. */
  | { kind: 'ours'; marker: CloneMarker | null };

/** @throws GitError (`local-io`) */
export async function inspectDirectory(path: string): Promise<DirectoryState> {
  return guarded(path, async () => {
    let names: string[];
    try {
      names = await readdir(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { kind: 'absent' };
      if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') return { kind: 'foreign' };
      throw error;
    }
    if (names.length === 0) return { kind: 'absent' };
    if (!names.includes(MARKER_FILE))
      return (await hasOurConfig(path)) ? { kind: 'ours', marker: null } : { kind: 'foreign' };
    const text = await readPlainFile(join(path, MARKER_FILE), MAX_MARKER_BYTES).catch(unreadable);
    return { kind: 'ours', marker: text === null ? null : parseMarker(text) };
  });
}

/** An empty directory but for a marker that was there. @throws GitError (`occupied` when it is not ours, or `local-io`) */
export async function clearDirectory(path: string): Promise<void> {
  const state = await inspectDirectory(path);
  if (state.kind === 'foreign') {
    throw new GitError(
      'occupied',
      'clone',
      `${path} is not empty and was not made by D-GRID: set DGRID_REPO_PATH to another directory, or empty it`,
    );
  }
  await guarded(path, async () => {
    await mkdir(path, { recursive: true, mode: 0o700 });
    try {
      await empty(path);
    } catch (error) {
      if (!isForbidden(error)) throw error;
      // Something in it cannot be deleted: made immutable, or somebody else's. Out of the way it does no harm.
      await rm(`${path}.set-aside`, { recursive: true, force: true });
      await rename(path, `${path}.set-aside`);
      await mkdir(path, { mode: 0o700 });
    }
  });
}

/** The files go, the directory stays: it may be a mount point. */
async function empty(path: string): Promise<void> {
  for (const name of await readdir(path)) {
    if (name !== MARKER_FILE) await rm(join(path, name), { recursive: true, force: true });
  }
  const marker = join(path, MARKER_FILE);
  const found = await lstat(marker).catch(() => null);
  if (found && !found.isFile()) await rm(marker, { recursive: true, force: true });
}

/** Whole or not at all: a full disk leaves the marker that was there. @throws GitError (`local-io`) */
export async function writeMarker(path: string, identity: CloneIdentity, complete: boolean): Promise<void> {
  const marker: CloneMarker = { ...identity, version: MARKER_VERSION, complete };
  const file = join(path, MARKER_FILE);
  await guarded(path, async () => {
    // A name that is swept away with git's own locks after a crash.
    await writeFile(`${file}.lock`, `${JSON.stringify(marker, null, 2)}\n`);
    await rename(`${file}.lock`, file);
  });
}

/**
 * Removes lock files and half-written packs. Only when no git runs in the clone: a lock of a living one is not stale.
 * @returns how many were removed. @throws GitError (`local-io`)
 */
export async function removeLeftovers(path: string): Promise<number> {
  return guarded(path, () => sweep(path, 0));
}

async function sweep(dir: string, depth: number): Promise<number> {
  let removed = 0;
  for (const entry of await listDirectory(dir)) {
    const full = join(dir, entry.name);
    if (entry.isDirectory()) {
      // Loose objects stand one below `objects` in directories of two digits: their temporary files have a name to know.
      if (depth < MAX_DEPTH) removed += await sweep(full, depth + 1);
    } else if (entry.name.endsWith('.lock') || entry.name.startsWith('tmp_') || entry.name === 'gc.pid') {
      await rm(full, { force: true });
      removed += 1;
    }
  }
  return removed;
}

/** Bytes of all files. @throws GitError (`local-io`) */
export async function directoryBytes(path: string, depth = 0): Promise<number> {
  return guarded(path, async () => {
    let bytes = 0;
    for (const entry of await listDirectory(path)) {
      const full = join(path, entry.name);
      if (entry.isDirectory()) bytes += depth < MAX_DEPTH ? await directoryBytes(full, depth + 1) : 0;
      else bytes += await stat(full).then((found) => found.size, gone);
    }
    return bytes;
  });
}

/** Empty when the directory has just gone. */
async function listDirectory(dir: string): Promise<Dirent[]> {
  try {
    return await readdir(dir, { withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** A pipe, a link, a directory in the place of the marker; anything else is no damage and is thrown. */
function unreadable(error: NodeJS.ErrnoException): null {
  if (['ELOOP', 'EISDIR', 'ENXIO', 'ENOENT', 'ENOTDIR'].includes(error.code ?? '')) return null;
  throw error;
}

function isForbidden(error: unknown): boolean {
  return ['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '');
}

function gone(error: NodeJS.ErrnoException): number {
  if (error.code === 'ENOENT') return 0;
  throw error;
}

function parseMarker(text: string): CloneMarker | null {
  try {
    const value = JSON.parse(text) as Partial<CloneMarker> | null;
    if (value?.version !== MARKER_VERSION || typeof value.url !== 'string') return null;
    if (value.format !== 'sha1' && value.format !== 'sha256') return null;
    if (typeof value.shallow !== 'boolean' || typeof value.complete !== 'boolean') return null;
    return {
      version: value.version,
      url: value.url,
      format: value.format,
      shallow: value.shallow,
      complete: value.complete,
    };
  } catch {
    return null;
  }
}

async function guarded<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    if (cause instanceof GitError) throw cause;
    throw new GitError('local-io', 'clone', `the local clone ${path} cannot be used: ${(cause as Error).message}`, {
      cause,
    });
  }
}
