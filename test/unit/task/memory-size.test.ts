import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { formatMemorySize, parseMemorySize } from '../../../src/task/memory-size.ts';

it.each([
  ['256m', 256 * 1024 ** 2],
  ['256M', 256 * 1024 ** 2],
  ['256MiB', 256 * 1024 ** 2],
  ['256mb', 256 * 1024 ** 2],
  ['1g', 1024 ** 3],
  ['1.5g', 1.5 * 1024 ** 3],
  ['64k', 64 * 1024],
  ['100b', 100],
  ['100', 100],
])('reads %s', (text, bytes) => {
  expect(parseMemorySize(text)).toBe(bytes);
});

it.each(['', 'm', '-1m', '1 m', '1x', '1e9', '0x10', '99999999999999999999g', '1,5g'])('refuses %j', (text) => {
  expect(parseMemorySize(text)).toBeNull();
});

it('reads back what it writes', () => {
  fc.assert(
    fc.property(fc.nat({ max: 2 ** 40 }), (bytes) => parseMemorySize(formatMemorySize(bytes)) === bytes),
    { numRuns: 500 },
  );
  expect(formatMemorySize(512 * 1024 ** 2)).toBe('512m');
});
