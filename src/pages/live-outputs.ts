/**
 * What running tasks have written so far: of those that run here from memory, of others what they have published.
 *
 * Where a task may have published something it costs the host a listing of a few refs for each look at its page, and objects
 * only where there is something new; pages that look at the same task at the same time share one. What cannot be had now is left as it was: the next look asks
 * again, and the result says all.
 */
import type { Oid } from '../git/oid.ts';
import type { GridView } from '../ledger/grid-view.ts';
import { type Liveness, type LiveReader, livenessOf, readChunks, readLiveBatch } from '../ledger/live-output.ts';
import { outputRef } from '../ledger/names.ts';
import { CHUNK_BYTES } from '../ledger/output-codec.ts';
import type { ClaimedState } from '../ledger/state-codec.ts';
import type { Clock } from '../runtime.ts';
import type { TaskId } from '../task/id.ts';
import { MAX_OUTPUT_STREAM_BYTES, MAX_OUTPUT_TEXT_BYTES } from './limits.ts';
import type { OutputText } from './model.ts';
import { growingText } from './output-text.ts';

/** Looks that come closer to each other get the same answer. */
const SHARED_MS = 1_000;
/** What a host that is slow keeps to itself for longer is not waited for: everything else of the page is there. */
const DEADLINE_MS = 3_000;
/** Tasks whose last batch is remembered. */
const MAX_REMEMBERED = 4;

export interface LiveOutput {
  liveness: Liveness;
  stdout: OutputText | null;
  stderr: OutputText | null;
}

/** The beginning of each stream; `isWhole`: all of it so far. */
export type Written = Record<'stdout' | 'stderr', { bytes: Uint8Array; isWhole: boolean }>;

export interface RunningTask {
  taskId: TaskId;
  claim: ClaimedState;
}

export interface LiveParts {
  reader: LiveReader;
  view: GridView;
  /** null: it does not run here, or what would have to be masked in it is not known. */
  writtenOf: (id: TaskId, maxBytes: number) => Written | null;
}

interface Remembered {
  epoch: number;
  /** What its ref held. */
  oid: Oid;
  texts: Pick<LiveOutput, 'stdout' | 'stderr'>;
}

export class LiveOutputs {
  readonly #clock: Clock;
  readonly #remembered = new Map<TaskId, Remembered>();
  #last: { key: string; atMs: number; answer: Promise<Map<TaskId, LiveOutput>> } | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Never throws. */
  async read(running: readonly RunningTask[], parts: LiveParts): Promise<ReadonlyMap<TaskId, LiveOutput>> {
    const found = new Map<TaskId, LiveOutput>();
    const others: RunningTask[] = [];
    for (const task of running) {
      const written = parts.writtenOf(task.taskId, MAX_OUTPUT_STREAM_BYTES);
      if (written) found.set(task.taskId, { liveness: 'live', ...textsOf(written) });
      else others.push(task);
    }
    if (others.length > 0) for (const [id, live] of await this.#published(others, parts)) found.set(id, live);
    return found;
  }

  #published(tasks: readonly RunningTask[], parts: LiveParts): Promise<Map<TaskId, LiveOutput>> {
    const nowMs = this.#clock.monotonicMs();
    const key = tasks.map(({ taskId, claim }) => `${taskId} ${claim.nodeId} ${claim.epoch}`).join();
    if (this.#last?.key !== key || nowMs - this.#last.atMs > SHARED_MS) {
      this.#last = { key, atMs: nowMs, answer: this.#readInTime(tasks, parts) };
    }
    return this.#last.answer;
  }

  async #readInTime(tasks: readonly RunningTask[], parts: LiveParts): Promise<Map<TaskId, LiveOutput>> {
    const late = new AbortController();
    const done = new AbortController();
    void this.#clock.sleep(DEADLINE_MS, done.signal).then(() => late.abort());
    const signal = AbortSignal.any([parts.reader.signal, late.signal]);
    try {
      return await this.#read(tasks, { ...parts, reader: { ...parts.reader, signal } });
    } finally {
      done.abort();
    }
  }

  async #read(tasks: readonly RunningTask[], { reader, view }: LiveParts): Promise<Map<TaskId, LiveOutput>> {
    const found = new Map<TaskId, LiveOutput>();
    const published: RunningTask[] = [];
    for (const task of tasks) {
      // What its node says of itself may not have been read: then the next look tells.
      const liveness = (await livenessOf(reader, view, task.claim, false).catch(() => null)) ?? 'live';
      if (liveness === 'live') published.push(task);
      else found.set(task.taskId, { liveness, stdout: null, stderr: null });
    }
    if (published.length === 0) return found;
    const refs = published.map(({ taskId }) => outputRef(reader.namespace, taskId));
    const listing = await reader.repository.listRefs(refs, reader.signal).catch(() => null);
    for (const { taskId, claim } of published) {
      const oid = listing?.refs.get(outputRef(reader.namespace, taskId)) ?? null;
      const texts = oid === null ? null : await this.#texts(taskId, claim, oid, reader).catch(() => null);
      const known = this.#remembered.get(taskId);
      const last = known?.epoch === claim.epoch ? known.texts : { stdout: null, stderr: null };
      found.set(taskId, { liveness: 'live', ...(texts ?? last) });
    }
    return found;
  }

  /** null: nothing of this claim. @throws GitError */
  async #texts(
    id: TaskId,
    { epoch, nodeId }: ClaimedState,
    oid: Oid,
    reader: LiveReader,
  ): Promise<Remembered['texts'] | null> {
    const known = this.#remembered.get(id);
    if (known?.oid === oid && known.epoch === epoch) return known.texts;
    const batch = await readLiveBatch(reader, id, oid);
    // Of an earlier claim, left behind; or of a later one, which the next view shows.
    if (batch.kind !== 'batch' || batch.state.epoch !== epoch || batch.state.nodeId !== nodeId) return null;
    const isWhole = batch.state.state === 'open';
    const stdout = await endOfChunks(reader, batch.chunks.stdout, isWhole);
    const stderr = await endOfChunks(reader, batch.chunks.stderr, isWhole);
    if (stdout === null || stderr === null) return null;
    this.#remember(id, { epoch, oid, texts: { stdout, stderr } });
    return { stdout, stderr };
  }

  #remember(id: TaskId, one: Remembered): void {
    this.#remembered.delete(id);
    this.#remembered.set(id, one);
    const [oldest] = this.#remembered.keys();
    if (oldest !== undefined && this.#remembered.size > MAX_REMEMBERED) this.#remembered.delete(oldest);
  }
}

function textsOf({ stdout, stderr }: Written): Remembered['texts'] {
  const text = ({ bytes, isWhole }: Written['stdout']): OutputText =>
    growingText({ bytes: Buffer.from(bytes), totalBytes: bytes.length, whole: isWhole });
  return { stdout: text(stdout), stderr: text(stderr) };
}

/** Reads no more than a document shows of it. null: not as it should be. @throws GitError */
async function endOfChunks(reader: LiveReader, chunks: readonly Oid[], isWhole: boolean): Promise<OutputText | null> {
  const skipped = Math.max(0, chunks.length - 1 - Math.ceil(MAX_OUTPUT_TEXT_BYTES / CHUNK_BYTES)) * CHUNK_BYTES;
  const bytes = await readChunks(reader, chunks, skipped);
  if (bytes === null) return null;
  return growingText({ bytes, totalBytes: skipped + bytes.length, whole: isWhole && skipped === 0 });
}
