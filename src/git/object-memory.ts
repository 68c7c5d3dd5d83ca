/**
 * Git objects in memory, bounded: what was not used for the longest time goes first. A cache and nothing else: everything in
 * it can be had again.
 */
import type { GitObject } from './objects.ts';
import type { Oid } from './oid.ts';

/** What a small object costs beside its bytes. */
const OVERHEAD_BYTES = 300;

export class ObjectMemory {
  readonly #maxBytes: number;
  /** In the order of their last use. */
  readonly #objects = new Map<Oid, GitObject>();
  #bytes = 0;
  /** In bytes, of all that ever were here: what comes anew is not much larger. */
  largestTree = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  has(oid: Oid): boolean {
    return this.#objects.has(oid);
  }

  get(oid: Oid): GitObject | null {
    const object = this.#objects.get(oid);
    if (!object) return null;
    this.#objects.delete(oid);
    this.#objects.set(oid, object);
    return object;
  }

  /** One that is larger than the bound stays until the next one comes. */
  add(objects: Iterable<GitObject>): void {
    for (const object of objects) {
      if (this.get(object.oid)) continue;
      if (object.type === 'tree') this.largestTree = Math.max(this.largestTree, object.content.length);
      this.#objects.set(object.oid, object);
      this.#bytes += cost(object);
      for (const oldest of this.#objects.values()) {
        if (this.#bytes <= this.#maxBytes || oldest === object) break;
        this.#objects.delete(oldest.oid);
        this.#bytes -= cost(oldest);
      }
    }
  }

  clear(): void {
    this.#objects.clear();
    this.#bytes = 0;
  }
}

function cost({ content }: GitObject): number {
  return content.length + OVERHEAD_BYTES;
}
