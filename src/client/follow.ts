/**
 * Following a task: what it writes while it runs, as far as it is published, and the rest from its result. Each byte is
 * handed on once.
 *
 *     queued ──▶ running under a claim ──(another claim: begins anew)──▶ result
 *
 * Invariant: what was handed on of the last run is a beginning of what its result holds, or it is said that it is not.
 */
import type { Oid } from '../git/oid.ts';
import type { GridView } from '../ledger/grid-view.ts';
import { type Liveness, type LiveReader, livenessOf, readChunks, readLiveBatch } from '../ledger/live-output.ts';
import { outputRef } from '../ledger/names.ts';
import { STREAMS, type Stream } from '../ledger/output-codec.ts';
import type { StreamOutput } from '../ledger/results.ts';
import type { ClaimedState } from '../ledger/state-codec.ts';
import { standingOf } from '../ledger/task-standing.ts';
import type { NodeId, TaskId } from '../task/id.ts';
import type { ResultRecord } from '../task/result.ts';
import type { GridClient } from './grid-client.ts';

export type FollowEvent =
  | { kind: 'queued' }
  | { kind: 'waiting'; reason: string }
  | { kind: 'running'; nodeId: NodeId; attempt: number; liveness: Liveness; isNext: boolean }
  /** More comes with the result only. */
  | { kind: 'full' }
  | { kind: 'unreadable'; problem: string }
  /** The result's output does not begin with what was handed on, which therefore comes once more. */
  | { kind: 'differs'; stream: Stream }
  /** The result holds another run's output, or none. */
  | { kind: 'not-kept' };

export interface FollowSink {
  bytes: (stream: Stream, bytes: Uint8Array) => void;
  tell: (event: FollowEvent) => void;
}

interface Followed {
  claim: Pick<ClaimedState, 'nodeId' | 'epoch' | 'attempt'>;
  /** What was handed on. */
  seen: Record<Stream, Buffer[]>;
  length: Record<Stream, number>;
}

/** A sign of life of the claim's owner may come between a listing and the fetch: its state is read with the next look then. */
const MAX_LOOKS_FOR_OWNER = 3;

export class Follower {
  readonly #client: GridClient;
  readonly #id: TaskId;
  readonly #sink: FollowSink;
  #run: Followed | null = null;
  #read: string | null = null;
  /** Looks at a claim of which nothing was told yet; null: it was. */
  #untoldLooks: number | null = null;
  #isNext = false;
  readonly #told = new Set<string>();

  constructor(client: GridClient, id: TaskId, sink: FollowSink) {
    this.#client = client;
    this.#id = id;
    this.#sink = sink;
  }

  /** @param view listed with the task's output ref @returns whether there was something new @throws GitError */
  async look(view: GridView): Promise<boolean> {
    const standing = standingOf(view, this.#id);
    if (standing.kind === 'queued') return this.#tellOnce('queued', { kind: 'queued' });
    if (standing.kind === 'waiting') {
      const { attempt, waitReason } = standing.state;
      return this.#tellOnce(`waiting ${attempt}`, { kind: 'waiting', reason: waitReason });
    }
    if (standing.kind !== 'claimed') return false;
    const { state: claim } = standing;
    const isNew = await this.#begin(view, claim);
    return (await this.#take(view, claim)) || isNew;
  }

  /** Hands on what is left. To be called once, with what the result holds. */
  finish(record: ResultRecord, output: Readonly<Record<Stream, StreamOutput>>): void {
    const run = this.#run;
    const isSameRun = run?.claim.nodeId === record.node_id && run.claim.attempt === record.attempt;
    if (run && !isSameRun && STREAMS.some((stream) => run.length[stream] > 0)) this.#sink.tell({ kind: 'not-kept' });
    for (const stream of STREAMS) {
      const { bytes } = output[stream];
      const seen = run && isSameRun ? Buffer.concat(run.seen[stream]) : Buffer.alloc(0);
      const isBeginning = bytes.subarray(0, seen.length).equals(seen);
      if (!isBeginning) this.#sink.tell(bytes.length === 0 ? { kind: 'not-kept' } : { kind: 'differs', stream });
      this.#hand(stream, isBeginning ? bytes.subarray(seen.length) : bytes);
    }
  }

  async #begin(view: GridView, claim: ClaimedState): Promise<boolean> {
    const { attempt, epoch, nodeId } = claim;
    if (this.#run?.claim.epoch !== epoch || this.#run.claim.nodeId !== nodeId) {
      this.#isNext = this.#run !== null;
      this.#untoldLooks = 0;
      this.#told.clear();
      this.#run = {
        claim: { attempt, epoch, nodeId },
        seen: { stdout: [], stderr: [] },
        length: { stdout: 0, stderr: 0 },
      };
    }
    if (this.#untoldLooks === null) return false;
    const liveness = await livenessOf(this.#client, view, claim, this.#published(view) !== undefined);
    this.#untoldLooks += 1;
    if (liveness === null && this.#untoldLooks < MAX_LOOKS_FOR_OWNER) return true;
    this.#untoldLooks = null;
    this.#sink.tell({ kind: 'running', nodeId, attempt, liveness: liveness ?? 'unsupported', isNext: this.#isNext });
    return true;
  }

  async #take(view: GridView, claim: ClaimedState): Promise<boolean> {
    const run = this.#run;
    const oid = this.#published(view);
    if (!run || oid === undefined || oid === this.#read) return false;
    const batch = await readLiveBatch(this.#reader, this.#id, oid);
    if (batch.kind === 'gone') return false;
    if (batch.kind === 'unreadable') return this.#tellOnce('unreadable', batch);
    const { epoch, nodeId, state } = batch.state;
    // Of an earlier claim, left behind; or of a later one, which the next view shows.
    if (epoch !== claim.epoch || nodeId !== claim.nodeId) return false;
    let isNew = false;
    for (const stream of STREAMS) {
      const bytes = await readChunks(this.#client, batch.chunks[stream], run.length[stream]);
      if (bytes === null)
        return this.#tellOnce('unreadable', { kind: 'unreadable', problem: 'parts of it are missing' });
      if (bytes.length === 0) continue;
      run.seen[stream].push(bytes);
      run.length[stream] += bytes.length;
      this.#hand(stream, bytes);
      isNew = true;
    }
    this.#read = oid;
    if (state === 'full') this.#tellOnce('full', { kind: 'full' });
    return isNew;
  }

  get #reader(): LiveReader {
    const { format, reader, repository, signal } = this.#client;
    return { format, namespace: reader.namespace, repository, signal };
  }

  /** What the task's output ref held. */
  #published(view: GridView): Oid | undefined {
    return view.also.get(outputRef(this.#client.reader.namespace, this.#id));
  }

  #hand(stream: Stream, bytes: Uint8Array): void {
    if (bytes.length > 0) this.#sink.bytes(stream, bytes);
  }

  /** Until the next claim. */
  #tellOnce(key: string, event: FollowEvent): boolean {
    if (this.#told.has(key)) return false;
    this.#told.add(key);
    this.#sink.tell(event);
    return true;
  }
}
