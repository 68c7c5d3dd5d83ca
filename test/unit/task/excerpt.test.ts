import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { excerptOf } from '../../../src/task/excerpt.ts';
import { INLINE_OUTPUT_BYTES } from '../../../src/task/result.ts';

const whole = (bytes: Uint8Array) => ({ bytes, totalBytes: bytes.length, truncated: false });
const MARK = /\n\[\.\.\. (\d+) bytes left out \.\.\.\]\n/;
const anyText = fc.string({ unit: 'grapheme', maxLength: 200 });

describe('excerptOf', () => {
  it('hands out a short output unchanged', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(excerptOf(whole(Buffer.from(text)))).toEqual({ text, whole: true, lossy: false });
      }),
    );
  });

  it('keeps a byte order mark', () => {
    expect(excerptOf(whole(Buffer.from('\uFEFFx'))).text).toBe('\uFEFFx');
  });

  it('is whole up to the very limit, and not one byte further', () => {
    expect(excerptOf(whole(Buffer.alloc(INLINE_OUTPUT_BYTES, 'x'))).whole).toBe(true);
    const over = excerptOf(whole(Buffer.alloc(INLINE_OUTPUT_BYTES + 1, 'x')));
    expect(over.whole).toBe(false);
    expect(Buffer.byteLength(over.text)).toBeLessThanOrEqual(INLINE_OUTPUT_BYTES);
    expect(Buffer.byteLength(over.text)).toBeGreaterThan(INLINE_OUTPUT_BYTES - 10);
  });

  it('begins and ends as the output does, splits no character, and counts what is missing', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 600 }),
        fc.integer({ min: 60, max: 300 }),
        (source, maxBytes) => {
          const text = source.toWellFormed();
          const bytes = Buffer.from(text);
          const excerpt = excerptOf(whole(bytes), maxBytes);
          expect(Buffer.byteLength(excerpt.text)).toBeLessThanOrEqual(maxBytes);
          expect(excerpt.lossy).toBe(false);
          expect(excerpt.whole).toBe(bytes.length <= maxBytes);
          if (excerpt.whole) return;
          const mark = MARK.exec(excerpt.text);
          const head = excerpt.text.slice(0, mark?.index);
          const tail = excerpt.text.slice((mark?.index ?? 0) + (mark?.[0].length ?? 0));
          expect(text.startsWith(head) && text.endsWith(tail)).toBe(true);
          expect(Number(mark?.[1])).toBe(bytes.length - Buffer.byteLength(head) - Buffer.byteLength(tail));
        },
      ),
      { numRuns: 150 },
    );
  });

  it('makes valid UTF-8 within the limit of any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.integer({ min: 60, max: 300 }), (bytes, maxBytes) => {
        const excerpt = excerptOf(whole(bytes), maxBytes);
        expect(excerpt.text.isWellFormed()).toBe(true);
        expect(Buffer.byteLength(excerpt.text)).toBeLessThanOrEqual(maxBytes);
        if (excerpt.whole && !excerpt.lossy) expect(Buffer.from(excerpt.text)).toEqual(Buffer.from(bytes));
      }),
      { numRuns: 500 },
    );
  });

  it('says so when it replaced bytes', () => {
    expect(excerptOf(whole(Uint8Array.of(0x61, 0xff, 0x62)))).toEqual({ text: 'a\uFFFDb', whole: true, lossy: true });
  });

  it('shortens what grows past the limit by replacing', () => {
    const excerpt = excerptOf(whole(Buffer.alloc(INLINE_OUTPUT_BYTES, 0xff)));
    expect(excerpt).toMatchObject({ whole: false, lossy: true });
    expect(Buffer.byteLength(excerpt.text)).toBeLessThanOrEqual(INLINE_OUTPUT_BYTES);
  });

  it('counts what the collector dropped already', () => {
    const bytes = Buffer.alloc(20_000, 'x');
    const excerpt = excerptOf({ bytes, totalBytes: 5_000_000, truncated: true });
    const kept = excerpt.text.replace(MARK, '').length;
    expect(Number(MARK.exec(excerpt.text)?.[1])).toBe(5_000_000 - kept);
  });

  it('is never the whole of an output that was truncated before', () => {
    expect(excerptOf({ bytes: Buffer.from('a…b'), totalBytes: 900, truncated: true })).toMatchObject({
      text: 'a…b',
      whole: false,
    });
  });
});
