/**
 * The seam between the ledger and Git: a remote repository with a local cache of its objects.
 *
 * Nothing above this line knows how Git is spoken (a command, an HTTP request) or where the cache lies; nothing below it
 * knows what the refs mean.
 *
 * Invariants an implementation keeps:
 * - `listRefs` asks the remote each time; it never answers from the cache.
 * - `swapRefs` reports `applied` only when the remote said so for that very ref. Everything that is not a definite answer
 *   is `unclear`, or an error of the whole call; the caller then reads the ref.
 * - Swaps in one call are independent of each other: one may be applied and the next rejected.
 */
import type { GitObject } from './objects.ts';
import type { Oid, RefName } from './oid.ts';

export interface RefListing {
  /** Ref → object id, for the prefixes that were asked for. */
  refs: ReadonlyMap<RefName, Oid>;
  /** The branch that the remote's HEAD points to; null when it was not asked for (`HEAD`, or all branches), or there is none. */
  headBranch: RefName | null;
}

/** `from: null` means the ref must not exist; `to: null` deletes it. */
export interface RefSwap {
  ref: RefName;
  from: Oid | null;
  to: Oid | null;
}

export type SwapVerdict =
  | { kind: 'applied' }
  /** The ref was not at `from`: somebody else moved it, or an earlier try of ours was applied. */
  | { kind: 'rejected'; reason: string }
  /** The host will not do it, now or later: a protected branch, a hidden namespace, a hook's refusal. */
  | { kind: 'refused'; reason: string }
  /** The remote gave no definite answer for this ref. */
  | { kind: 'unclear'; reason: string };

/** A file's content, or the size in bytes of one that is above the bound. */
export type Blob = { kind: 'content'; content: Buffer } | { kind: 'too-large'; bytes: number };

/** Of what a pattern of refs may bring along, unpacked: far above any state, and no burden for the memory. */
export const MAX_REF_OBJECT_BYTES = 1024 * 1024;

export interface Repository {
  /** @throws GitError */
  listRefs(prefixes: readonly string[], signal?: AbortSignal): Promise<RefListing>;
  /**
   * Makes what these refs hold readable through `readObjects` (commits and trees; files through `readBlobs`): exact names,
   * or `prefix/*` patterns. A ref that has vanished meanwhile is no error.
   * @param lacking what of it the caller lacks, as a listing showed it; without it, everything is brought.
   * @returns of what the patterns hold, ids of objects that are not to be read, and why: above `MAX_REF_OBJECT_BYTES`, or
   *   nothing that the remote can send.
   * @throws GitError
   */
  fetchRefs(
    patterns: readonly string[],
    signal?: AbortSignal,
    lacking?: ReadonlyMap<RefName, Oid>,
  ): Promise<ReadonlyMap<Oid, string>>;
  /** From the local cache. Ids that are not there are absent from the answer. @throws GitError (`corrupt-local`) */
  readObjects(oids: readonly Oid[], signal?: AbortSignal): Promise<ReadonlyMap<Oid, GitObject>>;
  /**
   * Files of trees that were fetched, which a cache may have to ask the remote for. Ids that nobody has are absent.
   * @param maxBytes of one file; of a larger one only the size is told.
   * @throws GitError
   */
  readBlobs(oids: readonly Oid[], maxBytes: number, signal?: AbortSignal): Promise<ReadonlyMap<Oid, Blob>>;
  /**
   * Sends the swaps, with the objects that the remote lacks.
   * @param objects those among them that are new: made here, and not known to be on the remote.
   * @throws GitError when the whole push failed or was cut off.
   */
  swapRefs(
    swaps: readonly RefSwap[],
    objects: readonly GitObject[],
    signal?: AbortSignal,
  ): Promise<ReadonlyMap<RefName, SwapVerdict>>;
  /** Looks whether the local cache is whole. @throws GitError (`corrupt-local` when it needs `rebuild`) */
  check(signal?: AbortSignal): Promise<void>;
  /**
   * Throws the local cache away; what is needed must be fetched again.
   * @param reason what is wrong with it; null: nothing, it has become too large.
   * @throws GitError
   */
  rebuild(reason: string | null, signal?: AbortSignal): Promise<void>;
  /** Keeps the local cache small. @throws GitError */
  upkeep(signal?: AbortSignal): Promise<void>;
  readonly objectFormat: ObjectFormatSource;
}

/** The hash that this repository uses is known only after the first contact. */
export type ObjectFormatSource = () => 'sha1' | 'sha256';
