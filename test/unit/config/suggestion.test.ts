import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { editDistance, nearest } from '../../../src/config/suggestion.ts';

test.each([
  ['kitten', 'sitting', 3],
  ['', 'abc', 3],
  ['abc', 'acb', 1],
  ['same', 'same', 0],
])('%s to %s: %i', (a, b, distance) => expect(editDistance(a, b)).toBe(distance));

test('is symmetric, and never more than the longer word', () => {
  const word = fc.string({ maxLength: 8 });
  fc.assert(
    fc.property(word, word, (a, b) => {
      expect(editDistance(a, b)).toBe(editDistance(b, a));
      expect(editDistance(a, b)).toBeLessThanOrEqual(Math.max(a.length, b.length));
    }),
  );
});

test('suggests only what is near', () => {
  expect(nearest('PUL_INTERVAL', ['PULL_INTERVAL', 'NODE_TTL'])).toBe('PULL_INTERVAL');
  expect(nearest('node_ttl', ['PULL_INTERVAL', 'NODE_TTL'])).toBe('NODE_TTL');
  expect(nearest('SOMETHING', ['PULL_INTERVAL', 'NODE_TTL'])).toBeNull();
  expect(nearest('x', ['y'])).toBeNull();
});
