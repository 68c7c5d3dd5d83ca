import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isNetworkAllowed } from '../../../../src/executor/docker/network-list.ts';

const isAllowed = (name: string, allowedNetworks: string[], network = 'none') =>
  isNetworkAllowed(name, { network, allowedNetworks });

describe('isNetworkAllowed', () => {
  it.each([
    ['none', [], true],
    ['builds', [], false],
    ['builds', ['builds'], true],
    ['Builds', ['builds'], false],
    ['builds2', ['builds'], false],
    ['team-a', ['team-*'], true],
    ['team', ['team-*'], false],
    ['xteam-a', ['team-*'], false],
    ['a.b', ['a.*'], true],
    ['axb', ['a.*'], false],
    ['anything', ['*'], true],
    ['bridge', ['*'], false],
    ['ingress', ['*'], false],
    ['bridge', ['br*'], false],
    ['bridge', ['bridge'], true],
  ])('%s by %j: %s', (name, allowed, expected) => {
    expect(isAllowed(name, allowed)).toBe(expected);
  });

  it('lets tasks name what they would get anyway', () => {
    expect(isAllowed('builds', [], 'builds')).toBe(true);
    expect(isAllowed('none', [], 'builds')).toBe(true);
    expect(isAllowed('bridge', [], 'builds')).toBe(false);
  });

  it.each([
    'host',
    'HOST',
    'default',
    'container:x',
    'ns:/proc/1/ns/net',
    '',
    'a b',
    'a/b',
    '-a',
    'a\n',
    'f'.repeat(64),
  ])('never lets in %j, whatever the list says', (name) => {
    expect(isAllowed(name, ['*', '**', name])).toBe(false);
    expect(isAllowed(name, [name], name)).toBe(false);
  });

  it('takes nothing in an entry but the star for more than itself', () => {
    fc.assert(
      fc.property(
        fc.string({ minLength: 1, maxLength: 20 }),
        fc.string({ minLength: 1, maxLength: 20 }),
        (name, entry) => {
          fc.pre(!entry.includes('*') && name !== entry && name !== 'none');
          expect(isAllowed(name, [entry])).toBe(false);
        },
      ),
    );
  });
});
