import { describe, expect, it } from 'vitest';
import { isWorthALook } from '../../../src/agent/push-filter.ts';
import { refName } from '../../../src/git/oid.ts';

const OLD = '1'.repeat(40);
const NEW = '2'.repeat(40);
const known = { branch: refName('refs/heads/main'), tip: OLD };

describe('a push is worth a look', () => {
  it.each([
    ['to the branch', { ref: 'refs/heads/main', after: NEW }, true],
    ['to the branch, of a commit that is known', { ref: 'refs/heads/main', after: OLD }, false],
    ['to the branch, of nobody knows what', { ref: 'refs/heads/main', after: null }, true],
    ['to another branch', { ref: 'refs/heads/feature', after: NEW }, false],
    ['of a tag', { ref: 'refs/tags/v1', after: NEW }, false],
    ['of a heartbeat', { ref: 'refs/dgrid/nodes/pi', after: NEW }, false],
    ['of a heartbeat in a branch', { ref: 'refs/heads/dgrid/nodes/pi', after: NEW }, false],
    ['of live output in a branch', { ref: 'refs/heads/dgrid-output/one', after: NEW }, false],
    ['of a claim', { ref: 'refs/heads/dgrid/tasks/one', after: NEW }, false],
    ['to nobody knows what', { ref: null, after: null }, true],
    ['to a name that is no ref', { ref: 'main', after: NEW }, true],
  ])('%s', (_what, push, expected) => expect(isWorthALook(push, known)).toBe(expected));

  it('to any branch before the first look', () => {
    expect(isWorthALook({ ref: 'refs/heads/feature', after: NEW }, null)).toBe(true);
    expect(isWorthALook({ ref: 'refs/heads/dgrid/nodes/pi', after: NEW }, null)).toBe(false);
  });
});
