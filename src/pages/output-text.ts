/** What tasks write, as the documents hold it: the end of it, where it is long. Pure. */
import type { StreamOutput } from '../ledger/results.ts';
import { MAX_OUTPUT_TEXT_BYTES } from './limits.ts';
import type { OutputText } from './model.ts';

export function outputText({ bytes, totalBytes, whole }: StreamOutput): OutputText {
  const end = endOf(bytes, MAX_OUTPUT_TEXT_BYTES);
  return { text: end.toString('utf8'), total_bytes: totalBytes, whole: whole && end.length === bytes.length };
}

/** The same while more may come: of a character whose bytes are not all there yet nothing is shown. */
export function growingText(output: StreamOutput): OutputText {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  const end = endOf(output.bytes, MAX_OUTPUT_TEXT_BYTES);
  return { ...outputText(output), text: decoder.decode(end, { stream: true }) };
}

/** The last bytes, from the beginning of a character on. */
export function endOf(bytes: Buffer, maxBytes: number): Buffer {
  if (bytes.length <= maxBytes) return bytes;
  let from = bytes.length - maxBytes;
  while (from < bytes.length && ((bytes[from] as number) & 0xc0) === 0x80) from += 1;
  return bytes.subarray(from);
}
