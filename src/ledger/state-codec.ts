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
import { encodeTrailers, isToken, type NotDecoded, openTrailers, STATE_FORMAT } from './trailers.ts';

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
  /**
   * What people like to know: name, version, labels, load, why it pauses. Whose a task is it never decides; which tasks are
   * left to others it may.
   */
  info: Readonly<Record<string, unknown>>;
}

export type Decoded<T> =
  /** `writtenAtSeconds`: since 1970 by the clock of whoever wrote it, where the commit around it was read. For people. */
  { kind: 'state'; state: T; writtenAtSeconds?: number | null } | NotDecoded;

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
  return encodeTrailers(subject(state), trailers);
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
  return encodeTrailers(`node ${state.nodeId} ${state.state}`, trailers);
}

/** @param expected the id that the ref's name gives, another one inside is not believed; null when the caller looks. */
export function decodeTaskState(text: string, expected: TaskId | null): Decoded<TaskState> {
  const opened = openTrailers(text, 'task');
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
  const opened = openTrailers(text, 'node');
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
