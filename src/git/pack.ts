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
    } else parts.push(entryHeader(TYPE_NUMBER[type], content.length), deflateSync(content));
  }
  const body = Buffer.concat(parts);
  return Buffer.concat([body, createHash(format).update(body).digest()]);
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
