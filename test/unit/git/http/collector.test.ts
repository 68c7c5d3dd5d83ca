import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { Collector } from '../../../../src/git/http/collector.ts';

it('gives back what it was given, up to its bound', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(200_000), { maxLength: 30 }), fc.nat(2_000_000), (lengths, maxBytes) => {
      const collector = new Collector(maxBytes);
      const kept: Buffer[] = [];
      for (const [at, length] of lengths.entries()) {
        const piece = Buffer.alloc(length, at);
        const fits = kept.reduce((sum, each) => sum + each.length, length) <= maxBytes;
        expect(collector.add(piece)).toBe(fits);
        if (!fits) break;
        kept.push(piece);
      }
      expect(collector.take().equals(Buffer.concat(kept))).toBe(true);
    }),
  );
});
