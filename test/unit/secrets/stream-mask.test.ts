import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodedShapes } from '../../../src/secrets/shapes.ts';
import { MaskTable, StreamMask } from '../../../src/secrets/stream-mask.ts';

function masked(secrets: readonly Uint8Array[], chunks: readonly Uint8Array[]): Buffer {
  const out: Buffer[] = [];
  const mask = new StreamMask(new MaskTable(secrets), (bytes) => out.push(Buffer.from(bytes)));
  for (const chunk of chunks) mask.write(chunk);
  mask.flush();
  return Buffer.concat(out);
}

const text = (secret: string, ...chunks: string[]) =>
  masked(
    [Buffer.from(secret)],
    chunks.map((chunk) => Buffer.from(chunk)),
  ).toString('utf8');

/** Cuts bytes at the given places. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const at = [...new Set(places.map((place) => place % (bytes.length + 1)))].toSorted((a, b) => a - b);
  return [0, ...at].map((start, index) => bytes.subarray(start, at[index] ?? bytes.length));
}

/** The lines of `base64 -w`, `xxd -p` and the like. */
const wrapped = (encoded: string, width: number, end: string) =>
  encoded.replace(new RegExp(`(.{${width}})`, 'gs'), `$1${end}`);

const withoutBreaks = (bytes: Uint8Array) =>
  Buffer.from(bytes)
    .toString('latin1')
    .replace(/[\r\n]/g, '');

describe('a secret in a stream', () => {
  it('is masked byte for byte, also in pieces and next to itself', () => {
    expect(text('hunter2-hunter2', 'a hunter2-hunter2 b')).toBe(`a ${'*'.repeat(15)} b`);
    expect(text('hunter2-hunter2', 'a hunt', 'er2-', '', 'hunter2', ' b')).toBe(`a ${'*'.repeat(15)} b`);
    expect(text('hunter2-hunter2', 'hunter2-hunter2-hunter2')).toBe('*'.repeat(23));
    expect(text('aaaaaaaa', `b${'a'.repeat(20)}b`)).toBe(`b${'*'.repeat(20)}b`);
  });

  it('that does not come after all changes nothing', () => {
    expect(text('hunter2-hunter2', 'hunter2-hunter', '3 and hunter2')).toBe('hunter2-hunter3 and hunter2');
  });

  it('that is cut off by the end is masked as far as it came', () => {
    expect(text('hunter2-hunter2', 'x hunter2-hun')).toBe(`x ${'*'.repeat(11)}`);
    expect(text('hunter2-hunter2', 'x hunter2')).toBe('x hunter2');
  });

  it('is found over line breaks, which stay', () => {
    expect(text('hunter2-hunter2', 'x hunter2\n-hun\r\nter2 y')).toBe('x *******\n****\r\n**** y');
    expect(text('first line\nsecond line\n', 'first line\nsecond line')).toBe(`${'*'.repeat(10)}\n${'*'.repeat(11)}`);
    // A blank line is where texts end.
    expect(text('hunter2-hunter2', 'hunter2\n\n\n-hunter2')).toBe('hunter2\n\n\n-hunter2');
  });

  it('holds back no more than may still be one', () => {
    const out: string[] = [];
    const mask = new StreamMask(new MaskTable([Buffer.from('hunter2-hunter2')]), (bytes) =>
      out.push(Buffer.from(bytes).toString()),
    );
    mask.write(Buffer.from('abc hunt'));
    expect(out.join('')).toBe('abc ');
    mask.write(Buffer.from('ing'));
    expect(out.join('')).toBe('abc hunting');
  });
});

const secrets = fc.array(
  fc
    .oneof(
      fc.uint8Array({ minLength: 8, maxLength: 60 }),
      fc.string({ minLength: 8, maxLength: 60 }).map((value) => Buffer.from(value)),
      // Secrets that look like themselves, and like each other.
      fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 8, maxLength: 20 }).map((value) => Buffer.from(value)),
    )
    .filter((secret) => withoutBreaks(secret).length >= 8),
  { minLength: 1, maxLength: 4 },
);

describe('whatever the secrets, the places and the pieces', () => {
  it('nothing of any shape is left, all else stays, and so does the length', () => {
    fc.assert(
      fc.property(
        secrets,
        fc.array(
          fc.oneof(
            fc.uint8Array({ maxLength: 20 }).map((bytes) => ({ plain: Buffer.from(bytes) })),
            fc.record({
              secret: fc.nat(),
              shape: fc.nat(),
              width: fc.integer({ min: 1, max: 80 }),
              end: fc.constantFrom('', '\n', '\r\n'),
            }),
          ),
          { maxLength: 8 },
        ),
        fc.array(fc.nat(), { maxLength: 12 }),
        (known, parts, places) => {
          const bytes = Buffer.concat(
            parts.map((part) => {
              if ('plain' in part) return part.plain;
              const secret = known[part.secret % known.length] ?? Buffer.alloc(0);
              const shapes = [Buffer.from(secret), ...encodedShapes(secret).map((shape) => Buffer.from(shape))];
              const shape = shapes[part.shape % shapes.length] ?? Buffer.alloc(0);
              return Buffer.from(wrapped(shape.toString('latin1'), part.width, part.end), 'latin1');
            }),
          );
          const result = masked(known, cut(bytes, places));
          expect(result.length).toBe(bytes.length);
          // In one piece or in many, it is the same.
          expect(result.equals(masked(known, [bytes]))).toBe(true);
          for (const [at, byte] of bytes.entries()) {
            if (result[at] !== byte) expect(result[at]).toBe(0x2a);
          }
          const left = withoutBreaks(result);
          for (const secret of known) {
            for (const shape of [Buffer.from(secret), ...encodedShapes(secret).map((one) => Buffer.from(one))]) {
              const bare = withoutBreaks(shape);
              // A secret of nothing but asterisks is as good as masked.
              if (bare.length >= 8 && /[^*]/.test(bare)) expect(left.includes(bare)).toBe(false);
            }
          }
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it('base64 of more than the secret is masked too, at every alignment', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 12, maxLength: 40 }),
        fc.uint8Array({ maxLength: 7 }),
        fc.uint8Array({ maxLength: 7 }),
        fc.constantFrom('base64' as const, 'base64url' as const),
        fc.constantFrom(4, 19, 60, 76),
        (secret, before, after, form, width) => {
          const around = Buffer.concat([before, secret, after]).toString(form);
          fc.pre(withoutBreaks(secret).length >= 8);
          const result = masked([secret], [Buffer.from(wrapped(around, width, '\n'))])
            .toString()
            .replaceAll('\n', '');
          // What is left are the bytes around it, and at its edges characters that hold less than a byte of it.
          const left = result.replace(/\*+/, '').replace(/=+$/, '').length;
          expect(left).toBeLessThanOrEqual(Math.ceil((before.length * 4) / 3) + Math.ceil((after.length * 4) / 3) + 2);
        },
      ),
    );
  });
});
