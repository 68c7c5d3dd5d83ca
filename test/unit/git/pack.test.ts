import { createHash } from 'node:crypto';
import { inflateSync } from 'node:zlib';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { makeBlob } from '../../../src/git/objects.ts';
import { writePack } from '../../../src/git/pack.ts';

/** Reads the one object of a pack as the format's description says. */
function readSingle(pack: Buffer, hashBytes: number): { type: number; size: number; content: Buffer } {
  let at = 12;
  let byte = pack[at++] ?? 0;
  const type = (byte >> 4) & 7;
  let size = byte & 15;
  let factor = 16;
  while (byte & 0x80) {
    byte = pack[at++] ?? 0;
    size += (byte & 0x7f) * factor;
    factor *= 128;
  }
  return { type, size, content: inflateSync(pack.subarray(at, pack.length - hashBytes)) };
}

describe('writePack', () => {
  it('writes sizes of any length', () => {
    const sizes = fc.oneof(fc.nat(300), fc.constantFrom(15, 16, 2047, 2048, 262_143, 262_144));
    fc.assert(
      fc.property(sizes, fc.constantFrom('sha1' as const, 'sha256' as const), (size, format) => {
        const content = Buffer.alloc(size, 'x');
        const pack = writePack([makeBlob(content, format)], format);
        const hashBytes = format === 'sha1' ? 20 : 32;
        expect(readSingle(pack, hashBytes)).toEqual({ type: 3, size, content });
        const trailer = createHash(format).update(pack.subarray(0, -hashBytes)).digest();
        expect(pack.subarray(-hashBytes)).toEqual(trailer);
      }),
      { numRuns: 60 },
    );
  });

  it('counts its objects', () => {
    const objects = ['a', 'b', 'c'].map((text) => makeBlob(text, 'sha1'));
    expect(writePack(objects, 'sha1').readUInt32BE(8)).toBe(3);
  });
});
