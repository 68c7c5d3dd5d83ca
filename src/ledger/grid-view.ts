/**
 * What one worker knows of the grid: the branch tip with its queue, the state of every task in work, and every node's
 * last sign of life.
 *
 * `refresh` asks the remote for its refs (one cheap request) and fetches only when something changed that this worker
 * does not know yet. What the worker itself has swapped is known without fetching.
 *
 * Invariants:
 * - `oid` is always what the remote answered, or what a won swap has made of that since; `state` is null only when the
 *   object could not be read yet. Nobody acts on a null state.
 * - A state counts for the task or node that it names, and for no other whose ref holds the same object.
 * - A view is never older than the listing that began at `listedAtMs`.
 */
import { GitError } from '../git/errors.ts';
import { type GitObject, parseCommit } from '../git/objects.ts';
import { type Oid, type RefName, refName } from '../git/oid.ts';
import type { RefListing, RefSwap, Repository } from '../git/repository.ts';
import type { Clock } from '../runtime.ts';
import type { NodeId, TaskId } from '../task/id.ts';
import { NAMESPACES, type Namespace, parseLedgerRef } from './names.ts';
import { QueueIndex, QueueReader } from './queue-index.ts';
import { type Decoded, decodeNodeState, decodeTaskState, type NodeState, type TaskState } from './state-codec.ts';

export interface Known<T> {
  oid: Oid;
  /** null: not read yet. */
  state: Decoded<T> | null;
}

export interface GridView {
  branch: RefName;
  tip: Oid | null;
  tipTree: Oid | null;
  queue: QueueIndex;
  tasks: Map<TaskId, Known<TaskState>>;
  nodes: Map<NodeId, Known<NodeState>>;
  /** Monotonic instants before the listing was asked for and after it was answered. */
  listedAtMs: number;
  answeredAtMs: number;
  /** True when this refresh had to fetch. */
  fetched: boolean;
  /** Below the namespace, and none of a task or node: the first few. */
  illegalRefs: readonly string[];
  /** From the fallback namespace: nodes are registered in the preferred one as well, where nobody sees ours. */
  elsewhere: boolean;
  /** What else was asked for. */
  also: ReadonlyMap<RefName, Oid>;
}

const MAX_REFRESH_ROUNDS = 5;
const HEAD_EVERY_LOOKS = 20;
const [PREFERRED] = NAMESPACES;
const MAX_ILLEGAL_REFS = 100;
/** What could not be had is asked for again after this time: the remote may have come to its senses. */
const REFUSED_AGAIN_MS = 10 * 60_000;
/** Far more than can be settled while a refresh is under way. */
const MAX_RECENT_SWAPS = 4_000;

export interface RefreshOptions {
  /** Fetch also when nothing seems to have changed. */
  always?: boolean;
  /** Read the content of node refs too, not just their ids. */
  nodes?: 'needed' | 'all';
  /** Refs that are none of the grid's states, to be listed in the same request. */
  also?: readonly RefName[];
  signal?: AbortSignal;
}

export class GridReader {
  readonly #repository: Repository;
  readonly #clock: Clock;
  readonly #configuredBranch: string | null;
  readonly #queueReader: QueueReader;
  #namespace: Namespace;
  /** Decoded states by object id, whichever ref holds it: states never change, so this is only ever trimmed. */
  #taskStates = new Map<Oid, Decoded<TaskState>>();
  #nodeStates = new Map<Oid, Decoded<NodeState>>();
  /** What could not be had, and when that was. */
  readonly #refusedAtMs = new Map<Oid, number>();
  #view: GridView | null = null;
  /** What the remote's HEAD named when it was asked. */
  #headBranch: RefName | null = null;
  #looks = 0;
  /** Own swaps, and when each was known to have won: a refresh that was under way then does not show them yet. */
  #recentSwaps: { swap: RefSwap; atMs: number }[] = [];

  constructor(parts: { repository: Repository; clock: Clock; namespace: Namespace; branch: string | null }) {
    this.#repository = parts.repository;
    this.#clock = parts.clock;
    this.#namespace = parts.namespace;
    this.#configuredBranch = parts.branch;
    this.#queueReader = new QueueReader(
      (oids) => this.#repository.readObjects(oids),
      () => this.#repository.objectFormat(),
    );
  }

  get namespace(): Namespace {
    return this.#namespace;
  }

  useNamespace(namespace: Namespace): void {
    this.#namespace = namespace;
    this.#view = null;
  }

  /** The last view; an empty one before the first refresh. */
  get view(): GridView {
    return (
      this.#view ?? {
        branch: this.#branchOf(null),
        tip: null,
        tipTree: null,
        queue: QueueIndex.EMPTY,
        tasks: new Map(),
        nodes: new Map(),
        listedAtMs: Number.NEGATIVE_INFINITY,
        answeredAtMs: Number.NEGATIVE_INFINITY,
        fetched: false,
        illegalRefs: [],
        elsewhere: false,
        also: new Map(),
      }
    );
  }

  /** What the worker itself wrote needs no fetching: call this before or after the swap, with the new object. */
  remember(object: GitObject, state: TaskState | NodeState): void {
    const writtenAtSeconds = parseCommit(object.content).committedAtSeconds;
    if ('taskId' in state) this.#taskStates.set(object.oid, { kind: 'state', state, writtenAtSeconds });
    else this.#nodeStates.set(object.oid, { kind: 'state', state, writtenAtSeconds });
  }

  /** Brings the view up to date with a swap that is known to have won, also the one that is being made. */
  apply(swap: RefSwap): void {
    this.#recentSwaps = [...this.#recentSwaps, { swap, atMs: this.#clock.monotonicMs() }].slice(-MAX_RECENT_SWAPS);
    if (this.#view) this.#applyTo(this.#view, swap);
  }

  #applyTo(view: GridView, { ref, to }: RefSwap): void {
    const parsed = parseLedgerRef(this.#namespace, ref);
    if (!parsed) return;
    if (parsed.kind === 'task') {
      if (to) view.tasks.set(parsed.id, { oid: to, state: this.#taskStates.get(to) ?? null });
      else view.tasks.delete(parsed.id);
    } else if (to) view.nodes.set(parsed.id, { oid: to, state: this.#nodeStates.get(to) ?? null });
    else view.nodes.delete(parsed.id);
  }

  /** Forgets everything, so that the next refresh reads it anew: the local cache was thrown away. */
  reset(): void {
    this.#view = null;
    this.#taskStates.clear();
    this.#nodeStates.clear();
    this.#refusedAtMs.clear();
  }

  /** @throws GitError; of kind `corrupt-local` also when what was fetched is not readable. */
  async refresh(options: RefreshOptions = {}): Promise<GridView> {
    for (let round = 1; ; round += 1) {
      const view = await this.#refreshOnce(options);
      if (view) return view;
      // The branch moved between the listing and the fetch, and a shallow fetch brings only the newest commit.
      if (round === MAX_REFRESH_ROUNDS) {
        throw new GitError('corrupt-local', 'read', `the tip of the branch is not readable after ${round} fetches`);
      }
    }
  }

  async #refreshOnce(options: RefreshOptions): Promise<GridView | null> {
    const listedAtMs = this.#clock.monotonicMs();
    const others = this.#namespace === PREFERRED ? null : `${PREFERRED}/nodes/`;
    // All branches only until it is known which one counts: a host may have thousands. That HEAD names another one now is
    // looked for once in a while, and whenever the one that it named is gone.
    const usual = this.#configuredBranch ? this.#branchOf(null) : this.#headBranch;
    const asksHead = !this.#configuredBranch && (this.#looks % HEAD_EVERY_LOOKS === 0 || this.#view?.tip === null);
    this.#looks += 1;
    const prefixes = [
      ...(asksHead ? ['HEAD'] : []),
      usual ?? 'refs/heads/',
      `${this.#namespace}/`,
      ...(others ? [others] : []),
      ...(options.also ?? []),
    ];
    const listing = await this.#repository.listRefs(prefixes, options.signal);
    const answeredAtMs = this.#clock.monotonicMs();
    if (listing.headBranch !== null && listing.headBranch !== this.#headBranch) {
      this.#headBranch = listing.headBranch;
      this.#looks = 1;
      // Its tip was not asked for.
      if (usual !== null && !this.#configuredBranch) return this.#refreshOnce(options);
    }
    const branch = this.#branchOf(listing);
    const tip = listing.refs.get(branch) ?? null;
    const taskOids = new Map<TaskId, Oid>();
    const nodeOids = new Map<NodeId, Oid>();
    const illegalRefs: string[] = [];
    for (const [ref, oid] of listing.refs) {
      const parsed = parseLedgerRef(this.#namespace, ref);
      if (parsed?.kind === 'task') taskOids.set(parsed.id, oid);
      else if (parsed?.kind === 'node') nodeOids.set(parsed.id, oid);
      else if (ref.startsWith(`${this.#namespace}/`) && illegalRefs.length < MAX_ILLEGAL_REFS) illegalRefs.push(ref);
    }
    this.#forgetRefused(listedAtMs);
    this.#forgetAllBut(new Set([...taskOids.values(), ...nodeOids.values()]));

    const tipChanged = tip !== this.view.tip || branch !== this.view.branch;
    let fetched = await this.#fetchUnknown(
      {
        branch: (tipChanged && tip) || options.always ? branch : null,
        tip,
        tasks: options.always || [...taskOids.values()].some((oid) => !this.#taskStates.has(oid)),
        nodes: options.nodes === 'all' && [...nodeOids.values()].some((oid) => !this.#nodeStates.has(oid)),
      },
      taskOids,
      nodeOids,
      options.signal,
    );
    // Owners of claims must be known to tell whether they still hold them; idle nodes' heartbeats need not be read.
    const unknownOwner = [...taskOids].some(([, oid]) => {
      const decoded = this.#taskStates.get(oid);
      if (decoded?.kind !== 'state' || decoded.state.state !== 'claimed') return false;
      const nodeOid = nodeOids.get(decoded.state.nodeId);
      return nodeOid !== undefined && !this.#nodeStates.has(nodeOid);
    });
    if (unknownOwner) {
      await this.#fetchUnknown(
        { branch: null, tip: null, tasks: false, nodes: true },
        taskOids,
        nodeOids,
        options.signal,
      );
      fetched = true;
    }

    let { queue, tipTree } = this.view;
    if (tipChanged || options.always) {
      tipTree = tip ? await this.#treeOf(tip) : null;
      if (tip && !tipTree) return null;
      queue = tipTree ? await this.#queueReader.readIndex(tipTree) : QueueIndex.EMPTY;
    }
    const view: GridView = {
      branch,
      tip,
      tipTree,
      queue,
      tasks: known(taskOids, this.#taskStates, (state) => state.taskId),
      nodes: known(nodeOids, this.#nodeStates, (state) => state.nodeId),
      listedAtMs,
      answeredAtMs,
      fetched,
      illegalRefs,
      elsewhere: others !== null && [...listing.refs.keys()].some((ref) => ref.startsWith(others)),
      also: new Map((options.also ?? []).flatMap((ref) => entryOf(listing.refs, ref))),
    };
    for (const { swap, atMs } of this.#recentSwaps) {
      const parsed = parseLedgerRef(this.#namespace, swap.ref);
      const shown = parsed?.kind === 'task' ? view.tasks.get(parsed.id) : parsed && view.nodes.get(parsed.id);
      // Only where the listing shows what the swap replaced: anything else may be newer than the swap.
      if (atMs > listedAtMs && (shown?.oid ?? null) === swap.from) this.#applyTo(view, swap);
    }
    this.#view = view;
    return view;
  }

  #branchOf(listing: RefListing | null): RefName {
    if (this.#configuredBranch) return refName(`refs/heads/${this.#configuredBranch}`);
    return listing?.headBranch ?? this.#headBranch ?? this.#view?.branch ?? refName('refs/heads/main');
  }

  async #fetchUnknown(
    wanted: { branch: RefName | null; tip: Oid | null; tasks: boolean; nodes: boolean },
    taskOids: ReadonlyMap<TaskId, Oid>,
    nodeOids: ReadonlyMap<NodeId, Oid>,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    const patterns = [
      ...(wanted.branch ? [wanted.branch] : []),
      ...(wanted.tasks ? [`${this.#namespace}/tasks/*`] : []),
      ...(wanted.nodes ? [`${this.#namespace}/nodes/*`] : []),
    ];
    if (patterns.length === 0) return false;
    const lacking = new Map<RefName, Oid>(wanted.branch && wanted.tip ? [[wanted.branch, wanted.tip]] : []);
    const lack = (kind: 'tasks' | 'nodes', oids: ReadonlyMap<string, Oid>, states: ReadonlyMap<Oid, unknown>): void => {
      for (const [id, oid] of oids) if (!states.has(oid)) lacking.set(refName(`${this.#namespace}/${kind}/${id}`), oid);
    };
    if (wanted.tasks) lack('tasks', taskOids, this.#taskStates);
    if (wanted.nodes) lack('nodes', nodeOids, this.#nodeStates);
    const refused = await this.#repository.fetchRefs(patterns, signal, lacking);
    for (const oid of refused.keys()) this.#refusedAtMs.set(oid, this.#clock.monotonicMs());
    const read = (oids: ReadonlyMap<string, Oid>, states: ReadonlyMap<Oid, unknown>) =>
      readUnknown(oids, states, refused, this.#repository);
    if (wanted.tasks) {
      for (const [oid, found] of await read(taskOids, this.#taskStates)) {
        this.#taskStates.set(
          oid,
          decoded(found, (message) => decodeTaskState(message, null)),
        );
      }
    }
    if (wanted.nodes) {
      for (const [oid, found] of await read(nodeOids, this.#nodeStates)) {
        this.#nodeStates.set(
          oid,
          decoded(found, (message) => decodeNodeState(message, null)),
        );
      }
    }
    return true;
  }

  async #treeOf(tip: Oid): Promise<Oid | null> {
    const object = (await this.#repository.readObjects([tip])).get(tip);
    if (!object) return null;
    if (object.type !== 'commit') {
      throw new GitError('corrupt-remote', 'read', `the branch holds a ${object.type}, not a commit`);
    }
    return parseCommit(object.content).tree;
  }

  #forgetRefused(nowMs: number): void {
    for (const [oid, atMs] of this.#refusedAtMs) {
      if (nowMs - atMs < REFUSED_AGAIN_MS) continue;
      for (const known of [this.#refusedAtMs, this.#taskStates, this.#nodeStates]) known.delete(oid);
    }
  }

  #forgetAllBut(listed: ReadonlySet<Oid>): void {
    for (const states of [this.#taskStates, this.#nodeStates]) {
      // Some slack: what we are about to push is remembered before the remote lists it.
      if (states.size <= 2 * listed.size + 1024) continue;
      for (const oid of states.keys()) if (!listed.has(oid)) states.delete(oid);
    }
  }
}

function entryOf(refs: ReadonlyMap<RefName, Oid>, ref: RefName): [RefName, Oid][] {
  const oid = refs.get(ref);
  return oid === undefined ? [] : [[ref, oid]];
}

function known<Id, T>(
  oids: ReadonlyMap<Id, Oid>,
  states: ReadonlyMap<Oid, Decoded<T>>,
  idOf: (state: T) => Id,
): Map<Id, Known<T>> {
  return new Map(
    [...oids].map(([id, oid]) => {
      const state = states.get(oid) ?? null;
      if (state?.kind !== 'state' || idOf(state.state) === id) return [id, { oid, state }];
      const problem = `DGrid-Task or DGrid-Node names ${String(idOf(state.state))}, and the ref another`;
      return [id, { oid, state: { kind: 'unreadable', problem } }];
    }),
  );
}

/** What is new, by object id; a text says why it cannot be had. */
async function readUnknown(
  oids: ReadonlyMap<string, Oid>,
  states: ReadonlyMap<Oid, unknown>,
  refused: ReadonlyMap<Oid, string>,
  repository: Repository,
): Promise<Map<Oid, GitObject | string>> {
  const unknown = new Set([...oids.values()].filter((oid) => !states.has(oid)));
  const found = new Map<Oid, GitObject | string>();
  for (const oid of unknown) {
    const why = refused.get(oid);
    if (why === undefined) continue;
    found.set(oid, why);
    unknown.delete(oid);
  }
  // Absent: the ref moved between listing and fetching; the next refresh reads the newer one.
  if (unknown.size > 0) for (const [oid, object] of await repository.readObjects([...unknown])) found.set(oid, object);
  return found;
}

function decoded<T>(found: GitObject | string, decode: (message: string) => Decoded<T>): Decoded<T> {
  if (typeof found === 'string') return { kind: 'unreadable', problem: found };
  if (found.type !== 'commit') return { kind: 'unreadable', problem: `the ref holds a ${found.type}, not a commit` };
  try {
    const { committedAtSeconds: writtenAtSeconds, message } = parseCommit(found.content);
    const answer = decode(message);
    return answer.kind === 'state' ? { ...answer, writtenAtSeconds } : answer;
  } catch (error) {
    return { kind: 'unreadable', problem: String(error) };
  }
}
