/**
 * Deltas of a pack: an object told as pieces of another one, and new bytes between them.
 *
 * Format: https://git-scm.com/docs/pack-format#_deltified_representation
 */
import { ProtocolError } from './http/pkt-line.ts';

const MAX_SIZE_BYTES = 2 ** 31;
const SHIFT_BITS = 7;
/** The longest piece that one instruction can copy, kept to what every reader takes. */
const MAX_COPY_BYTES = 0xff_ff;
const MAX_INSERT_BYTES = 0x7f;

/** The size of the result, in bytes, without making it. @throws ProtocolError */
export function deltaResultBytes(delta: Buffer): number {
  return readSize(delta, readSize(delta, 0).next).value;
}

/** @throws ProtocolError when it does not fit the base, or is none. */
export function applyDelta(base: Buffer, delta: Buffer): Buffer {
  const source = readSize(delta, 0);
  if (source.value !== base.length) throw new ProtocolError('a delta for an object of another size');
  const target = readSize(delta, source.next);
  const result = Buffer.allocUnsafe(target.value);
  let written = 0;
  let at = target.next;
  while (at < delta.length) {
    const code = delta[at] as number;
    at += 1;
    if (code === 0) throw new ProtocolError('an unknown instruction in a delta');
    let from = at;
    let length = code;
    let piece = delta;
    if ((code & 0x80) !== 0) {
      const copy = readCopy(delta, at, code);
      ({ from, length } = copy);
      at = copy.next;
      piece = base;
    } else at += code;
    if (from + length > piece.length || written + length > result.length) {
      throw new ProtocolError('a delta that reaches beyond its object');
    }
    piece.copy(result, written, from, from + length);
    written += length;
  }
  if (written !== result.length) throw new ProtocolError('a delta that is too short');
  return result;
}

/** A piece of the base, or bytes that are new. */
export type DeltaPart = { from: number; length: number } | Buffer;

/** Writes a delta from parts that, one after the other, make the new object. Pure. */
export function writeDelta(baseBytes: number, parts: readonly DeltaPart[]): Buffer {
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  const out: Buffer[] = [sizeBytes(baseBytes), sizeBytes(size)];
  for (const part of parts) {
    if (Buffer.isBuffer(part)) {
      for (let at = 0; at < part.length; at += MAX_INSERT_BYTES) {
        const piece = part.subarray(at, at + MAX_INSERT_BYTES);
        out.push(Buffer.from([piece.length]), piece);
      }
    } else {
      for (let done = 0; done < part.length; done += MAX_COPY_BYTES) {
        out.push(copyInstruction(part.from + done, Math.min(MAX_COPY_BYTES, part.length - done)));
      }
    }
  }
  return Buffer.concat(out);
}

function copyInstruction(from: number, length: number): Buffer {
  const bytes = [0x80];
  for (let index = 0; index < 4; index += 1) {
    const byte = Math.floor(from / 2 ** (8 * index)) % 256;
    if (byte === 0) continue;
    bytes[0] = (bytes[0] as number) | (1 << index);
    bytes.push(byte);
  }
  for (let index = 0; index < 2; index += 1) {
    const byte = (length >> (8 * index)) & 0xff;
    if (byte === 0) continue;
    bytes[0] = (bytes[0] as number) | (0x10 << index);
    bytes.push(byte);
  }
  return Buffer.from(bytes);
}

function readCopy(delta: Buffer, start: number, code: number): { from: number; length: number; next: number } {
  let at = start;
  let from = 0;
  let length = 0;
  const next = (): number => {
    const byte = delta[at];
    if (byte === undefined) throw new ProtocolError('a delta that breaks off');
    at += 1;
    return byte;
  };
  for (let bit = 0; bit < 4; bit += 1) if ((code & (1 << bit)) !== 0) from += next() * 2 ** (8 * bit);
  for (let bit = 0; bit < 3; bit += 1) if ((code & (0x10 << bit)) !== 0) length += next() * 2 ** (8 * bit);
  return { from, length: length === 0 ? 0x1_00_00 : length, next: at };
}

function readSize(bytes: Buffer, start: number): { value: number; next: number } {
  let value = 0;
  let factor = 1;
  for (let at = start; ; at += 1) {
    const byte = bytes[at];
    if (byte === undefined) throw new ProtocolError('a delta that breaks off');
    value += (byte & 0x7f) * factor;
    if (value > MAX_SIZE_BYTES) throw new ProtocolError('a delta for an object without measure');
    if ((byte & 0x80) === 0) return { value, next: at + 1 };
    factor *= 2 ** SHIFT_BITS;
  }
}

function sizeBytes(size: number): Buffer {
  const bytes: number[] = [];
  let rest = size;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}
