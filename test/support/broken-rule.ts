/**
 * What may never happen, not even once in a thousand runs: a task lost or done twice, a secret shown. A test that fails
 * by this gets no second look (second-look.ts).
 */
const SHOWN = 20;

export class BrokenRuleError extends Error {
  static readonly NAME = 'BrokenRuleError';
  override readonly name = BrokenRuleError.NAME;
}

/** @param where what an operator of the tests needs to see it again, a seed for instance. @throws BrokenRuleError */
export function expectNoViolations(violations: readonly unknown[], where = ''): void {
  if (violations.length === 0) return;
  const shown = violations.slice(0, SHOWN).map((violation) => JSON.stringify(violation));
  throw new BrokenRuleError([`${violations.length} rules broken ${where}`.trim(), ...shown].join('\n'));
}
