/**
 * The ids of tasks that this machine has seen in a repository, kept beside its clone: for shells that complete them, which
 * cannot wait for a network. Nothing else believes them.
 */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { GridView } from '../ledger/grid-view.ts';
import { isTaskId, type TaskId } from '../task/id.ts';
import { cacheRoot } from './cache-slot.ts';

/** What is in work or queued comes first, then results, those with the last names first: ids made here sort by time. */
export const MAX_KNOWN_IDS = 5_000;
const MAX_FILE_BYTES = MAX_KNOWN_IDS * 64;
const FILE = 'task-ids';

export interface SeenIds {
  view: GridView;
  /** Queued after that. */
  queuedSince: Iterable<TaskId>;
}

/** Never throws: they are a convenience. @param unique for the name of a file of our own */
export async function keepKnownIds(
  cacheHome: string,
  repoUrl: string,
  { view, queuedSince }: SeenIds,
  unique: string,
): Promise<void> {
  const ids = new Set<TaskId>([...queuedSince, ...view.tasks.keys()]);
  for (const id of view.queue.files.keys()) {
    if (ids.size >= MAX_KNOWN_IDS) break;
    ids.add(id);
  }
  for (const id of view.queue.lastRecorded(MAX_KNOWN_IDS - ids.size)) ids.add(id);
  if (ids.size === 0) return;
  const root = cacheRoot(cacheHome, repoUrl);
  const own = join(root, `${FILE}.${unique}`);
  try {
    await mkdir(root, { recursive: true, mode: 0o700 });
    await writeFile(own, [...ids].slice(0, MAX_KNOWN_IDS).join('\n'), { mode: 0o600 });
    await rename(own, join(root, FILE));
  } catch {
    await rm(own, { force: true }).catch(() => undefined);
  }
}

/** None where nothing was kept, or it cannot be read. */
export async function readKnownIds(cacheHome: string, repoUrl: string): Promise<TaskId[]> {
  try {
    const text = (await readFile(join(cacheRoot(cacheHome, repoUrl), FILE)))
      .subarray(0, MAX_FILE_BYTES)
      .toString('utf8');
    return text.split('\n').filter(isTaskId);
  } catch {
    return [];
  }
}
