/**
 * Writes a Git pack: how new objects get into the clone, all with one process, and how they travel over HTTP. Deltas are
 * made only where it is known what an object was made from.
 *
 * Format: https://git-scm.com/docs/pack-format
 */
import { createHash } from 'node:crypto';
import { deflateSync } from 'node:zlib';
import { writeDelta } from './delta.ts';
import type { GitObject, ObjectType } from './objects.ts';
import type { ObjectFormat } from './oid.ts';

const TYPE_NUMBER: Readonly<Record<ObjectType, number>> = { commit: 1, tree: 2, blob: 3, tag: 4 };
const REF_DELTA = 7;
const VERSION = 2;
/** Below this a difference is not worth its while. */
const DELTA_FROM_BYTES = 2048;

/** Names are short and object ids do not compress: as large either way, and many times faster without trying. */
const STORED_TREE_BYTES = 256;

/**
 * @param options.thin objects that were made by changing others may be told as their difference, for a reader that has those.
 * @returns a whole pack, trailer included. The objects should be distinct.
 */
export function writePack(
  objects: readonly GitObject[],
  format: ObjectFormat,
  options: { thin: boolean } = { thin: false },
): Buffer {
  const header = Buffer.alloc(12);
  header.write('PACK', 'latin1');
  header.writeUInt32BE(VERSION, 4);
  header.writeUInt32BE(objects.length, 8);
  const parts: Buffer[] = [header];
  for (const { type, content, basis } of objects) {
    if (options.thin && basis && content.length >= DELTA_FROM_BYTES) {
      const delta = writeDelta(basis.bytes, basis.parts);
      parts.push(entryHeader(REF_DELTA, delta.length), Buffer.from(basis.oid, 'hex'), deflateSync(delta));
    } else {
      const isSmallTree = type === 'tree' && content.length <= STORED_TREE_BYTES;
      parts.push(entryHeader(TYPE_NUMBER[type], content.length), isSmallTree ? stored(content) : deflateSync(content));
    }
  }
  const body = Buffer.concat(parts);
  return Buffer.concat([body, createHash(format).update(body).digest()]);
}

/** A zlib stream of one uncompressed block (RFC 1950, RFC 1951). @param content at most 65,535 bytes. */
function stored(content: Uint8Array): Buffer {
  const stream = Buffer.alloc(content.length + 11);
  stream.writeUInt16BE(0x7801, 0);
  stream[2] = 1;
  stream.writeUInt16LE(content.length, 3);
  stream.writeUInt16LE(content.length ^ 0xffff, 5);
  stream.set(content, 7);
  stream.writeUInt32BE(adler32(content), content.length + 7);
  return stream;
}

function adler32(bytes: Uint8Array): number {
  let sum = 1;
  let sums = 0;
  for (const byte of bytes) {
    sum = (sum + byte) % 65_521;
    sums = (sums + sum) % 65_521;
  }
  return sums * 65_536 + sum;
}

/** Type and size: 4 bits of the size in the first byte, 7 in each that follows, least significant first. */
function entryHeader(type: number, size: number): Buffer {
  const bytes: number[] = [];
  let byte = (type << 4) | (size & 0x0f);
  let rest = Math.floor(size / 16);
  while (rest > 0) {
    bytes.push(byte | 0x80);
    byte = rest % 128;
    rest = Math.floor(rest / 128);
  }
  bytes.push(byte);
  return Buffer.from(bytes);
}
