/**
 * Tells which nodes have died, without any clock that two machines would have to agree on.
 *
 * A node is dead for this observer when its ref has kept one object id over the node's own time-to-live, measured on the
 * observer's monotonic clock, in at least MIN_READS fresh readings with no gap longer than the allowed one. An observer
 * that was paused, suspended or cut off has a gap, and starts to count again: its own silence proves nothing about others.
 */
import type { Oid } from '../git/oid.ts';
import type { NodeId } from '../task/id.ts';

export const MIN_READS = 5;

export interface Reading {
  listedAtMs: number;
  answeredAtMs: number;
}

interface Sight {
  oid: Oid;
  sinceMs: number;
}

interface Watched extends Sight {
  reads: number;
}

export class DeathWatch {
  readonly #maxGapMs: number;
  #lastReadMs: number | null = null;
  #watched = new Map<NodeId, Watched>();
  /** The same without regard to gaps. It proves nothing. */
  #sights = new Map<NodeId, Sight>();

  /** @param maxGapMs twice the interval at which this observer reads. */
  constructor(maxGapMs: number) {
    this.#maxGapMs = maxGapMs;
  }

  /**
   * @param reading when the fresh listing was asked for and when it was answered, on the observer's monotonic clock. What it
   * shows was there at some moment in between: for certain only from the answer on, and only until it was asked for.
   */
  observe(nodes: Iterable<readonly [NodeId, Oid]>, { listedAtMs, answeredAtMs }: Reading): void {
    const gap = this.#lastReadMs === null ? 0 : listedAtMs - this.#lastReadMs;
    const forget = gap > this.#maxGapMs;
    this.#lastReadMs = listedAtMs;
    const next = new Map<NodeId, Watched>();
    const sights = new Map<NodeId, Sight>();
    for (const [id, oid] of nodes) {
      const before = forget ? undefined : this.#watched.get(id);
      const fresh = { oid, sinceMs: answeredAtMs, reads: 1 };
      next.set(id, before?.oid === oid ? { ...before, reads: before.reads + 1 } : fresh);
      const sight = this.#sights.get(id);
      sights.set(id, sight?.oid === oid ? sight : { oid, sinceMs: answeredAtMs });
    }
    this.#watched = next;
    this.#sights = sights;
  }

  /**
   * Starts to count again. For an observer whose own signs of life do not get through: those of the others may be held up
   * by the same thing.
   */
  restart(): void {
    this.#watched.clear();
  }

  isDead(id: NodeId, ttlMs: number): boolean {
    const watched = this.#watched.get(id);
    if (!watched || this.#lastReadMs === null) return false;
    return watched.reads >= MIN_READS && this.#lastReadMs - watched.sinceMs >= ttlMs;
  }

  /** How long the ref has been seen unchanged; null for a node that was not in the last reading. */
  unchangedMs(id: NodeId): number | null {
    const watched = this.#watched.get(id);
    return watched && this.#lastReadMs !== null ? this.#lastReadMs - watched.sinceMs : null;
  }

  /**
   * How long the node has shown the same sign of life, whatever this observer missed in between: a guess that it will do
   * nothing, good enough for an order of precedence, and for nothing else.
   */
  seemsSilentMs(id: NodeId): number {
    const sight = this.#sights.get(id);
    return sight && this.#lastReadMs !== null ? this.#lastReadMs - sight.sinceMs : 0;
  }
}
