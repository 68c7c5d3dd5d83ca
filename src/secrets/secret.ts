/** A secret of the operator's, and its bounds. */

export interface Secret {
  name: string;
  /** As in the operator's file, a line break at its end included. */
  bytes: Uint8Array;
}

/** Also the name of its file, and so of the one that a task finds. */
export const SECRET_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
/** Without blanks and line breaks at its ends. Masking a shorter one would shred whatever a task prints. */
export const MIN_SECRET_BYTES = 8;
export const MAX_SECRET_BYTES = 16 * 1024;
/** Of one task: they lie in its memory, and are looked for in all that it prints. */
export const MAX_TASK_SECRETS_BYTES = 64 * 1024;

/** How much of a stream is held back grows with it. */
const MAX_BREAKS_IN_A_ROW = 8;

/** Line breaks that follow each other, at most. */
export function longestBreak(bytes: Uint8Array): number {
  let [longest, current] = [0, 0];
  for (const byte of bytes) {
    current = byte === 0x0a || byte === 0x0d ? current + 1 : 0;
    longest = Math.max(longest, current);
  }
  return longest;
}

/** What is looked for where the secret must not show: files mostly end with a line break that is no part of it. */
export function essence(bytes: Uint8Array): Uint8Array {
  const isBlank = (byte: number | undefined) => byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d;
  let [start, end] = [0, bytes.length];
  while (start < end && isBlank(bytes[start])) start += 1;
  while (end > start && isBlank(bytes[end - 1])) end -= 1;
  return bytes.subarray(start, end);
}

/** @returns why these bytes cannot be a secret, with the remedy; null when they can */
export function problemOf(bytes: Uint8Array): string | null {
  if (bytes.length > MAX_SECRET_BYTES) return `is longer than ${MAX_SECRET_BYTES} bytes: shorten it`;
  if (longestBreak(essence(bytes)) > MAX_BREAKS_IN_A_ROW) {
    return `has more than ${MAX_BREAKS_IN_A_ROW} line breaks in a row: remove blank lines`;
  }
  // Line breaks do not count where it is looked for.
  const length = essence(bytes).filter((byte) => byte !== 0x0a && byte !== 0x0d).length;
  return length >= MIN_SECRET_BYTES
    ? null
    : `is shorter than ${MIN_SECRET_BYTES} characters: masking it would shred what tasks print. Use a longer one`;
}
