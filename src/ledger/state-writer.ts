/** Makes the commits that states are: encoded message, tree of files, identity of this worker. */
import { type GitObject, type Identity, MODE_FILE, makeBlob, makeCommit, makeTree } from '../git/objects.ts';
import type { ObjectFormat, Oid } from '../git/oid.ts';
import type { Clock, RandomHex } from '../runtime.ts';
import { isLegalMove, type TaskStateName } from '../task/lifecycle.ts';
import { recordBytes, type TaskResult } from '../task/result.ts';
import { SIGNATURE_SUFFIX } from './names.ts';
import { encodeOutputState, type OutputState } from './output-codec.ts';
import { encodeNodeState, encodeTaskState, type NodeState, type TaskState } from './state-codec.ts';
import { MAX_COUNT } from './trailers.ts';

export const RECORD_FILE = 'record.json';
export const RECORD_SIGNATURE_FILE = `${RECORD_FILE}${SIGNATURE_SUFFIX}`;
export const STDOUT_FILE = 'stdout.log';
export const STDERR_FILE = 'stderr.log';
const NONCE_BYTES = 16;

/** Where a file of a finished state stands on the branch. @param record the path of its record there. */
export function recordedPath(record: string, name: string): string {
  if (name === RECORD_FILE) return record;
  if (name === RECORD_SIGNATURE_FILE) return `${record}${SIGNATURE_SUFFIX}`;
  return `${record.replace(/\.json$/, '')}/${name}`;
}

export interface WrittenState {
  /** The state itself. */
  commit: GitObject;
  /** The commit and everything it needs that may be new. */
  objects: GitObject[];
}

/** Leaves the nonce to the writer: it is drawn anew for every state that is made. */
type WithoutNonce<T> = T extends unknown ? Omit<T, 'nonce'> : never;

export class StateWriter {
  readonly #user: { name: string; email: string };
  readonly #clock: Clock;
  readonly #randomHex: RandomHex;
  readonly #format: () => ObjectFormat;

  constructor(parts: {
    user: { name: string; email: string };
    clock: Clock;
    randomHex: RandomHex;
    format: () => ObjectFormat;
  }) {
    this.#user = parts.user;
    this.#clock = parts.clock;
    this.#randomHex = parts.randomHex;
    this.#format = parts.format;
  }

  get format(): ObjectFormat {
    return this.#format();
  }

  /**
   * @param before the state that this one replaces; null when there was none.
   * @throws Error when the lifecycle does not allow the move: a mistake in the code, never in the data.
   * @param result the files of a finished task.
   */
  task<S extends TaskState>(
    facts: WithoutNonce<S>,
    before: { oid: Oid; state: TaskStateName } | null,
    result: TaskResult | null = null,
  ): WrittenState & { state: S } {
    const from = before?.state ?? 'absent';
    if (!isLegalMove(from, facts.state)) throw new Error(`a task cannot go from ${from} to ${facts.state}`);
    const state = { ...facts, ...withinBounds(facts), nonce: this.#randomHex(NONCE_BYTES) } as unknown as S;
    const format = this.#format();
    const files = result ? resultFiles(result) : [];
    const blobs = files.map(({ content }) => makeBlob(content, format));
    const tree = makeTree(
      files.map(({ name }, index) => ({ mode: MODE_FILE, name, oid: (blobs[index] as GitObject).oid })),
      format,
    );
    const commit = this.commit(tree.oid, before ? [before.oid] : [], encodeTaskState(state));
    return { state, commit, objects: [...blobs, tree, commit] };
  }

  /** Heartbeats have no parent: a chain of them would grow in the repository for as long as the worker lives. */
  node(facts: Omit<NodeState, 'nonce'>): WrittenState & { state: NodeState } {
    const state = { ...facts, nonce: this.#randomHex(NONCE_BYTES) };
    const tree = makeTree([], this.#format());
    const commit = this.commit(tree.oid, [], encodeNodeState(state));
    return { state, commit, objects: [tree, commit] };
  }

  /**
   * What a running task has written so far. Without a parent, as heartbeats are: each is whole by itself.
   * @param files among them those that the remote has already.
   */
  output(
    facts: Omit<OutputState, 'nonce'>,
    files: readonly { name: string; blob: GitObject }[],
  ): { commit: GitObject; tree: GitObject } {
    const state = { ...facts, nonce: this.#randomHex(NONCE_BYTES) };
    const entries = files.map(({ name, blob }) => ({ mode: MODE_FILE, name, oid: blob.oid }));
    const tree = makeTree(entries, this.#format());
    return { tree, commit: this.commit(tree.oid, [], encodeOutputState(state)) };
  }

  commit(tree: Oid, parents: readonly Oid[], message: string): GitObject {
    const identity: Identity = { ...this.#user, seconds: this.#clock.wallMs() / 1000 };
    return makeCommit({ tree, parents, author: identity, committer: identity, message }, this.#format());
  }
}

/** Somebody may have written the highest count there is; what comes after it has to be readable too. */
function withinBounds(counts: Pick<TaskState, 'epoch' | 'attempt' | 'failures' | 'takeovers'>): typeof counts {
  const { epoch, attempt, failures, takeovers } = counts;
  const bounded = (count: number): number => Math.min(Math.max(0, count), MAX_COUNT);
  return {
    epoch: bounded(epoch),
    attempt: bounded(attempt),
    failures: bounded(failures),
    takeovers: bounded(takeovers),
  };
}

function resultFiles(result: TaskResult): { name: string; content: Uint8Array }[] {
  return [
    { name: RECORD_FILE, content: recordBytes(result.record) },
    ...(result.signature ? [{ name: RECORD_SIGNATURE_FILE, content: result.signature }] : []),
    ...(result.stdoutLog ? [{ name: STDOUT_FILE, content: result.stdoutLog }] : []),
    ...(result.stderrLog ? [{ name: STDERR_FILE, content: result.stderrLog }] : []),
  ];
}
