/**
 * What the branch says: which task files wait, and which tasks have their record already. Read from the tree of one
 * commit; directories that did not change since the last reading are not read again.
 */
import { GitError } from '../git/errors.ts';
import { countEntries, type GitObject, MODE_TREE, parseTree, type TreeEntry, treeEntries } from '../git/objects.ts';
import type { ObjectFormat, Oid } from '../git/oid.ts';
import { SortedEntries } from '../git/sorted-entries.ts';
import type { TreeReader } from '../git/tree-edit.ts';
import { isTaskId, type TaskId } from '../task/id.ts';
import { FoundFiles, isLegalDirectory, type QueueFile } from './found-files.ts';
import { COMPLETED_DIR, FAILED_DIR, QUEUE_DIR } from './names.ts';

interface RecordDir {
  dir: typeof COMPLETED_DIR | typeof FAILED_DIR;
  entries: SortedEntries;
}

/** Directories below the queue; deeper ones are named, not searched. */
export const MAX_QUEUE_DEPTH = 16;
/** A few small trees can unfold to more files than there are atoms: beyond these, no further directory is read. */
const MAX_QUEUE_DIRECTORIES = 10_000;
const MAX_QUEUE_ENTRIES = 250_000;

const RECORD_SUFFIX = '.json';

export class QueueIndex {
  readonly files: ReadonlyMap<TaskId, QueueFile>;
  /** Paths of files that can never become a task: their name is no legal id, or that of a directory above; a lone signature. */
  readonly illegalPaths: readonly string[];
  /** How many more there are. */
  readonly moreIllegalPaths: number;
  /** Directories that could not be read, and why. */
  readonly unreadable: readonly { path: string; problem: string }[];
  /** The first directory that was left out because there is too much; null when nothing was. */
  readonly leftOut: string | null;
  /** Files whose id a file earlier in path order has already. */
  readonly duplicates: ReadonlyMap<TaskId, readonly QueueFile[]>;
  /** Ids that are both queued and recorded: never run, a new id is needed. */
  readonly alreadyRecorded: ReadonlySet<TaskId>;
  readonly #records: readonly RecordDir[];

  constructor(parts: {
    found: FoundFiles;
    records: readonly RecordDir[];
    alreadyRecorded: ReadonlySet<TaskId>;
  }) {
    const { found } = parts;
    this.files = found.files;
    this.illegalPaths = found.illegalPaths;
    this.moreIllegalPaths = found.moreIllegalPaths;
    this.unreadable = found.unreadable;
    this.leftOut = found.leftOut;
    this.duplicates = found.duplicates;
    this.#records = parts.records;
    this.alreadyRecorded = parts.alreadyRecorded;
  }

  static readonly EMPTY = new QueueIndex({ found: new FoundFiles(), records: [], alreadyRecorded: new Set() });

  /** Where the record of this task stands, or null. */
  recordOf(id: TaskId): { path: string; blob: Oid } | null {
    const name = `${id}.json`;
    for (const { dir, entries } of this.#records) {
      const blob = entries.idOf(name);
      if (blob) return { path: `${dir}/${name}`, blob };
    }
    return null;
  }

  /** Tasks that have their record; only those that had none in `before`, where it is given. */
  *recorded(before: QueueIndex | null = null): Generator<TaskId> {
    for (const { dir, entries } of this.#records) {
      const known = before === null ? undefined : before.#records.find((one) => one.dir === dir)?.entries;
      if (known === entries) continue;
      const names = known ? entries.addedSince(known, RECORD_SUFFIX) : entries.files(RECORD_SUFFIX);
      for (const name of names) if (isTaskId(name)) yield name;
    }
  }

  /** Of each directory of records the tasks with the last names, at most so many in all. */
  lastRecorded(max: number): TaskId[] {
    const suffix = '.json';
    const names = this.#records.flatMap(({ entries }) => entries.lastNames(suffix, Math.max(0, max)));
    return names
      .map((name) => name.slice(0, -suffix.length))
      .filter(isTaskId)
      .sort()
      .toReversed()
      .slice(0, Math.max(0, max));
  }

  /** How many tasks have their record, by directory. */
  countRecords(): { completed: number; failed: number } {
    const counts = { completed: 0, failed: 0 };
    for (const { dir, entries } of this.#records) {
      counts[dir === COMPLETED_DIR ? 'completed' : 'failed'] = entries.countFiles(RECORD_SUFFIX);
    }
    return counts;
  }
}

/** One that is a tree from its beginning to its end. */
interface Directory {
  content: Buffer;
  count: number;
}

export class QueueReader {
  readonly #read: TreeReader;
  readonly #format: () => ObjectFormat;
  /** Queue directories of the last reading, by tree id: their bytes, which take a fifth of what their entries would. */
  #cache = new Map<Oid, Directory>();
  /** Directories of records of the last reading, by tree id. */
  #recordDirs = new Map<Oid, SortedEntries>();

  constructor(read: TreeReader, format: () => ObjectFormat) {
    this.#read = read;
    this.#format = format;
  }

  /**
   * @param root the tree of the tip.
   * @throws GitError: `corrupt-local` when a tree is not there, `corrupt-remote` when one that all depends on is none.
   */
  async readIndex(root: Oid): Promise<QueueIndex> {
    const rootEntries = await this.#entries(root, 'the root');
    const tasks = childTree(rootEntries, 'tasks');
    if (!tasks) return QueueIndex.EMPTY;
    const taskEntries = await this.#entries(tasks, 'tasks');
    const records = await this.#records(taskEntries);
    const found = new FoundFiles();
    const queue = childTree(taskEntries, 'queue');
    if (queue) await this.#walk(queue, found);
    else if (taskEntries.some(({ name }) => name === 'queue')) found.refuse(QUEUE_DIR, 'it is no directory');
    const alreadyRecorded = new Set<TaskId>();
    for (const id of found.files.keys()) {
      if (records.some(({ entries }) => entries.idOf(`${id}.json`) !== null)) alreadyRecorded.add(id);
    }
    return new QueueIndex({ found, records, alreadyRecorded });
  }

  /** All files below the queue, level by level; what cannot be read does not keep the rest away. */
  async #walk(queue: Oid, found: FoundFiles): Promise<void> {
    const used = new Map<Oid, Directory>();
    let level: { path: string; tree: Oid }[] = [{ path: QUEUE_DIR, tree: queue }];
    let directories = 0;
    let seen = 0;
    for (let depth = 0; level.length > 0; depth += 1) {
      if (depth > MAX_QUEUE_DEPTH) {
        for (const { path } of level) found.illegal(path);
        break;
      }
      directories += level.length;
      const trees = await this.#directories(level.map(({ tree }) => tree));
      const next: typeof level = [];
      for (const { path, tree } of level) {
        if (seen > MAX_QUEUE_ENTRIES) {
          found.leftOut ??= path;
          break;
        }
        const directory = trees.get(tree) ?? 'it is not there';
        if (typeof directory === 'string') {
          found.refuse(path, directory);
          continue;
        }
        used.set(tree, directory);
        seen += directory.count;
        for (const entry of treeEntries(directory.content, this.#format())) {
          const childPath = `${path}/${entry.name}`;
          if (entry.mode !== MODE_TREE) {
            found.add(childPath, entry);
          } else if (!isLegalDirectory(entry.name)) found.illegal(childPath);
          else if (directories + next.length < MAX_QUEUE_DIRECTORIES) next.push({ path: childPath, tree: entry.oid });
          else found.leftOut ??= childPath;
        }
      }
      level = next;
    }
    this.#cache = used;
    found.close();
  }

  async #records(taskEntries: readonly TreeEntry[]): Promise<RecordDir[]> {
    const dirs = [
      { dir: COMPLETED_DIR, tree: childTree(taskEntries, 'completed') },
      { dir: FAILED_DIR, tree: childTree(taskEntries, 'failed') },
    ] as const;
    const wanted = dirs.flatMap(({ tree }) => (tree && !this.#recordDirs.has(tree) ? [tree] : []));
    const objects = wanted.length > 0 ? await this.#read(wanted) : new Map<Oid, GitObject>();
    const used = new Map<Oid, SortedEntries>();
    const found = dirs.flatMap(({ dir, tree }) => {
      if (!tree) return [];
      const entries =
        this.#recordDirs.get(tree) ??
        whole(dir, () => new SortedEntries(treeContent(objects, tree, dir), this.#format()));
      used.set(tree, entries);
      return [{ dir, entries }];
    });
    this.#recordDirs = used;
    return found;
  }

  async #entries(tree: Oid, path: string): Promise<TreeEntry[]> {
    const objects = await this.#read([tree]);
    return whole(path, () => parseTree(treeContent(objects, tree, path), this.#format()));
  }

  /** A text says why one cannot be read. @throws GitError (`corrupt-local`) for one that is not there */
  async #directories(trees: readonly Oid[]): Promise<Map<Oid, Directory | string>> {
    const missing = [...new Set(trees)].filter((tree) => !this.#cache.has(tree));
    const objects = missing.length > 0 ? await this.#read(missing) : new Map<Oid, GitObject>();
    const all = new Map<Oid, Directory | string>();
    for (const tree of trees)
      if (!all.has(tree)) all.set(tree, this.#cache.get(tree) ?? this.#directory(objects, tree));
    return all;
  }

  #directory(objects: ReadonlyMap<Oid, GitObject>, tree: Oid): Directory | string {
    try {
      const content = treeContent(objects, tree, 'a directory of the queue');
      // The whole is looked through before any of it counts.
      return { content, count: countEntries(content, this.#format()) };
    } catch (error) {
      if (error instanceof GitError && error.kind === 'corrupt-local') throw error;
      return (error as Error).message;
    }
  }
}

function childTree(entries: readonly TreeEntry[], name: string): Oid | null {
  const entry = entries.find((candidate) => candidate.name === name);
  return entry?.mode === MODE_TREE ? entry.oid : null;
}

function treeContent(objects: ReadonlyMap<Oid, GitObject>, tree: Oid, path: string): Buffer {
  const object = objects.get(tree);
  if (!object) throw new GitError('corrupt-local', 'read', `tree ${tree} is not readable`);
  if (object.type === 'tree') return object.content;
  throw new GitError('corrupt-remote', 'read', `${path} on the branch is a ${object.type}, not a tree (${tree})`);
}

/** @throws GitError (`corrupt-remote`) that names what is malformed */
function whole<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    const message = `${path} on the branch is no tree that can be read (${cause.message}): "git fsck" on the host tells more`;
    throw new GitError('corrupt-remote', 'read', message, { cause });
  }
}
