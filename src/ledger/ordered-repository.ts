/**
 * A repository whose listings never go back behind what this worker itself has moved.
 *
 * A cache in front of a host, or a replica behind it, may list refs as they were a while ago. States are unique and no
 * ref ever returns to one, so a listing that shows a state which this worker has replaced is older than that swap, and
 * proves nothing about anything. It is an error like an answer that got lost; whoever asked asks again.
 *
 * Only own swaps are evidence. Of two listings that differ nobody can tell which is older.
 */
import { GitError } from '../git/errors.ts';
import type { GitObject } from '../git/objects.ts';
import type { Oid, RefName } from '../git/oid.ts';
import type { Blob, ObjectFormatSource, RefListing, RefSwap, Repository, SwapVerdict } from '../git/repository.ts';
import type { Clock } from '../runtime.ts';
import { NAMESPACES } from './names.ts';

/** A host that goes on showing what was replaced for longer has been set back, from a backup perhaps: it is believed. */
export const MAX_LAG_MS = 60_000;
const MAX_REMEMBERED = 10_000;

export class OrderedRepository implements Repository {
  readonly objectFormat: ObjectFormatSource;
  readonly #inner: Repository;
  readonly #clock: Clock;
  /** Counts what happens, so that a listing can be told from a swap that was settled while it was under way. */
  #turn = 0;
  /**
   * Replaced states, each with its ref (somebody may let another one point to the same), and when that was known. The oldest
   * are forgotten.
   */
  readonly #replaced = new Map<string, number>();
  /** What swaps that were sent would replace, by what they would bring where. */
  readonly #sent = new Map<string, Oid>();
  #oldSinceMs: number | null = null;

  constructor(inner: Repository, clock: Clock) {
    this.#inner = inner;
    this.#clock = clock;
    this.objectFormat = inner.objectFormat;
  }

  /** @throws GitError, of kind `network` also when the listing is older than what this worker knows. */
  async listRefs(prefixes: readonly string[], signal?: AbortSignal): Promise<RefListing> {
    this.#turn += 1;
    const askedAt = this.#turn;
    const listing = await this.#inner.listRefs(prefixes, signal);
    const old = [...listing.refs].find(([ref, oid]) => (this.#replaced.get(keyOf(ref, oid)) ?? askedAt) < askedAt);
    if (old) this.#doubt(old[0]);
    else this.#oldSinceMs = null;
    for (const [ref, oid] of listing.refs) {
      const from = this.#sent.get(keyOf(ref, oid));
      if (from !== undefined) this.#learn(ref, from);
    }
    return listing;
  }

  async swapRefs(
    swaps: readonly RefSwap[],
    objects: readonly GitObject[],
    signal?: AbortSignal,
  ): Promise<ReadonlyMap<RefName, SwapVerdict>> {
    for (const { ref, from, to } of swaps) {
      if (from !== null && to !== null && isLedgerRef(ref)) bounded(this.#sent).set(keyOf(ref, to), from);
    }
    const verdicts = await this.#inner.swapRefs(swaps, objects, signal);
    for (const { ref, from } of swaps) {
      if (from !== null && isLedgerRef(ref) && verdicts.get(ref)?.kind === 'applied') this.#learn(ref, from);
    }
    return verdicts;
  }

  fetchRefs(
    patterns: readonly string[],
    signal?: AbortSignal,
    lacking?: ReadonlyMap<RefName, Oid>,
  ): Promise<ReadonlyMap<Oid, string>> {
    return this.#inner.fetchRefs(patterns, signal, lacking);
  }

  readObjects(oids: readonly Oid[], signal?: AbortSignal): Promise<ReadonlyMap<Oid, GitObject>> {
    return this.#inner.readObjects(oids, signal);
  }

  readBlobs(oids: readonly Oid[], maxBytes: number, signal?: AbortSignal): Promise<ReadonlyMap<Oid, Blob>> {
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

  #learn(ref: RefName, replaced: Oid): void {
    const key = keyOf(ref, replaced);
    this.#turn += 1;
    if (!this.#replaced.has(key)) bounded(this.#replaced).set(key, this.#turn);
  }

  #doubt(ref: RefName): void {
    const nowMs = this.#clock.monotonicMs();
    this.#oldSinceMs ??= nowMs;
    if (nowMs - this.#oldSinceMs < MAX_LAG_MS) {
      throw new GitError('network', 'ls-remote', `the remote lists its refs as they were: ${ref} has moved on since`);
    }
    this.#oldSinceMs = null;
    this.#replaced.clear();
    this.#sent.clear();
  }
}

/** The branch is not: people may set it back. */
function isLedgerRef(ref: RefName): boolean {
  return NAMESPACES.some((namespace) => ref.startsWith(`${namespace}/`));
}

function keyOf(ref: RefName, oid: Oid): string {
  return `${ref} ${oid}`;
}

function bounded<T>(map: Map<string, T>): Map<string, T> {
  const [oldest] = map.size >= MAX_REMEMBERED ? map.keys() : [];
  if (oldest !== undefined) map.delete(oldest);
  return map;
}
