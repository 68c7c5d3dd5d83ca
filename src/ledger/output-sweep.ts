/**
 * Deletes live output that nobody writes any more: of nodes that died, and where a deletion failed.
 *
 * Looking for it takes a listing of its own, so that everybody's usual one stays as small as it is. It is made when
 * something may have been left, and otherwise once in a long while.
 *
 * Invariant: only what was listed before the view that shows its task without a claim is deleted, from the very object that
 * was listed. Who runs a task has claimed it before it writes the ref, so nothing that is needed goes. If it did all the
 * same, whoever writes it finds it gone, and writes it anew.
 */
import type { Oid, RefName } from '../git/oid.ts';
import type { Repository } from '../git/repository.ts';
import type { Emit } from '../observe/events.ts';
import type { Clock } from '../runtime.ts';
import type { GridReader, GridView } from './grid-view.ts';
import { outputPrefix, taskOfOutputRef } from './names.ts';
import type { PushRequest } from './publisher.ts';
import type { SwapOutcome } from './settle.ts';

const SWEEP_INTERVAL_MS = 3_600_000;
/** In one go. The rest is found the next time. */
const MAX_DELETIONS = 500;

export interface OutputSweepParts {
  repository: Pick<Repository, 'listRefs'>;
  reader: GridReader;
  push: (request: PushRequest) => Promise<SwapOutcome>;
  clock: Clock;
  emit: Emit;
}

export class OutputSweep {
  readonly #parts: OutputSweepParts;
  /** An earlier life of this node may have left something. */
  #isDue = true;
  #listedAtMs = Number.NEGATIVE_INFINITY;
  /** The look under way. */
  #looking: Promise<void> | null = null;
  #found: ReadonlyMap<RefName, Oid> = new Map();

  constructor(parts: OutputSweepParts) {
    this.#parts = parts;
  }

  /** Somebody died, or a deletion failed. */
  mayBeLeft(): void {
    this.#isDue = true;
  }

  /**
   * Looks for it, if it is time to. Never throws: what could not be listed is looked for again.
   * @param options.now whether or not it is time, and once more after a look that is under way
   */
  async look(options: { now?: boolean; signal?: AbortSignal } = {}): Promise<void> {
    const isTime = this.#isDue || this.#parts.clock.monotonicMs() - this.#listedAtMs >= SWEEP_INTERVAL_MS;
    if (options.now !== true && (!isTime || this.#looking !== null)) return;
    if (this.#looking !== null) await this.#looking;
    this.#looking = this.#list(options.signal).finally(() => {
      this.#looking = null;
    });
    await this.#looking;
  }

  async #list(signal: AbortSignal | undefined): Promise<void> {
    const { clock, reader, repository } = this.#parts;
    this.#isDue = false;
    try {
      const { refs } = await repository.listRefs([outputPrefix(reader.namespace)], signal);
      this.#found = refs;
    } catch {
      this.#isDue = true;
    }
    this.#listedAtMs = clock.monotonicMs();
  }

  /** Deletes what was found and, by this later view, is nobody's. Never throws: what could not be deleted is found again. */
  async clear(view: GridView): Promise<void> {
    if (this.#found.size === 0 || view.listedAtMs < this.#listedAtMs) return;
    const { emit, push, reader } = this.#parts;
    const left: PushRequest[] = [];
    for (const [ref, from] of this.#found) {
      const id = taskOfOutputRef(reader.namespace, ref);
      if (id === null) continue;
      const known = view.tasks.get(id);
      const isInWork = known !== undefined && (known.state?.kind !== 'state' || known.state.state.state === 'claimed');
      if (!isInWork) left.push({ swap: { ref, from, to: null }, objects: [], step: 'swap.output-delete' });
    }
    this.#found = new Map();
    // The publisher tells of what failed.
    const outcomes = await Promise.all(
      left.slice(0, MAX_DELETIONS).map((request) => push(request).catch(() => ({ kind: 'unclear' as const }))),
    );
    this.#isDue ||= left.length > MAX_DELETIONS || outcomes.some(({ kind }) => kind === 'unclear');
    const deleted = outcomes.filter(({ kind }) => kind === 'won').length;
    if (deleted > 0) emit('output.deleted', { refs: deleted });
  }
}
