/**
 * Reads a pack as it comes over the wire: whole objects, and deltas whose base stands in the same pack or is known here
 * already (a thin pack). Bounded in the size of each object and of all together, and checked against its own checksum.
 *
 * Format: https://git-scm.com/docs/pack-format
 */
import { createHash } from 'node:crypto';
import { inflateSync } from 'node:zlib';
import { applyDelta, deltaResultBytes } from '../delta.ts';
import { type GitObject, makeObject, type ObjectType } from '../objects.ts';
import type { ObjectFormat, Oid } from '../oid.ts';
import { ProtocolError } from './pkt-line.ts';

const TYPES: Readonly<Record<number, ObjectType>> = { 1: 'commit', 2: 'tree', 3: 'blob', 4: 'tag' };
const OFS_DELTA = 6;
const REF_DELTA = 7;
const HEADER_BYTES = 12;
/** What an object costs beside its bytes. */
const OVERHEAD_BYTES = 300;
/** What zlib takes at least. */
const MIN_CHUNK_BYTES = 64;

export interface PackReadOptions {
  format: ObjectFormat;
  /** Of one object, unpacked. */
  maxObjectBytes: number;
  /** Of all objects and differences, unpacked, with what each costs beside its bytes. */
  maxTotalBytes: number;
  /** Objects that were here before, for deltas against them. */
  known: (oids: readonly Oid[]) => Promise<ReadonlyMap<Oid, GitObject>>;
}

interface Entry {
  at: number;
  type: ObjectType | null;
  base: number | Oid | null;
  /** What was packed: the object, or the delta. */
  content: Buffer;
}

/** @throws OversizedError for what is above a bound; ProtocolError when it is no pack, or damaged. */
export async function readPack(pack: Buffer, options: PackReadOptions): Promise<GitObject[]> {
  const total = new Total(options.maxTotalBytes);
  const entries = readEntries(pack, options, total);
  const byOid = new Map<Oid, GitObject>();
  /** Differences by what they are told against: a place in the pack, or an id. */
  const waiting = new Map<number | Oid, Entry[]>();
  const ready: { at: number | null; object: GitObject }[] = [];
  const keep = (at: number, object: GitObject): void => {
    byOid.set(object.oid, object);
    ready.push({ at, object });
  };
  for (const entry of entries) {
    if (entry.type) keep(entry.at, makeObject(entry.type, entry.content, options.format));
    else if (entry.base !== null) {
      const others = waiting.get(entry.base);
      if (others) others.push(entry);
      else waiting.set(entry.base, [entry]);
    }
  }
  // Each is looked at once, in whatever order they stand.
  const resolve = (): void => {
    for (let base = ready.pop(); base; base = ready.pop()) {
      for (const key of [base.at, base.object.oid]) {
        const found = key === null ? undefined : waiting.get(key);
        if (key === null || !found) continue;
        waiting.delete(key);
        for (const { at, content } of found) {
          const size = deltaResultBytes(content);
          if (size > options.maxObjectBytes) throw new OversizedError(size);
          total.add(size);
          keep(at, makeObject(base.object.type, applyDelta(base.object.content, content), options.format));
        }
      }
    }
  };
  resolve();
  const foreign = [...waiting.keys()].filter((key) => typeof key === 'string');
  if (foreign.length > 0) {
    for (const object of (await options.known(foreign)).values()) ready.push({ at: null, object });
    resolve();
  }
  if (waiting.size > 0) throw new ProtocolError('a pack with deltas against objects that nobody has');
  return [...byOid.values()];
}

/** How much has been unpacked so far. */
class Total {
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** @throws OversizedError */
  add(bytes: number): void {
    this.#bytes += bytes + OVERHEAD_BYTES;
    if (this.#bytes > this.#maxBytes) throw new OversizedError(this.#bytes, `more than ${this.#maxBytes} bytes in all`);
  }
}

function readEntries(pack: Buffer, { format, maxObjectBytes }: PackReadOptions, total: Total): Entry[] {
  const idBytes = format === 'sha1' ? 20 : 32;
  const end = pack.length - idBytes;
  if (end < HEADER_BYTES || pack.toString('latin1', 0, 4) !== 'PACK') throw new ProtocolError('not a pack');
  const version = pack.readUInt32BE(4);
  if (version !== 2 && version !== 3) throw new ProtocolError(`a pack of version ${version}`);
  const sum = createHash(format).update(pack.subarray(0, end)).digest();
  if (!sum.equals(pack.subarray(end))) throw new ProtocolError('a pack that was damaged on its way');
  const count = pack.readUInt32BE(8);
  const entries: Entry[] = [];
  let at = HEADER_BYTES;
  for (let index = 0; index < count; index += 1) {
    const start = at;
    const header = readEntryHeader(pack, at, end);
    at = header.next;
    let base: number | Oid | null = null;
    if (header.type === OFS_DELTA) {
      const offset = readOffset(pack, at, end);
      at = offset.next;
      base = start - offset.value;
    } else if (header.type === REF_DELTA) {
      if (at + idBytes > end) throw new ProtocolError('a pack that breaks off');
      base = pack.toString('hex', at, at + idBytes) as Oid;
      at += idBytes;
    }
    const type = TYPES[header.type] ?? null;
    if (!type && base === null) throw new ProtocolError(`an entry of type ${header.type} in a pack`);
    if (header.size > maxObjectBytes) throw new OversizedError(header.size);
    total.add(header.size);
    const { content, used } = inflate(pack.subarray(at, end), header.size);
    at += used;
    entries.push({ at: start, type, base, content });
  }
  if (at !== end) throw new ProtocolError('a pack with something behind its last object');
  return entries;
}

/** More than is taken: one object, as its header says, or all of them. */
export class OversizedError extends ProtocolError {
  readonly bytes: number;
  constructor(bytes: number, what = `an object of ${bytes} bytes`) {
    super(what);
    this.bytes = bytes;
  }
}

function inflate(bytes: Buffer, size: number): { content: Buffer; used: number } {
  try {
    // A byte more than promised, so that one too many shows as an error and not as a cut.
    // In one piece of the right size, or every small object would hold on to a large piece of memory.
    const chunkSize = Math.max(MIN_CHUNK_BYTES, size + 1);
    const { buffer, engine } = inflateSync(bytes, { info: true, maxOutputLength: size + 1, chunkSize }) as unknown as {
      buffer: Buffer;
      engine: { bytesWritten: number };
    };
    if (buffer.length === size) return { content: buffer, used: engine.bytesWritten };
  } catch (cause) {
    throw new ProtocolError(`a pack whose objects do not unpack: ${(cause as Error).message}`, { cause });
  }
  throw new ProtocolError('a pack with an object of another size than it says');
}

function readEntryHeader(pack: Buffer, start: number, end: number): { type: number; size: number; next: number } {
  let byte = byteAt(pack, start, end);
  const type = (byte >> 4) & 7;
  let size = byte & 0x0f;
  let factor = 16;
  let at = start + 1;
  while ((byte & 0x80) !== 0) {
    byte = byteAt(pack, at, end);
    size += (byte & 0x7f) * factor;
    factor *= 128;
    at += 1;
    if (size > Number.MAX_SAFE_INTEGER / 256) throw new ProtocolError('an object without measure');
  }
  return { type, size, next: at };
}

function readOffset(pack: Buffer, start: number, end: number): { value: number; next: number } {
  let byte = byteAt(pack, start, end);
  let value = byte & 0x7f;
  let at = start + 1;
  while ((byte & 0x80) !== 0) {
    byte = byteAt(pack, at, end);
    value = (value + 1) * 128 + (byte & 0x7f);
    at += 1;
    if (value > pack.length) throw new ProtocolError('a delta against something outside of its pack');
  }
  return { value, next: at };
}

function byteAt(pack: Buffer, at: number, end: number): number {
  const byte = pack[at];
  if (byte === undefined || at >= end) throw new ProtocolError('a pack that breaks off');
  return byte;
}
