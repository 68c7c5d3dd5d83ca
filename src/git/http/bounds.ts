/** How much may come in one answer, in bytes, by what is asked for: none takes more memory than there is sense in. */
import { MAX_REF_OBJECT_BYTES } from '../repository.ts';

export interface AnswerBounds {
  /** Of one object, unpacked. */
  maxObjectBytes: number;
  /** Of all objects, unpacked. */
  maxTotalBytes: number;
  /** As it comes over the wire. */
  maxAnswerBytes: number;
}

/** A branch with its directories, as it is put into the clone: about a million results, as they pack. */
export const MAX_PACK_BYTES = 32 * 1024 * 1024;
/** Of many small objects: what is more is asked for in two. */
const MAX_TOTAL_BYTES = 16 * 1024 * 1024;

/** Directories of a branch, which grow with its history: as it comes, there is little that is new. @param knownBytes the largest of those that are here */
export function treeBounds(knownBytes: number): AnswerBounds {
  const most = MAX_TOTAL_BYTES + 2 * knownBytes;
  return { maxObjectBytes: most, maxTotalBytes: most, maxAnswerBytes: MAX_TOTAL_BYTES + knownBytes };
}

/** States, which are small whoever wrote them. @param files whether the host sends along what hangs on them */
export function refBounds(files: boolean): AnswerBounds {
  return {
    maxObjectBytes: files ? MAX_TOTAL_BYTES : MAX_REF_OBJECT_BYTES,
    maxTotalBytes: MAX_TOTAL_BYTES,
    maxAnswerBytes: MAX_TOTAL_BYTES,
  };
}

/** Files: one that is allowed fits, however badly it packs. */
export function blobBounds(maxBytes: number): AnswerBounds {
  const most = Math.max(MAX_TOTAL_BYTES, 2 * maxBytes);
  return { maxObjectBytes: maxBytes, maxTotalBytes: most, maxAnswerBytes: most };
}
