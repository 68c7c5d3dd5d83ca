import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseSecretsPolicy, refusalOf, type SecretsPolicy } from '../../../src/secrets/policy.ts';

const parse = (value: unknown) => parseSecretsPolicy(Buffer.from(JSON.stringify(value)));

function policyOf(secrets: object): SecretsPolicy {
  const parsed = parse({ secrets });
  if (!parsed.ok) throw new Error(parsed.problems.join());
  return parsed.policy;
}

describe('who may have a secret', () => {
  const policy = policyOf({
    signed: { signers: ['alice@example.org', '*@ci.example.org'] },
    placed: { labels: ['builds', 'arm64'] },
    both: { signers: ['*'], labels: ['builds'] },
  });

  it.each([
    ['signed', 'alice@example.org', [], null],
    ['signed', 'robot@ci.example.org', [], null],
    ['signed', 'mallory@example.org', [], 'not for this signer'],
    ['signed', 'xalice@example.org', [], 'not for this signer'],
    ['signed', 'alice@example-org', [], 'not for this signer'],
    ['signed', 'alice@example.org\nx', [], 'not for this signer'],
    ['signed', null, ['builds'], 'not for an unsigned task'],
    ['placed', null, ['builds'], null],
    ['placed', null, ['x', 'arm64'], null],
    ['placed', null, ['build'], 'requires no label of it'],
    ['placed', 'alice@example.org', [], 'requires no label of it'],
    ['both', 'anybody', ['builds'], null],
    ['both', 'anybody', [], 'requires no label of it'],
    ['both', null, ['builds'], 'not for an unsigned task'],
    ['absent', 'alice@example.org', ['builds'], 'not in the policy'],
    ['__proto__', 'alice@example.org', ['builds'], 'not in the policy'],
    ['constructor', 'alice@example.org', ['builds'], 'not in the policy'],
  ])('%s, signed by %s, requiring %j: %s', (name, signer, requires, expected) => {
    expect(refusalOf(policy, name, { signer, requires })).toBe(expected);
  });

  it('is nobody as long as nothing is said', () => {
    expect(refusalOf(new Map(), 'any', { signer: 'alice', requires: ['builds'] })).toBe('not in the policy');
  });

  it('depends on nothing in a pattern but the star', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), (pattern, signer) => {
        fc.pre(!pattern.includes('*'));
        const own = policyOf({ s: { signers: [pattern] } });
        expect(refusalOf(own, 's', { signer: pattern, requires: [] })).toBeNull();
        if (signer !== pattern) expect(refusalOf(own, 's', { signer, requires: [] })).toBe('not for this signer');
        const around = policyOf({ s: { signers: [`${pattern}*`] } });
        expect(refusalOf(around, 's', { signer: pattern + signer, requires: [] })).toBeNull();
      }),
    );
  });
});

describe('a policy', () => {
  it.each([
    ['[]', 'the file must be a JSON object with "secrets" in it'],
    ['{}', 'secrets must be an object'],
    ['{"secrets": {}, "secret": {}}', '"secret" is not known here'],
    ['{"secrets": {"a": {"signers": ["x"], "signer": "y"}}}', 'secrets, a: "signer" is not known here'],
    ['{"secrets": {"a": {}}}', 'secrets, a must have signers, labels or both'],
    ['{"secrets": {"a": {"signers": []}}}', 'secrets, a, signers must name at least one'],
    ['{"secrets": {"a": {"signers": "x"}}}', 'secrets, a, signers must be an array of texts'],
    ['{"secrets": {"a": {"labels": [""]}}}', 'secrets, a, labels, 0 must not be empty'],
    ['{"secrets": {"../a": {"labels": ["x"]}}}', 'must be 1 to 63 letters'],
    ['{"secrets": {".a": {"labels": ["x"]}}}', 'must be 1 to 63 letters'],
    ['{"secrets": {"a": {"labels": ["x"]}, "a": {"labels": ["y"]}}}', '"a" stands twice'],
    ['{"secrets": ', 'not JSON'],
  ])('%s is refused', (text, problem) => {
    const parsed = parseSecretsPolicy(Buffer.from(text));
    expect(parsed.ok).toBe(false);
    if (!parsed.ok) expect(parsed.problems.join('\n')).toContain(problem);
  });
});
