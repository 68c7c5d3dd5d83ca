/**
 * What the branch says: which task files wait, and which tasks have their record already. Read from the tree of one
 * commit; directories that did not change since the last reading are not read again.
 */
import { GitError } from '../git/errors.ts';
import { type GitObject, MODE_TREE, parseTree, type TreeEntry } from '../git/objects.ts';
import type { ObjectFormat, Oid } from '../git/oid.ts';
import { SortedEntries } from '../git/sorted-entries.ts';
import type { TreeReader } from '../git/tree-edit.ts';
import { isTaskId, type TaskId } from '../task/id.ts';
import { COMPLETED_DIR, FAILED_DIR, QUEUE_DIR, SIGNATURE_SUFFIX } from './names.ts';

export interface QueueFile {
  taskId: TaskId;
  path: string;
  blob: Oid;
  /** Anything but a regular file (a link, a submodule) is an invalid task. */
  regular: boolean;
  /** The file beside it that has its signature; null when there is none. */
  signature: Oid | null;
}

interface RecordDir {
  dir: typeof COMPLETED_DIR | typeof FAILED_DIR;
  entries: SortedEntries;
}

const SIGNATURE_ENDING = `.json${SIGNATURE_SUFFIX}`;
/** Directories below the queue; deeper ones are named, not searched. */
export const MAX_QUEUE_DEPTH = 16;

export class QueueIndex {
  readonly files: ReadonlyMap<TaskId, QueueFile>;
  /** Paths of files that can never become a task: their name is no legal id, or they are a signature of nothing. */
  readonly illegalPaths: readonly string[];
  /** Files whose id a file earlier in path order has already. */
  readonly duplicates: readonly QueueFile[];
  /** Ids that are both queued and recorded: never run, a new id is needed. */
  readonly alreadyRecorded: ReadonlySet<TaskId>;
  readonly #records: readonly RecordDir[];

  constructor(parts: {
    files: ReadonlyMap<TaskId, QueueFile>;
    illegalPaths: readonly string[];
    duplicates: readonly QueueFile[];
    records: readonly RecordDir[];
    alreadyRecorded: ReadonlySet<TaskId>;
  }) {
    this.files = parts.files;
    this.illegalPaths = parts.illegalPaths;
    this.duplicates = parts.duplicates;
    this.#records = parts.records;
    this.alreadyRecorded = parts.alreadyRecorded;
  }

  static readonly EMPTY = new QueueIndex({
    files: new Map(),
    illegalPaths: [],
    duplicates: [],
    records: [],
    alreadyRecorded: new Set(),
  });

  /** Where the record of this task stands, or null. */
  recordOf(id: TaskId): { path: string; blob: Oid } | null {
    const name = `${id}.json`;
    for (const { dir, entries } of this.#records) {
      const blob = entries.idOf(name);
      if (blob) return { path: `${dir}/${name}`, blob };
    }
    return null;
  }

  /** How many tasks have their record, by directory. */
  countRecords(): { completed: number; failed: number } {
    const counts = { completed: 0, failed: 0 };
    for (const { dir, entries } of this.#records) {
      counts[dir === COMPLETED_DIR ? 'completed' : 'failed'] = entries.countFiles('.json');
    }
    return counts;
  }
}

export class QueueReader {
  readonly #read: TreeReader;
  readonly #format: () => ObjectFormat;
  /** Parsed queue directories of the last reading, by tree id. */
  #cache = new Map<Oid, TreeEntry[]>();
  /** Directories of records of the last reading, by tree id. */
  #recordDirs = new Map<Oid, SortedEntries>();

  constructor(read: TreeReader, format: () => ObjectFormat) {
    this.#read = read;
    this.#format = format;
  }

  /** @param root the tree of the tip. @throws GitError (`corrupt-local`) when a tree is not readable. */
  async readIndex(root: Oid): Promise<QueueIndex> {
    const rootEntries = await this.#entries(root);
    const tasks = childTree(rootEntries, 'tasks');
    if (!tasks) return QueueIndex.EMPTY;
    const taskEntries = await this.#entries(tasks);
    const records = await this.#records(taskEntries);
    const files = new Map<TaskId, QueueFile>();
    const illegalPaths: string[] = [];
    const duplicates: QueueFile[] = [];
    const used = new Map<Oid, TreeEntry[]>();
    let level: { path: string; tree: Oid }[] = [];
    const queue = childTree(taskEntries, 'queue');
    if (queue) level.push({ path: QUEUE_DIR, tree: queue });
    const found: { path: string; entry: TreeEntry }[] = [];
    for (let depth = 0; level.length > 0; depth += 1) {
      if (depth > MAX_QUEUE_DEPTH) {
        illegalPaths.push(...level.map(({ path }) => path));
        break;
      }
      const trees = await this.#manyEntries(level.map(({ tree }) => tree));
      const next: typeof level = [];
      for (const { path, tree } of level) {
        const entries = trees.get(tree) ?? [];
        used.set(tree, entries);
        for (const entry of entries) {
          const childPath = `${path}/${entry.name}`;
          if (entry.mode === MODE_TREE) next.push({ path: childPath, tree: entry.oid });
          else found.push({ path: childPath, entry });
        }
      }
      level = next;
    }
    this.#cache = used;
    found.sort((a, b) => (a.path < b.path ? -1 : 1));
    const signatures = new Map<string, Oid>();
    for (const { path, entry } of found) {
      if (!entry.name.endsWith(SIGNATURE_ENDING) || !entry.mode.startsWith('100')) continue;
      signatures.set(path.slice(0, -SIGNATURE_SUFFIX.length), entry.oid);
    }
    for (const { path, entry } of found) {
      if (path.endsWith(SIGNATURE_ENDING) && entry.mode.startsWith('100')) continue;
      // Files like .gitkeep and README.md keep the directory alive and are no tasks.
      if (!entry.name.endsWith('.json')) {
        if (!entry.name.startsWith('.') && entry.name !== 'README.md') illegalPaths.push(path);
        continue;
      }
      const id = entry.name.slice(0, -'.json'.length);
      if (!isTaskId(id)) {
        illegalPaths.push(path);
        continue;
      }
      const regular = entry.mode.startsWith('100');
      const file: QueueFile = { taskId: id, path, blob: entry.oid, regular, signature: signatures.get(path) ?? null };
      signatures.delete(path);
      if (files.has(id)) duplicates.push(file);
      else files.set(id, file);
    }
    illegalPaths.push(...[...signatures.keys()].map((path) => `${path}${SIGNATURE_SUFFIX}`));
    const alreadyRecorded = new Set<TaskId>();
    for (const id of files.keys()) {
      if (records.some(({ entries }) => entries.idOf(`${id}.json`) !== null)) alreadyRecorded.add(id);
    }
    return new QueueIndex({ files, illegalPaths, duplicates, records, alreadyRecorded });
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
      const entries = this.#recordDirs.get(tree) ?? new SortedEntries(treeContent(objects, tree), this.#format());
      used.set(tree, entries);
      return [{ dir, entries }];
    });
    this.#recordDirs = used;
    return found;
  }

  async #entries(tree: Oid): Promise<TreeEntry[]> {
    return parseTree(treeContent(await this.#read([tree]), tree), this.#format());
  }

  async #manyEntries(trees: readonly Oid[]): Promise<Map<Oid, TreeEntry[]>> {
    const missing = trees.filter((tree) => !this.#cache.has(tree));
    const objects = missing.length > 0 ? await this.#read(missing) : new Map<Oid, GitObject>();
    return new Map(
      trees.map((tree) => [tree, this.#cache.get(tree) ?? parseTree(treeContent(objects, tree), this.#format())]),
    );
  }
}

function childTree(entries: readonly TreeEntry[], name: string): Oid | null {
  const entry = entries.find((candidate) => candidate.name === name);
  return entry?.mode === MODE_TREE ? entry.oid : null;
}

function treeContent(objects: ReadonlyMap<Oid, GitObject>, tree: Oid): Buffer {
  const object = objects.get(tree);
  if (object?.type !== 'tree') throw new GitError('corrupt-local', 'read', `tree ${tree} is not readable`);
  return object.content;
}
