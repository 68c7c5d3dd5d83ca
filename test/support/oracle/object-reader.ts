/** The objects of a history, decoded by the code of the worker itself. */
import { MODE_TREE, parseCommit, parseTree, type TreeEntry } from '../../../src/git/objects.ts';
import type { Oid } from '../../../src/git/oid.ts';
import { decodeOutputState, type OutputState } from '../../../src/ledger/output-codec.ts';
import { decodeNodeState, decodeTaskState, type NodeState, type TaskState } from '../../../src/ledger/state-codec.ts';
import type { NodeId, TaskId } from '../../../src/task/id.ts';
import type { History } from './history.ts';

export interface OracleCommit {
  tree: Oid;
  parents: readonly Oid[];
  message: string;
  committerEmail: string;
}

export interface ReadState<T> {
  /** null when it cannot be read as a state of this ref; `problem` says why. */
  state: T | null;
  problem: string;
  parents: readonly Oid[];
  tree: Oid | null;
}

/** A file that differs between two trees. */
export interface FileChange {
  path: string;
  before: Oid | null;
  after: Oid | null;
}

/** The branch has a tree a directory, of which few change from commit to commit. */
const MAX_CACHED_TREES = 64;
const NO_ENTRIES: ReadonlyMap<string, TreeEntry> = new Map();

export class ObjectReader {
  readonly #history: History;
  readonly #trees = new Map<Oid, ReadonlyMap<string, TreeEntry>>();

  constructor(history: History) {
    this.#history = history;
  }

  commit(oid: Oid): OracleCommit | null {
    const object = this.#history.object(oid);
    if (object?.type !== 'commit') return null;
    const { tree, parents, message } = parseCommit(object.content);
    const end = object.content.indexOf('\n\n');
    const header = object.content.toString('utf8', 0, end < 0 ? object.content.length : end);
    return { tree, parents, message, committerEmail: /^committer .*<(.*)> /m.exec(header)?.[1] ?? '' };
  }

  blob(oid: Oid): Buffer | null {
    const object = this.#history.object(oid);
    return object?.type === 'blob' ? object.content : null;
  }

  task(oid: Oid, id: TaskId): ReadState<TaskState> {
    return this.#state(oid, (message) => decodeTaskState(message, id));
  }

  node(oid: Oid, id: NodeId): ReadState<NodeState> {
    return this.#state(oid, (message) => decodeNodeState(message, id));
  }

  output(oid: Oid, id: TaskId): ReadState<OutputState> {
    return this.#state(oid, (message) => decodeOutputState(message, id));
  }

  /** By name. Empty for a tree that is not there: what misses it then finds nothing in it. */
  entries(tree: Oid | null): ReadonlyMap<string, TreeEntry> {
    if (tree === null) return NO_ENTRIES;
    const cached = this.#trees.get(tree);
    if (cached) return cached;
    const object = this.#history.object(tree);
    if (object?.type !== 'tree') return NO_ENTRIES;
    const entries = new Map(parseTree(object.content, this.#history.format).map((entry) => [entry.name, entry]));
    if (this.#trees.size >= MAX_CACHED_TREES) {
      const [oldest] = this.#trees.keys();
      if (oldest !== undefined) this.#trees.delete(oldest);
    }
    this.#trees.set(tree, entries);
    return entries;
  }

  /** Only directories that differ are read. */
  changedFiles(before: Oid | null, after: Oid | null, prefix = ''): FileChange[] {
    if (before === after) return [];
    const changes: FileChange[] = [];
    const old = this.entries(before);
    const now = this.entries(after);
    for (const [name, entry] of old) this.#compare(`${prefix}${name}`, entry, now.get(name), changes);
    for (const [name, entry] of now) if (!old.has(name)) this.#compare(`${prefix}${name}`, undefined, entry, changes);
    return changes;
  }

  #compare(path: string, old: TreeEntry | undefined, now: TreeEntry | undefined, into: FileChange[]): void {
    if (old && now && old.oid === now.oid && old.mode === now.mode) return;
    const tree = (entry: TreeEntry | undefined): Oid | null => (entry?.mode === MODE_TREE ? entry.oid : null);
    const file = (entry: TreeEntry | undefined): Oid | null => (entry && entry.mode !== MODE_TREE ? entry.oid : null);
    if (file(old) !== null || file(now) !== null) into.push({ path, before: file(old), after: file(now) });
    if (tree(old) !== null || tree(now) !== null) {
      for (const change of this.changedFiles(tree(old), tree(now), `${path}/`)) into.push(change);
    }
  }

  #state<T>(
    oid: Oid,
    decode: (message: string) => { kind: 'state'; state: T } | { kind: string; problem?: string },
  ): ReadState<T> {
    const object = this.#history.object(oid);
    if (object?.type !== 'commit') {
      return { state: null, problem: object ? `a ${object.type}` : 'not there', parents: [], tree: null };
    }
    const { message, parents, tree } = parseCommit(object.content);
    const decoded = decode(message);
    if ('state' in decoded) return { state: decoded.state, problem: '', parents, tree };
    return { state: null, problem: decoded.problem ?? decoded.kind, parents, tree };
  }
}
