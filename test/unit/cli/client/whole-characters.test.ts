import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WholeCharacters } from '../../../../src/cli/client/whole-characters.ts';

function pieces(...chunks: Uint8Array[]): string[] {
  const seen: string[] = [];
  const printer = new WholeCharacters((bytes) => seen.push(new TextDecoder().decode(bytes)));
  for (const chunk of chunks) printer.write(chunk);
  printer.flush();
  return seen;
}

describe('WholeCharacters', () => {
  it('never ends a piece within a character, wherever a stream is cut', () => {
    const text = 'a grüße ☃ 𝄞 z';
    const bytes = Buffer.from(text);
    for (let at = 0; at <= bytes.length; at += 1) {
      const seen = pieces(bytes.subarray(0, at), bytes.subarray(at));
      expect(seen.join('')).toBe(text);
      expect(seen.join('')).not.toContain('\ufffd');
    }
  });

  it('passes on what is no text as it is, and holds back three bytes at most', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 9 })), (chunks) => {
        const seen: Buffer[] = [];
        const printer = new WholeCharacters((bytes) => seen.push(Buffer.from(bytes)));
        let written = 0;
        for (const chunk of chunks) {
          printer.write(chunk);
          written += chunk.length;
          expect(written - Buffer.concat(seen).length).toBeLessThanOrEqual(3);
        }
        printer.flush();
        expect(Buffer.concat(seen).equals(Buffer.concat(chunks))).toBe(true);
      }),
    );
  });
});
