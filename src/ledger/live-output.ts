/**
 * What a running task has published of its output, read by whoever follows it or shows it.
 *
 * It was written by others, so nothing of it is believed but what this view of the grid bears out: it counts only under the
 * claim that the task has now, and no more is read than `MAX_CHUNKS` of each stream.
 */
import { entriesOf, type GitObject, parseCommit } from '../git/objects.ts';
import type { Oid, RefName } from '../git/oid.ts';
import type { Repository } from '../git/repository.ts';
import type { TaskId } from '../task/id.ts';
import type { GridView } from './grid-view.ts';
import { type Namespace, outputRef } from './names.ts';
import { CHUNK_BYTES, chunkIdsOf, decodeOutputState, type OutputState, type Stream } from './output-codec.ts';
import type { ResultReader } from './results.ts';
import type { ClaimedState } from './state-codec.ts';

const MAX_TASK_FILE_BYTES = 16 * 1024 * 1024;

export interface LiveReader extends ResultReader {
  namespace: Namespace;
}

/**
 * Why nothing is seen of a task before its result; `live`: something may be. `unsupported`: by the version of its node, or
 * what that says of itself is not known.
 */
export type Liveness = 'live' | 'not-asked' | 'never' | 'unsupported';

export type LiveBatch =
  | { kind: 'batch'; state: OutputState; chunks: Readonly<Record<Stream, readonly Oid[]>> }
  /** It has moved on since it was listed. */
  | { kind: 'gone' }
  | { kind: 'unreadable'; problem: string };

/**
 * What an output ref was seen to hold; absent: it has moved on.
 *
 * Where objects can be had one by one they are: what is fetched by its ref is kept on the disk, and this is gone soon.
 * @throws GitError
 */
export async function readOutputObject(
  repository: Pick<Repository, 'fetchRefs' | 'readObjects'>,
  ref: RefName,
  oid: Oid,
  signal?: AbortSignal,
): Promise<GitObject | undefined> {
  const found = (await repository.readObjects([oid], signal)).get(oid);
  if (found !== undefined) return found;
  await repository.fetchRefs([ref], signal, new Map([[ref, oid]]));
  return (await repository.readObjects([oid], signal)).get(oid);
}

/** @param oid what the ref was seen to hold @throws GitError */
export async function readLiveBatch(reader: LiveReader, id: TaskId, oid: Oid): Promise<LiveBatch> {
  const { repository, signal, format, namespace } = reader;
  const commit = await readOutputObject(repository, outputRef(namespace, id), oid, signal);
  if (commit === undefined) return { kind: 'gone' };
  if (commit.type !== 'commit') return { kind: 'unreadable', problem: `its ref holds a ${commit.type}, not a commit` };
  const { tree, message } = parseCommit(commit.content);
  const decoded = decodeOutputState(message, id);
  if (decoded.kind === 'newer-format') {
    return { kind: 'unreadable', problem: `it has format ${decoded.format}, which a newer version of D-GRID wrote` };
  }
  if (decoded.kind === 'unreadable') return decoded;
  const object = (await repository.readObjects([tree], signal)).get(tree);
  const entries = object?.type === 'tree' ? entriesOf(object.content, format) : null;
  if (entries === null) return { kind: 'unreadable', problem: 'its tree cannot be read' };
  const chunks = { stdout: chunkIdsOf('stdout', entries), stderr: chunkIdsOf('stderr', entries) };
  return { kind: 'batch', state: decoded.state, chunks };
}

/**
 * What a stream holds from here on; null when it is not as it should be.
 * @param from how many bytes of it are known already
 * @throws GitError
 */
export async function readChunks(reader: ResultReader, chunks: readonly Oid[], from: number): Promise<Buffer | null> {
  const first = Math.floor(from / CHUNK_BYTES);
  const wanted = chunks.slice(first);
  const blobs = await reader.repository.readBlobs([...new Set(wanted)], CHUNK_BYTES, reader.signal);
  const parts: Buffer[] = [];
  for (const [at, oid] of wanted.entries()) {
    const blob = blobs.get(oid);
    if (blob?.kind !== 'content') return null;
    const isLast = at === wanted.length - 1;
    if (!isLast && blob.content.length !== CHUNK_BYTES) return null;
    parts.push(blob.content);
  }
  return Buffer.concat(parts).subarray(from - first * CHUNK_BYTES);
}

/**
 * By what the claim's owner says of itself (null: it was not read yet), which decides nothing but what a person is told.
 * @param isPublished whether the task has an output ref
 * @throws GitError
 */
export async function livenessOf(
  reader: ResultReader,
  view: GridView,
  claim: Pick<ClaimedState, 'nodeId' | 'specBlob'>,
  isPublished: boolean,
): Promise<Liveness | null> {
  const owner = view.nodes.get(claim.nodeId);
  if (owner?.state === null) return isPublished ? 'live' : null;
  const mode = owner?.state.kind === 'state' ? owner.state.state.info['follow_output'] : null;
  if (mode === 'always') return 'live';
  if (mode === 'never') return 'never';
  if (mode !== 'asked') return 'unsupported';
  return (await asksToBeFollowed(reader, claim.specBlob)) ? 'live' : 'not-asked';
}

async function asksToBeFollowed({ repository, signal }: ResultReader, specBlob: Oid): Promise<boolean> {
  const file = (await repository.readBlobs([specBlob], MAX_TASK_FILE_BYTES, signal)).get(specBlob);
  if (file?.kind !== 'content') return false;
  try {
    return (JSON.parse(file.content.toString('utf8')) as { follow?: unknown } | null)?.follow === true;
  } catch {
    return false;
  }
}
