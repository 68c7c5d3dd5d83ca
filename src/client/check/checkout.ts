/**
 * A checkout of a task repository, as far as checking needs it: which files stand in its queue, and which tasks have their
 * record. What counts as a task file is decided by the same code as in a worker.
 */
import { readdir } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import type { Oid } from '../../git/oid.ts';
import { FoundFiles, isLegalDirectory } from '../../ledger/found-files.ts';
import { COMPLETED_DIR, FAILED_DIR, QUEUE_DIR } from '../../ledger/names.ts';
import { MAX_QUEUE_DEPTH } from '../../ledger/queue-index.ts';

/** As a worker reads. */
const MAX_ENTRIES = 250_000;
/** Nobody asks for the object of a file that is not committed yet. */
const NO_OBJECT = '' as Oid;

export interface Checkout {
  /** Paths in it begin with `tasks/`. */
  root: string;
  queue: FoundFiles;
  /** Where the record of a task stands. */
  records: ReadonlyMap<string, string>;
}

/** The root of the checkout that has this path in its queue; null: it is in none. @param path absolute */
export function rootAbove(path: string): string | null {
  const inside = `${sep}${QUEUE_DIR}${sep}`;
  const at = `${path}${sep}`.lastIndexOf(inside);
  return at < 0 ? null : path.slice(0, at) || sep;
}

/** A directory that has `tasks/queue`, or is or lies in one; null: neither. @param path absolute */
export async function rootOf(path: string): Promise<string | null> {
  const above = rootAbove(path);
  if (above !== null) return above;
  return (await isDirectory(join(path, QUEUE_DIR))) ? path : null;
}

/** @throws the file system's error where something that is there cannot be read */
export async function readCheckout(root: string): Promise<Checkout> {
  const queue = new FoundFiles();
  await walk(root, QUEUE_DIR, queue);
  queue.close();
  const records = new Map<string, string>();
  for (const dir of [FAILED_DIR, COMPLETED_DIR]) {
    for (const { name } of await entriesOf(join(root, dir))) {
      if (name.endsWith('.json')) records.set(name.slice(0, -'.json'.length), `${dir}/${name}`);
    }
  }
  return { root, queue, records };
}

async function walk(root: string, directory: string, found: FoundFiles): Promise<void> {
  let level = [directory];
  let seen = 0;
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > MAX_QUEUE_DEPTH) {
      for (const path of level) found.illegal(path);
      return;
    }
    const next: string[] = [];
    for (const path of level) {
      const entries = await entriesOf(join(root, path));
      seen += entries.length;
      if (seen > MAX_ENTRIES) {
        found.leftOut ??= path;
        return;
      }
      for (const entry of entries) {
        const child = `${path}/${entry.name}`;
        if (!entry.isDirectory()) {
          const mode = entry.isFile() ? '100644' : '120000';
          found.add(child, { mode, name: entry.name, oid: NO_OBJECT });
        } else if (isLegalDirectory(entry.name)) next.push(child);
        else found.illegal(child);
      }
    }
    level = next;
  }
}

/** Sorted by name; none where there is no directory. */
async function entriesOf(path: string) {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

async function isDirectory(path: string): Promise<boolean> {
  const entries = await readdir(dirname(path), { withFileTypes: true }).catch(() => []);
  return entries.some((entry) => join(dirname(path), entry.name) === path && entry.isDirectory());
}
