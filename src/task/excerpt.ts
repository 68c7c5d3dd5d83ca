/** The part of a task's output that stands inside its record. */
import { isUtf8 } from 'node:buffer';
import { type CapturedOutput, INLINE_OUTPUT_BYTES } from './result.ts';

export interface Excerpt {
  /** At most INLINE_OUTPUT_BYTES as UTF-8, the mark included. */
  text: string;
  /** True when all that the task wrote is in `text`. */
  whole: boolean;
  /** True when bytes that are not UTF-8 were replaced, so that `text` is not what was written. */
  lossy: boolean;
}

/** What U+FFFD takes; a run of bad bytes costs at most this for each. */
const REPLACEMENT_BYTES = 3;
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** The whole of a short output; of a long one its beginning and its end, with a mark between that counts the rest. */
export function excerptOf(output: CapturedOutput, maxBytes: number = INLINE_OUTPUT_BYTES): Excerpt {
  const { bytes, totalBytes, truncated } = output;
  if (bytes.length <= maxBytes) {
    const text = decoder.decode(bytes);
    if (Buffer.byteLength(text) <= maxBytes) return { text, whole: !truncated, lossy: !isUtf8(bytes) };
  }
  // The mark's longest form is set aside before the rest is shared out.
  const budget = Math.max(0, maxBytes - Buffer.byteLength(markFor(totalBytes)));
  const headEnd = endOfHead(bytes, Math.ceil(budget / 2));
  const tailStart = startOfTail(bytes, headEnd, Math.floor(budget / 2));
  const leftOut = totalBytes - headEnd - (bytes.length - tailStart);
  const head = bytes.subarray(0, headEnd);
  const tail = bytes.subarray(tailStart);
  return {
    text: decoder.decode(head) + markFor(leftOut) + decoder.decode(tail),
    whole: false,
    lossy: !isUtf8(head) || !isUtf8(tail),
  };
}

function markFor(bytesLeftOut: number): string {
  return `\n[... ${bytesLeftOut} bytes left out ...]\n`;
}

function endOfHead(bytes: Uint8Array, budget: number): number {
  let at = 0;
  let cost = 0;
  while (at < bytes.length) {
    const length = characterLength(bytes, at);
    cost += length || REPLACEMENT_BYTES;
    if (cost > budget) break;
    at += length || 1;
  }
  return at;
}

function startOfTail(bytes: Uint8Array, floor: number, budget: number): number {
  let at = bytes.length;
  let cost = 0;
  while (at > floor) {
    const length = lengthOfCharacterBefore(bytes, at, floor);
    cost += length || REPLACEMENT_BYTES;
    if (cost > budget) break;
    at -= length || 1;
  }
  return at;
}

function lengthOfCharacterBefore(bytes: Uint8Array, end: number, floor: number): number {
  for (let length = 1; length <= 4 && end - length >= floor; length++) {
    if (characterLength(bytes, end - length) === length) return length;
  }
  return 0;
}

/** Bytes of the well-formed character that begins at `at`; 0 when there is none (Unicode, table 3-7). */
function characterLength(bytes: Uint8Array, at: number): number {
  const lead = bytes[at] ?? 0;
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return continues(bytes, at + 1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    const [low, high] = lead === 0xe0 ? [0xa0, 0xbf] : lead === 0xed ? [0x80, 0x9f] : [0x80, 0xbf];
    return continues(bytes, at + 1, low, high) && continues(bytes, at + 2) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    const [low, high] = lead === 0xf0 ? [0x90, 0xbf] : lead === 0xf4 ? [0x80, 0x8f] : [0x80, 0xbf];
    return continues(bytes, at + 1, low, high) && continues(bytes, at + 2) && continues(bytes, at + 3) ? 4 : 0;
  }
  return 0;
}

function continues(bytes: Uint8Array, at: number, low = 0x80, high = 0xbf): boolean {
  const byte = bytes[at];
  return byte !== undefined && byte >= low && byte <= high;
}
