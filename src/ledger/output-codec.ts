/**
 * What a running task has written so far, as a commit: who says it stands in the message, the bytes in its tree.
 *
 * The bytes of each stream are cut into chunks of `CHUNK_BYTES`, of which only the last one ever changes: so a batch brings
 * that one anew and those that follow, and refers to the others.
 *
 * Invariant: a chunk but the last of its stream is full, so where a chunk begins follows from its number.
 */
import { type GitObject, MODE_FILE, type TreeEntry } from '../git/objects.ts';
import type { Oid } from '../git/oid.ts';
import { isNodeId, isTaskId, type NodeId, type TaskId } from '../task/id.ts';
import { encodeTrailers, isToken, type NotDecoded, openTrailers, STATE_FORMAT } from './trailers.ts';

export const CHUNK_BYTES = 8 * 1024;
/** Of one stream, as far as anybody reads: 16 MiB. */
export const MAX_CHUNKS = 2_048;
const NUMBER_DIGITS = 4;

export const STREAMS = ['stdout', 'stderr'] as const;
export type Stream = (typeof STREAMS)[number];

/** `full`: the task wrote more than is told before its result. */
export const OUTPUT_STATES = ['open', 'full'] as const;
export type OutputStateName = (typeof OUTPUT_STATES)[number];

export interface OutputState {
  state: OutputStateName;
  taskId: TaskId;
  nodeId: NodeId;
  incarnation: string;
  /** Of the claim under which it runs. */
  epoch: number;
  attempt: number;
  nonce: string;
}

export function encodeOutputState(state: OutputState): string {
  return encodeTrailers(`output ${state.taskId}: ${state.nodeId}, attempt ${state.attempt}`, [
    ['Format', STATE_FORMAT],
    ['Kind', 'output'],
    ['State', state.state],
    ['Task', state.taskId],
    ['Node', state.nodeId],
    ['Incarnation', state.incarnation],
    ['Epoch', state.epoch],
    ['Attempt', state.attempt],
    ['Nonce', state.nonce],
  ]);
}

export function decodeOutputState(text: string, expected: TaskId): { kind: 'state'; state: OutputState } | NotDecoded {
  const opened = openTrailers(text, 'output');
  if (!('reader' in opened)) return opened;
  const { reader } = opened;
  const state: OutputState = {
    state: reader.oneOf('State', OUTPUT_STATES),
    taskId: reader.text<TaskId>('Task', (value) => isTaskId(value) && value === expected),
    nodeId: reader.text<NodeId>('Node', isNodeId),
    incarnation: reader.text('Incarnation', isToken),
    epoch: reader.count('Epoch'),
    attempt: reader.count('Attempt'),
    nonce: reader.text('Nonce', isToken),
  };
  return reader.problem ? { kind: 'unreadable', problem: reader.problem } : { kind: 'state', state };
}

/** The chunks of one stream, as files. @param bytes its beginning */
export function chunksOf(
  stream: Stream,
  bytes: Uint8Array,
  makeBlob: (content: Uint8Array) => GitObject,
): { name: string; blob: GitObject }[] {
  const chunks: { name: string; blob: GitObject }[] = [];
  for (let at = 0; at < bytes.length && chunks.length < MAX_CHUNKS; at += CHUNK_BYTES) {
    const name = `${stream}.${String(chunks.length).padStart(NUMBER_DIGITS, '0')}`;
    chunks.push({ name, blob: makeBlob(bytes.subarray(at, at + CHUNK_BYTES)) });
  }
  return chunks;
}

/** The chunks of one stream in their order, up to the first that is missing. */
export function chunkIdsOf(stream: Stream, entries: readonly TreeEntry[]): Oid[] {
  const byName = new Map(entries.filter(({ mode }) => mode === MODE_FILE).map(({ name, oid }) => [name, oid]));
  const found: Oid[] = [];
  while (found.length < MAX_CHUNKS) {
    const oid = byName.get(`${stream}.${String(found.length).padStart(NUMBER_DIGITS, '0')}`);
    if (oid === undefined) break;
    found.push(oid);
  }
  return found;
}
