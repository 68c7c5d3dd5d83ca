/**
 * A repository that counts what is asked of the host: listings, fetches and pushes. The log and the health page tell how
 * much that is, and hosts count requests.
 */
import type { GitObject } from '../git/objects.ts';
import type { Oid, RefName } from '../git/oid.ts';
import type { Blob, ObjectFormatSource, RefListing, RefSwap, Repository, SwapVerdict } from '../git/repository.ts';

export class CountedRepository implements Repository {
  readonly objectFormat: ObjectFormatSource;
  readonly #inner: Repository;
  #requests = 0;

  constructor(inner: Repository) {
    this.#inner = inner;
    this.objectFormat = inner.objectFormat;
  }

  /** Since this worker began. */
  get requests(): number {
    return this.#requests;
  }

  listRefs(prefixes: readonly string[], signal?: AbortSignal): Promise<RefListing> {
    this.#requests += 1;
    return this.#inner.listRefs(prefixes, signal);
  }

  fetchRefs(
    patterns: readonly string[],
    signal?: AbortSignal,
    lacking?: ReadonlyMap<RefName, Oid>,
  ): Promise<ReadonlyMap<Oid, string>> {
    this.#requests += 1;
    return this.#inner.fetchRefs(patterns, signal, lacking);
  }

  swapRefs(
    swaps: readonly RefSwap[],
    objects: readonly GitObject[],
    signal?: AbortSignal,
  ): Promise<ReadonlyMap<RefName, SwapVerdict>> {
    this.#requests += 1;
    return this.#inner.swapRefs(swaps, objects, signal);
  }

  readObjects(oids: readonly Oid[], signal?: AbortSignal): Promise<ReadonlyMap<Oid, GitObject>> {
    return this.#inner.readObjects(oids, signal);
  }

  readBlobs(oids: readonly Oid[], maxBytes: number, signal?: AbortSignal): Promise<ReadonlyMap<Oid, Blob>> {
    this.#requests += 1;
    return this.#inner.readBlobs(oids, maxBytes, signal);
  }

  check(signal?: AbortSignal): Promise<void> {
    return this.#inner.check(signal);
  }

  rebuild(reason: string | null, signal?: AbortSignal): Promise<void> {
    return this.#inner.rebuild(reason, signal);
  }

  upkeep(signal?: AbortSignal): Promise<void> {
    return this.#inner.upkeep(signal);
  }
}
