import { describe, expect, it } from 'vitest';
import { BrokenRuleError, expectNoViolations } from '../../support/broken-rule.ts';
import { afterSecondLook, filesForSecondLook } from '../../support/second-look.ts';
import { reportLines, type TestFailure, type TestReport } from '../../support/test-report.ts';

function failed(file: string | null, more: Partial<TestFailure> = {}): TestFailure {
  return { file, where: `${file} > x`, reason: 'waited 8 s in vain', isTest: true, brokenRule: false, ...more };
}

function report(failures: TestFailure[], passed = ['other > y']): TestReport {
  return { passed, skipped: 1, failures };
}

const A = 'test/faults/a.test.ts';
const B = 'test/e2e/b.test.ts';

describe('a second look', () => {
  it('is taken at each file once', () => {
    expect(filesForSecondLook(report([]))).toEqual([]);
    expect(filesForSecondLook(report([failed(A), failed(B), failed(A)]))).toEqual([A, B]);
  });

  it.each([
    ['a broken rule', [failed(A), failed(B, { brokenRule: true })]],
    ['a unit test', [failed(A), failed('test/unit/a.test.ts')]],
    ['a secret', [failed('test/e2e/task-secrets.test.ts')]],
    ['a signature', [failed('test/faults/signatures.test.ts')]],
    ['an attack', [failed('test/abuse/kernel.test.ts')]],
    ['an error outside of any test', [failed(null)]],
    ['three files', [failed(A), failed(B), failed('test/e2e/c.test.ts')]],
    ['five tests', [failed(A), failed(A), failed(A), failed(A), failed(A)]],
  ])('is never taken at %s', (_what, failures) => {
    expect(filesForSecondLook(report(failures))).toEqual([]);
  });

  it('forgives what passes each time, and tells why it had failed', () => {
    const first = report([failed(A), failed(A, { where: 'after all', isTest: false })]);
    const { report: end, flaky } = afterSecondLook(first, [report([], [`${A} > x`]), report([], [`${A} > x`])]);
    expect(reportLines(end, flaky)).toEqual([
      `flaky: ${A} > x: waited 8 s in vain`,
      'flaky: after all: waited 8 s in vain',
      '2 passed, 0 failed, 1 skipped, 2 flaky',
    ]);
  });

  it.each([
    ['fails again', [report([], [`${A} > x`]), report([failed(A)])], 1],
    ['fails elsewhere in the file', [report([], [`${A} > x`]), report([failed(A, { where: 'y' })], [`${A} > x`])], 2],
    ['did not end', [report([], [`${A} > x`])], 1],
    ['was skipped', [report([], [`${A} > x`]), report([], [`${A} > z`])], 1],
  ])('forgives nothing that %s', (_what, looks, failures) => {
    const { report: end, flaky } = afterSecondLook(report([failed(A)]), looks);
    expect(flaky).toEqual([]);
    expect(end.passed).toHaveLength(1);
    expect(end.failures).toHaveLength(failures);
  });

  it('knows a broken rule by its name', () => {
    expectNoViolations([]);
    expect(() => expectNoViolations([{ rule: 'R7' }], 'seed 5')).toThrow(BrokenRuleError);
    expect(() => expectNoViolations([{ rule: 'R7' }], 'seed 5')).toThrow('1 rules broken seed 5\n{"rule":"R7"}');
  });
});
