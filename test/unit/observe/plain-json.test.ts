import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { escaped, visible } from '../../../src/observe/plain-json.ts';

// oxlint-disable-next-line no-control-regex -- they are what must not be there
const ACTS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;
const text = fc.string({
  unit: fc.oneof(
    fc.constantFrom('\u001b', '\\', '"', '\u009b', '\u202e', '\r', '\b', '\n', 'u', '0', '1', 'b', '\u007f', '\ud800'),
    fc.string({ minLength: 1, maxLength: 1, unit: 'binary' }),
  ),
});
const value = fc.dictionary(text, fc.oneof(text, fc.array(text), fc.integer()));

describe('JSON', () => {
  test('means the same when what acts on a terminal is spelt out', () => {
    fc.assert(
      fc.property(value, (given) => {
        const line = `${JSON.stringify(given)}\n`;
        expect(escaped(line)).not.toMatch(ACTS);
        expect(JSON.parse(escaped(line))).toEqual(JSON.parse(line));
      }),
    );
  });

  test('can be made to hold nothing that acts, even once it is read', () => {
    fc.assert(
      fc.property(value, (given) => {
        for (const [name, held] of Object.entries(JSON.parse(visible(`${JSON.stringify(given)}\n`)) as object)) {
          for (const part of [name, held].flat()) expect(String(part)).not.toMatch(ACTS);
        }
      }),
    );
    expect(JSON.parse(visible(JSON.stringify('\u001b[2J \\u001b \u009b1m\r\n')))).toBe(
      '\\u001b[2J \\u001b \\u009b1m\\r\n',
    );
  });
});
