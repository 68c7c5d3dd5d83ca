/**
 * What one running task has written, on its way into the task's output ref.
 *
 *     idle ──next──▶ in flight ──settled──▶ idle
 *       └─ end ──▶ ended: the ref goes, whatever was in flight is waited for first
 *
 * Invariants:
 * - One batch at a time is under way. Each is whole by itself, so a lost one is made good by the next.
 * - Only what the remote was seen to hold is left out of a batch.
 * - What a later claim has put into the ref is left alone: this run has lost its task then, and is silent from there on.
 */
import type { Run } from '../executor/executor.ts';
import { makeBlob, parseCommit } from '../git/objects.ts';
import type { Oid } from '../git/oid.ts';
import type { Repository } from '../git/repository.ts';
import type { HeldClaim } from '../ledger/claims.ts';
import { readOutputObject } from '../ledger/live-output.ts';
import { outputRef } from '../ledger/names.ts';
import { chunksOf, decodeOutputState, type OutputState, STREAMS } from '../ledger/output-codec.ts';
import type { PushRequest, Rider } from '../ledger/publisher.ts';
import type { SwapOutcome } from '../ledger/settle.ts';
import type { StateWriter } from '../ledger/state-writer.ts';
import type { Emit } from '../observe/events.ts';
import type { Clock } from '../runtime.ts';

/** Batches whose outcome nobody knows may turn up in the ref later. */
const MAX_TRIED = 8;
/** Each follows an outcome that said where the ref is. */
const MAX_DELETION_TRIES = 3;
/** A host that refuses once may lack objects that were left out; so a second try brings all. */
const REFUSALS_BELIEVED = 2;

export type TapOutcome = 'published' | 'delayed' | 'refused' | 'overtaken';

export interface OutputTapParts {
  namespace: () => Parameters<typeof outputRef>[0];
  repository: Pick<Repository, 'fetchRefs' | 'readObjects' | 'objectFormat'>;
  writer: StateWriter;
  push: (request: PushRequest) => Promise<SwapOutcome>;
  /** Of each stream, from its beginning. */
  maxBytes: number;
  clock: Clock;
  emit: Emit;
  /** @param reason only where the host refused */
  onOutcome: (outcome: TapOutcome, reason: string | null) => void;
}

interface Batch {
  to: Oid;
  bytes: number;
  state: OutputState['state'];
  chunks: readonly Oid[];
}

export class OutputTap {
  readonly #parts: OutputTapParts;
  readonly #claim: HeldClaim;
  readonly #run: Pick<Run, 'written'>;
  #held: Oid | null = null;
  /** Chunks that the remote has, by the ref's present state. */
  #known: ReadonlySet<Oid> = new Set();
  /** What the last batch that arrived said. */
  #said: Pick<Batch, 'bytes' | 'state'> = { bytes: 0, state: 'open' };
  #tried: Oid[] = [];
  #inFlight: Promise<void> | null = null;
  #sentAtMs: number;
  #refusals = 0;
  #isSilent = false;
  /** A batch from nothing whose outcome nobody knows: a copy of it may arrive when the ref has been deleted. */
  #mayComeLate = false;

  constructor(claim: HeldClaim, run: Pick<Run, 'written'>, parts: OutputTapParts) {
    this.#parts = parts;
    this.#claim = claim;
    this.#run = run;
    this.#sentAtMs = parts.clock.monotonicMs();
  }

  /** Monotonic: when the last batch was handed over, or the run began. */
  get sentAtMs(): number {
    return this.#sentAtMs;
  }

  /** What there is to send now; null: nothing new, or something is under way. */
  next(): Rider | null {
    if (this.#isSilent || this.#inFlight) return null;
    const { clock, maxBytes, namespace, repository, writer } = this.#parts;
    const written = this.#run.written(maxBytes);
    const bytes = written.stdout.bytes.length + written.stderr.bytes.length;
    const state = written.stdout.isWhole && written.stderr.isWhole ? 'open' : 'full';
    if (bytes === this.#said.bytes && state === this.#said.state) return null;
    const format = repository.objectFormat();
    const chunks = STREAMS.flatMap((stream) =>
      chunksOf(stream, written[stream].bytes, (content) => makeBlob(content, format)),
    );
    const { attempt, epoch, incarnation, nodeId, taskId } = this.#claim.state;
    const { commit, tree } = writer.output({ state, taskId, nodeId, incarnation, epoch, attempt }, chunks);
    const batch: Batch = { to: commit.oid, bytes, state, chunks: chunks.map(({ blob }) => blob.oid) };
    this.#tried = [...this.#tried, commit.oid].slice(-MAX_TRIED);
    this.#sentAtMs = clock.monotonicMs();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#inFlight = promise;
    return {
      request: {
        swap: { ref: outputRef(namespace(), taskId), from: this.#held, to: commit.oid },
        objects: [...chunks.map(({ blob }) => blob).filter(({ oid }) => !this.#known.has(oid)), tree, commit],
        step: 'swap.output',
      },
      settled: (outcome) => {
        void this.#settle(batch, outcome).finally(() => {
          this.#inFlight = null;
          resolve();
        });
      },
    };
  }

  /** The task no longer runs here. @returns whether it is certain that its output is gone, and stays so. */
  async end(): Promise<boolean> {
    this.#isSilent = true;
    await this.#inFlight;
    const ref = outputRef(this.#parts.namespace(), this.#claim.taskId);
    let from = this.#held ?? this.#tried.at(-1) ?? null;
    for (let tries = 0; from !== null && tries < MAX_DELETION_TRIES; tries += 1) {
      const request: PushRequest = { swap: { ref, from, to: null }, objects: [], step: 'swap.output-delete' };
      const outcome = await this.#parts.push(request).catch(() => null);
      if (outcome?.kind === 'won') return !this.#mayComeLate;
      if (outcome?.kind !== 'lost') return false;
      // An earlier batch whose answer got lost; or a later claim's, which is not ours to delete.
      from = outcome.current !== null && this.#tried.includes(outcome.current) ? outcome.current : null;
    }
    return from === null && !this.#mayComeLate;
  }

  async #settle(batch: Batch, outcome: SwapOutcome | null): Promise<void> {
    const { emit, onOutcome } = this.#parts;
    this.#mayComeLate ||= outcome === null && this.#held === null;
    if (outcome?.kind === 'won') {
      emit('output.published', {
        task: this.#claim.taskId,
        bytes: batch.bytes,
        new_bytes: batch.bytes - this.#said.bytes,
      });
      this.#held = batch.to;
      this.#known = new Set(batch.chunks);
      this.#said = { bytes: batch.bytes, state: batch.state };
      this.#refusals = 0;
      onOutcome('published', null);
      return;
    }
    this.#known = new Set();
    if (outcome?.kind === 'lost') {
      const isOurs = outcome.current === null || (await this.#isOurs(outcome.current).catch(() => null));
      // Not known for now: the next batch asks again.
      if (isOurs) this.#held = outcome.current;
      this.#isSilent ||= isOurs === false;
      onOutcome(isOurs === false ? 'overtaken' : 'delayed', null);
      return;
    }
    if (outcome?.kind === 'refused' && outcome.lasting) {
      this.#refusals += 1;
      if (this.#refusals >= REFUSALS_BELIEVED) return onOutcome('refused', outcome.reason);
    }
    onOutcome('delayed', null);
  }

  /**
   * Whether what the ref holds is an earlier batch, of this claim or one before it. What cannot be read is nobody's to replace.
   * @throws GitError
   */
  async #isOurs(oid: Oid): Promise<boolean> {
    if (this.#tried.includes(oid)) return true;
    const { namespace, repository } = this.#parts;
    const { epoch, nodeId } = this.#claim.state;
    const object = await readOutputObject(repository, outputRef(namespace(), this.#claim.taskId), oid);
    if (object?.type !== 'commit') return false;
    const decoded = decodeOutputState(parseCommit(object.content).message, this.#claim.taskId);
    if (decoded.kind !== 'state') return false;
    return decoded.state.epoch < epoch || (decoded.state.epoch === epoch && decoded.state.nodeId === nodeId);
  }
}
