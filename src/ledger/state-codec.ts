/**
 * States of tasks and nodes as commit messages. The facts that other workers need stand in trailers, so a state is read
 * from one commit, without its tree.
 *
 * Invariants:
 * - Every state carries a nonce: no two states ever have the same object id, whoever writes them (a push of an id that
 *   the ref holds already would report success to the loser too).
 * - A state of a newer format is recognised as such and never guessed at.
 * - What decodes encodes to the same facts again.
 */
import type { Oid } from '../git/oid.ts';
import { isOid } from '../git/oid.ts';
import { isNodeId, isTaskId, type NodeId, type TaskId } from '../task/id.ts';
import { TASK_STATES, type TaskStateName, WAIT_REASONS, type WaitReason } from '../task/lifecycle.ts';
import { FAILURE_REASONS, type FailureReason } from '../task/result.ts';
import { isTooDeep } from '../task/strict-json.ts';

export const STATE_FORMAT = 1;
/** A longer message is not one of ours. */
export const MAX_STATE_MESSAGE_BYTES = 64 * 1024;
/** The most that a count may say: whoever counts on stays here, or nobody could read what he writes. */
export const MAX_COUNT = 999_999_999_999_999;
/** Whoever writes it out again walks it. */
const MAX_INFO_DEPTH = 16;
/** Above what a worker can be set to, in milliseconds: 31 days. */
const MAX_SPAN_MS = 31 * 24 * 3_600_000;

interface TaskStateCommon {
  taskId: TaskId;
  /** Who wrote this state: the owner of a claim. */
  nodeId: NodeId;
  incarnation: string;
  /** Grows by one with every claim: the fencing number. */
  epoch: number;
  /** How many times the task has been started, counting a claim as a start. */
  attempt: number;
  /** How many of these ended with an exit code ≠ 0. */
  failures: number;
  /** How many were lost together with their node. */
  takeovers: number;
  /** The blob of the task file that was read. */
  specBlob: Oid;
  nonce: string;
}

export type ClaimedState = TaskStateCommon & { state: 'claimed' };
export type WaitingState = TaskStateCommon & {
  state: 'waiting';
  waitReason: WaitReason;
  /** Counted by each observer from when it first saw this state. */
  delayMs: number;
};
export type FinishedState = TaskStateCommon & {
  state: 'finished';
  status: 'success' | 'failed';
  reason: FailureReason | null;
};
export type TaskState = ClaimedState | WaitingState | FinishedState;

export const NODE_STATES = ['alive', 'stopped', 'fenced'] as const;
export type NodeStateName = (typeof NODE_STATES)[number];

export interface NodeState {
  state: NodeStateName;
  nodeId: NodeId;
  incarnation: string;
  /** Which machine (and state directory) speaks under this id. */
  machine: string;
  /** Counts the heartbeats of an incarnation. */
  sequence: number;
  intervalMs: number;
  ttlMs: number;
  nonce: string;
  /** The node that declared this one dead; null unless fenced. */
  fencedBy: NodeId | null;
  /** What people like to know: name, version, labels, load, why it pauses. Never decides anything. */
  info: Readonly<Record<string, unknown>>;
}

export type Decoded<T> =
  | { kind: 'state'; state: T }
  | { kind: 'newer-format'; format: number }
  | { kind: 'unreadable'; problem: string };

const PREFIX = 'DGrid-';

export function encodeTaskState(state: TaskState): string {
  const trailers: [string, string | number][] = [
    ['Format', STATE_FORMAT],
    ['Kind', 'task'],
    ['State', state.state],
    ['Task', state.taskId],
    ['Node', state.nodeId],
    ['Incarnation', state.incarnation],
    ['Epoch', state.epoch],
    ['Attempt', state.attempt],
    ['Failures', state.failures],
    ['Takeovers', state.takeovers],
    ['Spec', state.specBlob],
    ['Nonce', state.nonce],
  ];
  if (state.state === 'waiting') trailers.push(['Wait-Reason', state.waitReason], ['Delay-Ms', state.delayMs]);
  if (state.state === 'finished') {
    trailers.push(['Status', state.status]);
    if (state.reason) trailers.push(['Reason', state.reason]);
  }
  return message(subject(state), trailers);
}

function subject(state: TaskState): string {
  const outcome = state.state === 'finished' ? ` (${state.reason ?? state.status})` : '';
  return `${state.state} ${state.taskId}${outcome}: ${state.nodeId}, attempt ${state.attempt}`;
}

export function encodeNodeState(state: NodeState): string {
  const trailers: [string, string | number][] = [
    ['Format', STATE_FORMAT],
    ['Kind', 'node'],
    ['State', state.state],
    ['Node', state.nodeId],
    ['Incarnation', state.incarnation],
    ['Machine', state.machine],
    ['Sequence', state.sequence],
    ['Interval-Ms', state.intervalMs],
    ['Ttl-Ms', state.ttlMs],
    ['Nonce', state.nonce],
  ];
  if (state.fencedBy) trailers.push(['Fenced-By', state.fencedBy]);
  trailers.push(['Info', JSON.stringify(state.info)]);
  return message(`node ${state.nodeId} ${state.state}`, trailers);
}

function message(title: string, trailers: readonly [string, string | number][]): string {
  return `${title}\n\n${trailers.map(([key, value]) => `${PREFIX}${key}: ${value}\n`).join('')}`;
}

/** Reads trailers one by one and remembers the first thing that is wrong. */
class TrailerReader {
  readonly #values = new Map<string, string>();
  problem: string | null = null;

  constructor(text: string) {
    for (const line of text.split('\n')) {
      const colon = line.indexOf(': ');
      if (!line.startsWith(PREFIX) || colon < 0) continue;
      const key = line.slice(PREFIX.length, colon);
      if (this.#values.has(key)) this.problem ??= `${PREFIX}${key} is given twice`;
      this.#values.set(key, line.slice(colon + 2));
    }
  }

  optional(key: string): string | null {
    return this.#values.get(key) ?? null;
  }

  text<T extends string = string>(key: string, accepts: (value: string) => boolean): T {
    const value = this.#values.get(key);
    if (value === undefined || !accepts(value)) {
      this.problem ??= value === undefined ? `${PREFIX}${key} is missing` : `${PREFIX}${key} is not legal`;
      return '' as T;
    }
    return value as T;
  }

  oneOf<T extends string>(key: string, values: readonly T[]): T {
    return this.text<T>(key, (value) => (values as readonly string[]).includes(value));
  }

  count(key: string, most: number = MAX_COUNT): number {
    return Number(this.text(key, (value) => /^\d{1,15}$/.test(value) && Number(value) <= most));
  }
}

const TOKEN = /^[0-9a-zA-Z_-]{1,128}$/;
const isToken = (value: string): boolean => TOKEN.test(value);

function open(
  text: string,
  kind: 'task' | 'node',
): { reader: TrailerReader } | Exclude<Decoded<never>, { kind: 'state' }> {
  if (Buffer.byteLength(text) > MAX_STATE_MESSAGE_BYTES)
    return { kind: 'unreadable', problem: 'the message is too long' };
  const reader = new TrailerReader(text);
  const format = reader.count('Format');
  if (reader.problem) return { kind: 'unreadable', problem: reader.problem };
  if (format > STATE_FORMAT) return { kind: 'newer-format', format };
  reader.oneOf('Kind', [kind]);
  return { reader };
}

/** @param expected the id that the ref's name gives, another one inside is not believed; null when the caller looks. */
export function decodeTaskState(text: string, expected: TaskId | null): Decoded<TaskState> {
  const opened = open(text, 'task');
  if (!('reader' in opened)) return opened;
  const { reader } = opened;
  const name: TaskStateName = reader.oneOf('State', TASK_STATES);
  const common: TaskStateCommon = {
    taskId: reader.text<TaskId>('Task', (value) => isTaskId(value) && value === (expected ?? value)),
    nodeId: reader.text<NodeId>('Node', isNodeId),
    incarnation: reader.text('Incarnation', isToken),
    epoch: reader.count('Epoch'),
    attempt: reader.count('Attempt'),
    failures: reader.count('Failures'),
    takeovers: reader.count('Takeovers'),
    specBlob: reader.text<Oid>('Spec', isOid),
    nonce: reader.text('Nonce', isToken),
  };
  let state: TaskState;
  if (name === 'waiting') {
    state = {
      ...common,
      state: name,
      waitReason: reader.oneOf('Wait-Reason', WAIT_REASONS),
      delayMs: reader.count('Delay-Ms', MAX_SPAN_MS),
    };
  } else if (name === 'finished') {
    const status = reader.oneOf('Status', ['success', 'failed'] as const);
    const reason = reader.optional('Reason') === null ? null : reader.oneOf('Reason', FAILURE_REASONS);
    state = { ...common, state: name, status, reason };
  } else {
    state = { ...common, state: 'claimed' };
  }
  return reader.problem ? { kind: 'unreadable', problem: reader.problem } : { kind: 'state', state };
}

export function decodeNodeState(text: string, expected: NodeId | null): Decoded<NodeState> {
  const opened = open(text, 'node');
  if (!('reader' in opened)) return opened;
  const { reader } = opened;
  const state: NodeState = {
    state: reader.oneOf('State', NODE_STATES),
    nodeId: reader.text<NodeId>('Node', (value) => isNodeId(value) && value === (expected ?? value)),
    incarnation: reader.text('Incarnation', isToken),
    machine: reader.text('Machine', isToken),
    sequence: reader.count('Sequence'),
    intervalMs: reader.count('Interval-Ms', MAX_SPAN_MS),
    ttlMs: reader.count('Ttl-Ms', MAX_SPAN_MS),
    nonce: reader.text('Nonce', isToken),
    fencedBy: reader.optional('Fenced-By') === null ? null : reader.text<NodeId>('Fenced-By', isNodeId),
    info: readInfo(reader.optional('Info')),
  };
  return reader.problem ? { kind: 'unreadable', problem: reader.problem } : { kind: 'state', state };
}

/** The info is decoration: what can't be read is left out, the state still counts. */
function readInfo(text: string | null): Record<string, unknown> {
  try {
    const value: unknown = text === null ? {} : JSON.parse(text);
    if (text !== null && isTooDeep(text, MAX_INFO_DEPTH)) return {};
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : {};
  } catch {
    return {};
  }
}
