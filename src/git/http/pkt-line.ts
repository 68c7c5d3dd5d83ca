/**
 * Git's framing: each packet begins with its own length in four hexadecimal digits; 0 to 2 are marks without content.
 *
 * Format: https://git-scm.com/docs/protocol-common
 */

export type Packet =
  | { kind: 'data'; data: Buffer }
  /** 0000: the end of a section, or of a message. */
  | { kind: 'flush' }
  /** 0001: between two sections of a message. */
  | { kind: 'delimiter' }
  /** 0002: the end of an answer over a connection without state. */
  | { kind: 'response-end' };

const LENGTH_DIGITS = 4;
const MAX_PACKET_BYTES = 65_520;
/** Of each of the bands that are for people. */
const MAX_SAID_CHARACTERS = 64 * 1024;
const MARKS = ['flush', 'delimiter', 'response-end'] as const;

export const FLUSH = Buffer.from('0000');
export const DELIMITER = Buffer.from('0001');

/** What was read is not what the protocol says: whoever answered speaks something else, or broke off. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
}

/** @throws RangeError above the length that a packet may have. */
export function packet(content: string | Buffer): Buffer {
  const data = typeof content === 'string' ? Buffer.from(content, 'utf8') : content;
  const length = data.length + LENGTH_DIGITS;
  if (length > MAX_PACKET_BYTES) throw new RangeError(`a packet of ${length} bytes`);
  return Buffer.concat([Buffer.from(length.toString(16).padStart(LENGTH_DIGITS, '0')), data]);
}

/** Reads all packets from `at` on. @throws ProtocolError when the bytes end within one, or are none. */
export function* packets(bytes: Buffer, at = 0): Generator<Packet> {
  let position = at;
  while (position < bytes.length) {
    const digits = bytes.toString('latin1', position, position + LENGTH_DIGITS);
    if (!/^[0-9a-f]{4}$/i.test(digits)) throw new ProtocolError(`not a packet: ${JSON.stringify(digits)}`);
    const length = Number.parseInt(digits, 16);
    const mark = MARKS[length];
    if (mark) {
      position += LENGTH_DIGITS;
      yield { kind: mark };
      continue;
    }
    const end = position + length;
    if (length < LENGTH_DIGITS || end > bytes.length) throw new ProtocolError('the answer ends within a packet');
    yield { kind: 'data', data: bytes.subarray(position + LENGTH_DIGITS, end) };
    position = end;
  }
}

/** A packet that holds a line, without its line feed. */
export function lineOf(data: Buffer): string {
  const text = data.toString('utf8');
  return text.endsWith('\n') ? text.slice(0, -1) : text;
}

export interface SideBand {
  /** Band 1. */
  data: Buffer;
  /** Band 2: what the other side says to people while it works. */
  progress: string;
  /** Band 3: why it gave up; null when it did not. */
  fatal: string | null;
}

/**
 * Takes the bands apart again, and keeps the beginning of what was said: there may be no end of it.
 * @param into parts that lie one behind the other in this may be put together there, without a second copy of a long answer;
 *   what it held is gone then.
 * @throws ProtocolError on an unknown band.
 */
export function splitBands(parts: Iterable<Buffer>, into: Buffer | null = null): SideBand {
  const data: Buffer[] = [];
  let moved = 0;
  let progress = '';
  let fatal: string | null = null;
  const withMore = (text: string, part: Buffer): string =>
    text.length < MAX_SAID_CHARACTERS ? text + part.toString('utf8', 1, 1 + MAX_SAID_CHARACTERS) : text;
  for (const part of parts) {
    if (part[0] === 1) {
      // Never beyond where it stood: each part has a head that is left out.
      if (into) moved += part.copy(into, moved, 1);
      else data.push(part.subarray(1));
    } else if (part[0] === 2) progress = withMore(progress, part);
    else if (part[0] === 3) fatal = withMore(fatal ?? '', part);
    else throw new ProtocolError(`unknown band ${part[0] ?? 'none'}`);
  }
  return { data: into ? into.subarray(0, moved) : Buffer.concat(data), progress, fatal };
}
