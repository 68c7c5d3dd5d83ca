import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { displayWidth, printable, truncate } from '../../../src/cli/display-width.ts';
import { formatTable } from '../../../src/cli/table.ts';

test.each([
  ['abc', 3],
  ['', 0],
  ['äöü', 3],
  ['a\u0301', 1],
  ['日本', 4],
  ['🚀', 2],
  ['👩‍👩‍👧', 2],
  ['\u001b[31mred\u001b[39m', 3],
])('%j takes %i columns', (text, width) => expect(displayWidth(text)).toBe(width));

describe('truncate', () => {
  test.each([
    ['abcdef', 6, 'abcdef'],
    ['abcdef', 4, 'abc…'],
    ['abc', 1, '…'],
    ['abc', 0, ''],
    ['日本語', 4, '日…'],
  ])('%s to %i', (text, width, expected) => expect(truncate(text, width)).toBe(expected));
  test('never exceeds the width', () =>
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.nat(20), (text, width) => {
        expect(displayWidth(truncate(text, width))).toBeLessThanOrEqual(width);
      }),
    ));
});

test('control characters of others reach no terminal', () => {
  expect(printable('a\u001b[2Jb\r\nc\u202ed')).toBe('a [2Jb c d');
  expect(formatTable([{ title: 'T' }], [['\u001b]0;x\u0007y']], null)).toEqual(['T', ' ]0;x y']);
});

const columns = [{ title: 'ID' }, { title: 'MESSAGE', shrinks: true }, { title: 'N', align: 'right' as const }];

describe('a table', () => {
  const rows = [
    ['short', 'a rather long message that tells a story', '1'],
    ['a-longer-id', '日本語', '1000'],
  ];
  test('is as wide as its content where there is no terminal', () => {
    expect(formatTable(columns, rows, null)).toEqual([
      'ID           MESSAGE                                      N',
      'short        a rather long message that tells a story     1',
      'a-longer-id  日本語                                    1000',
    ]);
  });
  test('cuts the column that may shrink', () => {
    expect(formatTable(columns, rows, 34)).toEqual([
      'ID           MESSAGE             N',
      'short        a rather long …     1',
      'a-longer-id  日本語           1000',
    ]);
  });
  test('fits every terminal that has room for its columns', () => {
    for (let width = 13; width < 80; width++) {
      for (const line of formatTable(columns, rows, width)) expect(displayWidth(line), line).toBeLessThanOrEqual(width);
    }
  });
  test('paints after cutting', () => {
    const paint = (text: string): string => `<${text}>`;
    expect(
      formatTable(
        [{ title: 'A' }, { title: 'B' }],
        [
          [
            { text: 'x', paint },
            { text: 'y', paint },
          ],
        ],
        20,
      ),
    ).toEqual(['A  B', '<x>  <y>']);
  });
  test('without rows is its headings', () => expect(formatTable(columns, [], 80)).toEqual(['ID  MESSAGE  N']));
});
