import { expect, test } from 'vitest';
import {
  age,
  bytes,
  counted,
  duration,
  figure,
  shortDuration,
  withoutColours,
} from '../../../../src/pages/web/format.ts';

test.each([
  [null, '–'],
  [0, '0 ms'],
  [999.4, '999 ms'],
  [1000, '1.0 s'],
  [9_960, '10 s'],
  [59_400, '59 s'],
  [59_600, '1 min'],
  [125_000, '2 min 05 s'],
  [7_800_000, '2 h 10 min'],
  [3_600_000, '1 h'],
  [100 * 3_600_000, '4 d 4 h'],
])('a duration of %j ms is %s', (ms, text) => {
  expect(duration(ms)).toBe(text);
});

test('ages are never below zero, whatever the clocks say', () => {
  expect(age(-5_000)).toBe('0 s');
  expect(age(60_000)).toBe('1 min 00 s');
});

test.each([
  [0, '0'],
  [90_000, '1.5 min'],
  [500, '500 ms'],
  [5_400_000, '1.5 h'],
])('on a scale %j ms is %s', (ms, text) => {
  expect(shortDuration(ms)).toBe(text);
});

test.each([
  [null, '–'],
  [0, '0 B'],
  [1023, '1023 B'],
  [1536, '1.5 KiB'],
  [231 * 1024 ** 2, '231 MiB'],
  [1e18, '909495 TiB'],
])('%j bytes are %s', (count, text) => {
  expect(bytes(count)).toBe(text);
});

test('figures have no more digits than they are worth', () => {
  expect([figure(6.42), figure(64.2), figure(18_522), figure(3)]).toEqual(['6.4', '64', '18,522', '3']);
  expect([counted(1, 'task'), counted(2, 'task')]).toEqual(['1 task', '2 tasks']);
});

test('what colours a terminal is left out, and nothing else', () => {
  const text = '\u001b[1;31mred\u001b[0m \u001b]8;;https://example.com\u0007link\u001b]8;;\u0007 [0m a\tb\n';
  expect(withoutColours(text)).toBe('red link [0m a\tb\n');
});
