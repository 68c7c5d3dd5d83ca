import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseStrictJson } from '../../../src/task/strict-json.ts';

const limits = { maxBytes: 1024 * 1024, maxDepth: 16 };
const parse = (text: string, over: Partial<typeof limits> = {}) =>
  parseStrictJson(Buffer.from(text), { ...limits, ...over });

describe('parseStrictJson', () => {
  it('reads what JSON.parse reads', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 5 }), (text) => {
        const parsed = parse(text);
        // The generator may repeat no name and may nest no deeper, but it may say __proto__.
        if (text.includes('__proto__')) return;
        expect(parsed).toEqual({ ok: true, value: JSON.parse(text) });
      }),
      { numRuns: 200 },
    );
  });

  it('never throws, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const parsed = parseStrictJson(bytes, limits);
        expect(parsed.ok || parsed.problems.length > 0).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    ['a name twice', '{"a":1,"a":2}', '"a" stands twice'],
    ['a name twice, once escaped', '{"a":1,"\\u0061":2}', '"a" stands twice'],
    ['a name twice further in', '{"x":[{"b":1,"c":{},"b":2}]}', '"b" stands twice'],
    ['a name for the prototype', '{"x":{"__proto__":1}}', '"__proto__" is not allowed'],
    ['a byte order mark', '\uFEFF{}', 'byte order mark'],
    ['no JSON', '{"a":', 'not JSON'],
    ['nothing', '', 'not JSON'],
  ])('refuses %s', (_what, text, problem) => {
    expect(parse(text)).toMatchObject({ ok: false, problems: [expect.stringContaining(problem)] });
  });

  it('lets the same name stand in different objects, and as a value', () => {
    expect(parse('{"a":{"a":"a","b":"\\"a\\":"},"c":[{"a":1},{"a":2}]}')).toMatchObject({ ok: true });
  });

  it('refuses bytes that are not UTF-8', () => {
    expect(parseStrictJson(Uint8Array.of(0x22, 0xff, 0x22), limits)).toMatchObject({
      ok: false,
      problems: [expect.stringContaining('not UTF-8')],
    });
  });

  it('counts the size in bytes and does not read further', () => {
    expect(parse('"ää"', { maxBytes: 6 })).toMatchObject({ ok: true });
    const parsed = parse('"ää"', { maxBytes: 5 });
    expect(parsed).toMatchObject({
      ok: false,
      value: null,
      problems: [expect.stringMatching(/6 bytes.*allowed is 5/)],
    });
  });

  it('refuses what is too deep, however deep it is, and does not hand it out', () => {
    expect(parse(`${'['.repeat(16)}${']'.repeat(16)}`)).toMatchObject({ ok: true });
    for (const depth of [17, 200_000]) {
      const parsed = parse(`${'['.repeat(depth)}${']'.repeat(depth)}`);
      expect(parsed).toMatchObject({ ok: false, value: null, problems: [expect.stringContaining('nests deeper')] });
    }
  });

  it('keeps its messages short', () => {
    const long = 'x'.repeat(100_000);
    const parsed = parse(`{"${long}":1,"${long}":2}`);
    expect(parsed.ok ? '' : parsed.problems.join('').length).toBeLessThan(200);
  });
});
