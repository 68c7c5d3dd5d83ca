/**
 * The end of a run: what failed, a line each, and as the last line the counts in a form that any program can read. Failures are
 * told at length above; of a long log the end is what one sees first.
 */
import { writeFileSync } from 'node:fs';
import type { Reporter, TestModule } from 'vitest/node';
import { BrokenRuleError } from './broken-rule.ts';
import { REPORT_VARIABLE, reportLines, type TestFailure, type TestReport } from './test-report.ts';

const MAX_REASON_CHARACTERS = 300;

type Errors = readonly { name?: string; message?: string }[];

export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: Errors): void {
    const report: TestReport = {
      passed: [],
      skipped: 0,
      failures: unhandledErrors.map((error) =>
        failure({ file: null, where: 'outside of any test', isTest: false }, [error]),
      ),
    };
    for (const module of modules) take(report, module);
    const path = process.env[REPORT_VARIABLE];
    if (path) writeFileSync(path, JSON.stringify(report));
    // After what the other reporters still have to say.
    else process.once('exit', () => process.stdout.write(`${reportLines(report).join('\n')}\n`));
  }
}

function take(report: TestReport, module: TestModule): void {
  const file = module.relativeModuleId;
  // Also a file that could not be loaded, and what is done before and after its tests.
  const outside = [
    { where: file, errors: module.errors() },
    ...[...module.children.allSuites()].map((suite) => ({
      where: `${file} > ${suite.fullName}`,
      errors: suite.errors(),
    })),
  ];
  for (const { where, errors } of outside) {
    if (errors.length > 0) report.failures.push(failure({ file, where, isTest: false }, errors));
  }
  for (const test of module.children.allTests()) {
    const { state, errors } = test.result();
    const where = `${file} > ${test.fullName}`;
    if (state === 'passed') report.passed.push(where);
    else if (state === 'failed') report.failures.push(failure({ file, where, isTest: true }, errors));
    else report.skipped += 1;
  }
}

function failure(place: Pick<TestFailure, 'file' | 'where' | 'isTest'>, errors: Errors): TestFailure {
  const reason = errors.map(({ message }) => message?.split('\n')[0]).join('; ');
  const brokenRule = errors.some(({ name }) => name === BrokenRuleError.NAME);
  return { ...place, reason: reason.slice(0, MAX_REASON_CHARACTERS), brokenRule };
}
