import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PrefixFilter } from '../../../../src/executor/docker/prefix-filter.ts';

function filter(prefix: string, text: string, size: number) {
  const out: Uint8Array[] = [];
  const filtered = new PrefixFilter(Buffer.from(prefix), (bytes) => out.push(Uint8Array.from(bytes)));
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) filtered.write(bytes.subarray(at, at + size));
  filtered.flush();
  return { text: Buffer.concat(out).toString(), found: filtered.found };
}

describe('PrefixFilter', () => {
  it('takes off exactly the line, and nothing else, however the bytes are cut', () => {
    const near = fc.string({ unit: fc.constantFrom('a', 'b', '\n'), maxLength: 8 });
    fc.assert(
      fc.property(near, near, fc.integer({ min: 1, max: 9 }), (prefix, text, size) => {
        fc.pre(prefix !== '');
        const found = text.startsWith(prefix);
        expect(filter(prefix, text, size)).toEqual({ text: found ? text.slice(prefix.length) : text, found });
      }),
      { numRuns: 500 },
    );
  });

  it('takes it off once', () => {
    expect(filter('ready\n', 'ready\nready\n', 3)).toEqual({ text: 'ready\n', found: true });
  });
});
