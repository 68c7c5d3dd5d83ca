/**
 * Histories made by hand, move by move, with the worker's own objects. Nothing is checked here: a builder can do all that
 * a broken worker could.
 */
import { type GitObject, MODE_FILE, MODE_TREE, makeBlob, makeCommit, makeTree } from '../../../src/git/objects.ts';
import { type Oid, type RefName, refName } from '../../../src/git/oid.ts';
import { nodeRef, taskRef } from '../../../src/ledger/names.ts';
import {
  type ClaimedState,
  encodeTaskState,
  type FinishedState,
  type NodeState,
  type TaskState,
  type WaitingState,
} from '../../../src/ledger/state-codec.ts';
import { StateWriter, type WrittenState } from '../../../src/ledger/state-writer.ts';
import { type NodeId, nodeId, type TaskId, taskId } from '../../../src/task/id.ts';
import type { ResultRecord } from '../../../src/task/result.ts';
import { unstartedResult } from '../../../src/task/unstarted.ts';
import { ManualClock } from '../manual-clock.ts';
import type { History, RefChange, SwapTry, TaskStart } from './history.ts';

export const BRANCH = refName('refs/heads/main');
export const NODE_TTL_MS = 10_000;
const NAMESPACE = 'refs/dgrid';
const WORKER = { name: 'D-GRID Worker', email: 'worker+a@d-grid.local' };
const PERSON = { name: 'Somebody', email: 'somebody@example.org' };

type Facts = Partial<
  Omit<ClaimedState, 'state' | 'taskId' | 'nodeId'> &
    Pick<WaitingState, 'waitReason' | 'delayMs'> &
    Pick<FinishedState, 'status' | 'reason'>
>;

export class HistoryBuilder {
  readonly changes: RefChange[] = [];
  readonly tries: SwapTry[] = [];
  readonly starts: TaskStart[] = [];
  /** What the branch holds, by path. */
  readonly files = new Map<string, Oid>();
  readonly #objects = new Map<Oid, GitObject>();
  readonly #refs = new Map<RefName, Oid>();
  readonly #states = new Map<Oid, TaskState | NodeState>();
  readonly #writer: StateWriter;
  timeMs = 1_000;
  #drawn = 0;
  #said: Facts = {};
  readonly #records = new Map<Oid, Oid>();

  constructor() {
    this.#writer = new StateWriter({
      user: WORKER,
      clock: new ManualClock(),
      randomHex: (bytes) => (this.#drawn += 1).toString(16).padStart(2 * bytes, '0'),
      format: () => 'sha1',
    });
  }

  build(): History {
    const { changes, starts, tries } = this;
    return {
      format: 'sha1',
      branch: BRANCH,
      namespace: NAMESPACE,
      changes,
      tries,
      starts,
      object: (oid) => this.#objects.get(oid) ?? null,
    };
  }

  wait(ms: number): this {
    this.timeMs += ms;
    return this;
  }

  held(ref: RefName): Oid | null {
    return this.#refs.get(ref) ?? null;
  }

  /** Moves a ref, from where it is unless told otherwise. */
  move(ref: RefName, to: Oid | null, from: Oid | null = this.held(ref)): RefChange {
    this.timeMs += 1;
    const change = { seq: this.changes.length + 1, timeMs: this.timeMs, ref, from, to };
    this.changes.push(change);
    if (to === null) this.#refs.delete(ref);
    else this.#refs.set(ref, to);
    return change;
  }

  add(...objects: readonly GitObject[]): void {
    for (const object of objects) this.#objects.set(object.oid, object);
  }

  blob(text: string): Oid {
    const blob = makeBlob(text, 'sha1');
    this.add(blob);
    return blob.oid;
  }

  task(id: string): RefName {
    return taskRef(NAMESPACE, taskId(id));
  }

  node(id: string): RefName {
    return nodeRef(NAMESPACE, nodeId(id));
  }

  /** A state of a node, by default its next heartbeat. */
  beat(node: string, facts: Partial<NodeState> = {}): RefChange {
    const before = this.#stateOf(this.node(node)) as NodeState | null;
    const id: NodeId = nodeId(node);
    const { nonce: _, ...kept } = before ?? this.#firstBeat(id);
    const written = this.#writer.node({ ...kept, sequence: kept.sequence + 1, ...facts });
    return this.#set(this.node(node), written);
  }

  /** The next life of a node. */
  restart(node: string, incarnation: string, facts: Partial<NodeState> = {}): RefChange {
    return this.beat(node, { state: 'alive', incarnation, sequence: 1, fencedBy: null, ...facts });
  }

  fence(node: string, by = 'b'): RefChange {
    const before = this.#stateOf(this.node(node)) as NodeState;
    return this.beat(node, { state: 'fenced', sequence: before.sequence, fencedBy: nodeId(by) });
  }

  claim(id: string, node: string, facts: Facts = {}): RefChange {
    const before = this.#stateOf(this.task(id)) as TaskState | null;
    const counted: Facts = {
      epoch: (before?.epoch ?? 0) + 1,
      attempt: (before?.attempt ?? 0) + 1,
      takeovers: (before?.takeovers ?? 0) + (before?.state === 'claimed' ? 1 : 0),
    };
    return this.state(id, node, 'claimed', { ...counted, ...facts });
  }

  /** Any state of a task: what is not told is as it was. */
  state(id: string, node: string, state: TaskState['state'], facts: Facts = {}, from?: Oid | null): RefChange {
    const written = this.writeState(id, node, state, facts, from);
    return this.#set(this.task(id), written, from);
  }

  /** The same, without the move. */
  writeState(
    id: string,
    node: string,
    state: TaskState['state'],
    facts: Facts = {},
    from: Oid | null = this.held(this.task(id)),
  ): WrittenState {
    const before = this.#stateOf(this.task(id)) as TaskState | null;
    const owner = this.#stateOf(this.node(node)) as NodeState | null;
    const common = {
      taskId: taskId(id),
      nodeId: nodeId(node),
      incarnation: owner?.incarnation ?? `${node}-1`,
      epoch: before?.epoch ?? 0,
      attempt: before?.attempt ?? 0,
      failures: before?.failures ?? 0,
      takeovers: before?.takeovers ?? 0,
      specBlob: before?.specBlob ?? this.files.get(`tasks/queue/${id}.json`) ?? this.blob('none'),
    };
    const nonce = (this.#drawn += 1).toString(16);
    const made =
      state === 'claimed'
        ? { ...common, state, ...facts, nonce }
        : state === 'waiting'
          ? { ...common, state, waitReason: 'handed-back' as const, delayMs: 0, ...facts, nonce }
          : { ...common, state, status: 'success' as const, reason: null, ...facts, nonce };
    const record =
      state === 'finished' ? makeBlob(recordOf({ ...(made as FinishedState), ...this.#said }), 'sha1') : null;
    const entries = record ? [{ mode: MODE_FILE, name: 'record.json', oid: record.oid }] : [];
    const written = makeTree(entries, 'sha1');
    // Not by the writer, which refuses what the lifecycle does not allow.
    const commit = this.#writer.commit(written.oid, from ? [from] : [], encodeTaskState(made));
    this.add(written, commit, ...(record ? [record] : []));
    this.#states.set(commit.oid, made);
    if (record) this.#records.set(commit.oid, record.oid);
    return { commit, objects: [written, commit] };
  }

  /** @param said what its record says instead */
  finish(id: string, node: string, facts: Facts = {}, said: Facts = {}): RefChange {
    this.#said = said;
    const change = this.state(id, node, 'finished', facts);
    this.#said = {};
    return change;
  }

  remove(ref: RefName): RefChange {
    return this.move(ref, null);
  }

  start(id: string, node: string, facts: Partial<TaskStart> = {}): void {
    this.timeMs += 1;
    const claim = this.#stateOf(this.task(id)) as TaskState | null;
    this.starts.push({
      node,
      incarnation: claim?.incarnation ?? `${node}-1`,
      taskId: taskId(id),
      epoch: claim?.epoch ?? 1,
      attempt: claim?.attempt ?? 1,
      timeMs: this.timeMs,
      ...facts,
    });
  }

  /** What a worker concluded of a move. */
  conclude(change: Omit<RefChange, 'seq'>, outcome: SwapTry['outcome'], facts: Partial<SwapTry> = {}): void {
    const { ref, from, to, timeMs } = change;
    this.tries.push({ node: 'a', ref, from, to, sentMs: timeMs - 1, settledMs: timeMs + 1, outcome, ...facts });
  }

  /** A person's commit. Contents: text, or null to remove the file. */
  commit(files: Readonly<Record<string, string | null>>): RefChange {
    const blobs = Object.entries(files).map(([path, text]) => [path, text === null ? null : this.blob(text)] as const);
    return this.#commit(Object.fromEntries(blobs), PERSON, 'change');
  }

  queue(...ids: readonly string[]): RefChange {
    return this.commit(
      Object.fromEntries(ids.map((id) => [`tasks/queue/${id}.json`, JSON.stringify({ task_id: id, script: id })])),
    );
  }

  /** What recording does, with changes: object ids by path, null for a file that goes. */
  record(ids: readonly string[], changes: Readonly<Record<string, Oid | null>> = {}): RefChange {
    const files: Record<string, Oid | null> = {};
    for (const id of ids) {
      const state = this.#stateOf(this.task(id)) as FinishedState;
      const dir = state.status === 'success' ? 'tasks/completed' : 'tasks/failed';
      files[`${dir}/${id}.json`] = this.recordBlob(this.held(this.task(id)) as Oid);
      files[`tasks/queue/${id}.json`] = null;
    }
    return this.workersCommit({ ...files, ...changes });
  }

  workersCommit(files: Readonly<Record<string, Oid | null>>, parents?: readonly Oid[]): RefChange {
    return this.#commit(files, WORKER, 'Record results', parents);
  }

  /** The record that a finished state holds. */
  recordBlob(finished: Oid): Oid {
    return this.#records.get(finished) as Oid;
  }

  /** A task from its queueing to the end of its ref, as it should go. */
  completed(id: string, node: string): this {
    this.queue(id);
    this.claim(id, node);
    this.start(id, node);
    this.finish(id, node);
    this.record([id]);
    this.remove(this.task(id));
    return this;
  }

  #firstBeat(id: NodeId): NodeState {
    return {
      state: 'alive',
      nodeId: id,
      incarnation: `${id}-1`,
      machine: `machine-${id}`,
      sequence: 0,
      intervalMs: 1_000,
      ttlMs: NODE_TTL_MS,
      nonce: '',
      fencedBy: null,
      info: {},
    };
  }

  #stateOf(ref: RefName): TaskState | NodeState | null {
    const oid = this.held(ref);
    return oid === null ? null : (this.#states.get(oid) ?? null);
  }

  #set(ref: RefName, written: WrittenState & { state?: NodeState }, from?: Oid | null): RefChange {
    this.add(...written.objects);
    if (written.state) this.#states.set(written.commit.oid, written.state);
    return this.move(ref, written.commit.oid, from);
  }

  #commit(
    files: Readonly<Record<string, Oid | null>>,
    who: { name: string; email: string },
    message: string,
    parents?: readonly Oid[],
  ): RefChange {
    for (const [path, blob] of Object.entries(files)) {
      if (blob === null) this.files.delete(path);
      else this.files.set(path, blob);
    }
    const tip = this.held(BRANCH);
    const identity = { ...who, seconds: this.changes.length };
    const commit = makeCommit(
      {
        tree: this.#treeOf([...this.files]),
        parents: parents ?? (tip ? [tip] : []),
        author: identity,
        committer: identity,
        message,
      },
      'sha1',
    );
    this.add(commit);
    return this.move(BRANCH, commit.oid);
  }

  #treeOf(files: readonly (readonly [path: string, blob: Oid])[]): Oid {
    const inside = new Map<string, (readonly [string, Oid])[]>();
    const entries = [];
    for (const [path, oid] of files) {
      const slash = path.indexOf('/');
      if (slash < 0) entries.push({ mode: MODE_FILE, name: path, oid });
      else {
        const name = path.slice(0, slash);
        inside.set(name, [...(inside.get(name) ?? []), [path.slice(slash + 1), oid]]);
      }
    }
    for (const [name, below] of inside) entries.push({ mode: MODE_TREE, name, oid: this.#treeOf(below) });
    const tree = makeTree(entries, 'sha1');
    this.add(tree);
    return tree.oid;
  }
}

function recordOf(state: FinishedState): string {
  const { attempt, reason, specBlob, status } = state;
  const id: TaskId = state.taskId;
  const at = '2026-01-05T10:00:00.000Z';
  const facts = { taskId: id, nodeId: state.nodeId, attempt, task: null, specBlob };
  const { record } = unstartedResult(facts, 'cancelled', state.nonce, at);
  const said: ResultRecord = { ...record, status, reason };
  return `${JSON.stringify(said)}\n`;
}
