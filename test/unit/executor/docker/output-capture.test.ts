import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OutputCapture } from '../../../../src/executor/docker/output-capture.ts';

function capture(maxBytes: number, ...chunks: string[]) {
  const output = new OutputCapture(maxBytes);
  for (const chunk of chunks) output.write(Buffer.from(chunk));
  const { bytes, ...rest } = output.snapshot();
  return { ...rest, text: Buffer.from(bytes).toString() };
}

describe('OutputCapture', () => {
  it('keeps all of what fits', () => {
    expect(capture(100)).toEqual({ text: '', totalBytes: 0, truncated: false });
    expect(capture(100, 'one ', '', 'two')).toEqual({ text: 'one two', totalBytes: 7, truncated: false });
    expect(capture(5, 'exact')).toEqual({ text: 'exact', totalBytes: 5, truncated: false });
  });

  it('keeps beginning and end of what does not, and says how much is missing', () => {
    const { text, totalBytes, truncated } = capture(84, `${'a'.repeat(50)}${'b'.repeat(100)}`, 'c'.repeat(50));
    expect({ totalBytes, truncated }).toEqual({ totalBytes: 200, truncated: true });
    expect(text).toBe('aaaaaaaaaa\n[... 180 bytes left out ...]\ncccccccccc');
  });

  it('tells its beginning at any time, which is that of what is kept in the end', () => {
    const chunks = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 30 });
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1000 }),
        fc.integer({ min: 0, max: 700 }),
        chunks,
        (maxBytes, most, parts) => {
          const output = new OutputCapture(maxBytes);
          const told = parts.map((part) => {
            output.write(part);
            const { bytes, isWhole } = output.beginning(most);
            expect(bytes.length).toBeLessThanOrEqual(most);
            expect(isWhole).toBe(bytes.length === output.totalBytes);
            return Buffer.from(bytes);
          });
          const kept = Buffer.from(output.snapshot().bytes);
          for (const beginning of told) expect(kept.subarray(0, beginning.length).equals(beginning)).toBe(true);
        },
      ),
    );
  });

  it('stays within any limit, and accounts for every byte', () => {
    const chunks = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 30 });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1000 }), chunks, (maxBytes, parts) => {
        const output = new OutputCapture(maxBytes);
        for (const part of parts) output.write(part);
        const whole = Buffer.concat(parts);
        const { bytes, totalBytes, truncated } = output.snapshot();
        expect(totalBytes).toBe(whole.length);
        expect(bytes.length).toBeLessThanOrEqual(Math.max(maxBytes, 0));
        expect(truncated).toBe(whole.length > maxBytes);
        if (!truncated) {
          expect(Buffer.from(bytes).equals(whole)).toBe(true);
          return;
        }
        const text = Buffer.from(bytes).toString('latin1');
        const kept = Math.max(0, maxBytes - 64);
        const headBytes = kept - Math.floor(kept / 2);
        const tailBytes = Math.floor(kept / 2);
        const mark = `\n[... ${whole.length - kept} bytes left out ...]\n`.slice(0, maxBytes);
        const expected =
          whole.subarray(0, headBytes).toString('latin1') +
          mark +
          whole.subarray(whole.length - tailBytes).toString('latin1');
        expect(text).toBe(expected);
      }),
      { numRuns: 300 },
    );
  });

  it('hands out a copy', () => {
    const output = new OutputCapture(10);
    output.write(Buffer.from('abc'));
    output.snapshot().bytes.fill(0);
    expect(Buffer.from(output.snapshot().bytes).toString()).toBe('abc');
  });
});
