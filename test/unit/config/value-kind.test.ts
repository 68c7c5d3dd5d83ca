import { describe, expect, test } from 'vitest';
import { readMachine } from '../../../src/config/machine.ts';
import {
  byteSize,
  decimalNumber,
  listOf,
  oneOf,
  percent,
  seconds,
  text,
  truth,
  type ValueKind,
  wholeNumber,
} from '../../../src/config/value-kind.ts';

const machine = readMachine({}, '/');

function value<T>(kind: ValueKind<T>, input: string): T | string {
  const parsed = kind.parse(input, machine);
  return parsed.ok ? parsed.value : `! ${parsed.message}`;
}

function refuses(kind: ValueKind<unknown>, inputs: readonly string[]): void {
  for (const input of inputs) {
    const parsed = kind.parse(input, machine);
    expect(parsed.ok, JSON.stringify(input)).toBe(false);
    if (!parsed.ok && input.length > 3) expect(parsed.message).not.toContain(input);
  }
}

describe('whole numbers', () => {
  const kind = wholeNumber({ min: 1, max: 64 });
  test.each([
    ['1', 1],
    ['64', 64],
    ['007', 7],
  ])('%s', (input, expected) => expect(value(kind, input)).toBe(expected));
  test('refuses all else, and says the range', () => {
    refuses(kind, ['0', '65', '-1', '1.5', '1e1', '0x10', 'ten', '', ' ', 'NaN', 'Infinity', '99999999999999999999']);
    expect(value(kind, 'x')).toBe('! must be a whole number from 1 to 64');
  });
});

test('decimal numbers', () => {
  const kind = decimalNumber({ min: 0.01, max: 16 });
  expect(value(kind, '0.5')).toBe(0.5);
  expect(value(kind, '2')).toBe(2);
  refuses(kind, ['0', '.5', '0,5', '16.01', '1e-1', '-1']);
});

describe('seconds', () => {
  const kind = seconds({ min: 0.05, max: 60 });
  test('become milliseconds', () => {
    expect(value(kind, '10')).toBe(10_000);
    expect(value(kind, '0.25')).toBe(250);
    expect(kind.format(250)).toBe('0.25');
    expect(kind.plain(1500)).toBe(1.5);
  });
  test('refuse units and what is out of range', () => refuses(kind, ['10s', '1m', '0', '61', '-3', '']));
});

describe('sizes', () => {
  const kind = byteSize({ min: 0, max: 2 ** 50 });
  test.each([
    ['0', 0],
    ['1000', 1000],
    ['10b', 10],
    ['256KiB', 262_144],
    ['256k', 262_144],
    ['256 kB', 262_144],
    ['512m', 536_870_912],
    ['512M', 536_870_912],
    ['1g', 2 ** 30],
    ['1.5GiB', 1.5 * 2 ** 30],
    ['1t', 2 ** 40],
  ])('%s', (input, expected) => expect(value(kind, input)).toBe(expected));
  test('refuses other units and nonsense', () => refuses(kind, ['1x', 'm', '1 g b', '-1m', '1ib', '1e3', '0x10']));
  test('keeps to its range', () => refuses(byteSize({ min: 1024, max: 2048 }), ['1023', '2049', '1m']));
  test.each([
    [262_144, '256k'],
    [2 ** 30, '1g'],
    [1000, '1000'],
    [0, '0'],
  ])('%i is written %s', (bytes, expected) => {
    expect(kind.format(bytes)).toBe(expected);
    expect(value(kind, expected)).toBe(bytes);
  });
});

test('percentages', () => {
  expect(value(percent(), '80')).toBe(80);
  expect(value(percent(), '80%')).toBe(80);
  refuses(percent(), ['0', '101', '-5', '0.8', 'all']);
});

test('truth values', () => {
  for (const yes of ['true', 'TRUE', '1', 'yes']) expect(value(truth(), yes)).toBe(true);
  for (const no of ['false', '0', 'no', 'No']) expect(value(truth(), no)).toBe(false);
  refuses(truth(), ['maybe', '2', '', 'on', 'constructor', '__proto__']);
});

test('choices', () => {
  const kind = oneOf(['json', 'pretty']);
  expect(value(kind, 'JSON')).toBe('json');
  expect(value(kind, 'xml')).toBe('! must be one of json, pretty');
});

test('lists', () => {
  const kind = listOf(text({ expects: 'a letter', pattern: /^[a-z]$/, maxLength: 1 }), 3);
  expect(value(kind, 'a, b ,,a')).toEqual(['a', 'b']);
  expect(value(kind, '')).toEqual([]);
  expect(value(kind, 'a,B')).toBe('! item 2 must be a letter');
  refuses(kind, ['a,b,c,d']);
});

test('text keeps out control characters', () => {
  const kind = text({ expects: 'a name', pattern: /./, maxLength: 5 });
  expect(value(kind, 'ä b')).toBe('ä b');
  refuses(kind, ['a\nb', 'a\u001b[', 'sixsix', '']);
});
