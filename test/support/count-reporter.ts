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
      passed: 0,
      skipped: 0,
      failures: unhandledErrors.map((error) => failure(null, 'outside of any test', [error])),
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
  if (module.errors().length > 0) report.failures.push(failure(file, file, module.errors()));
  for (const suite of module.children.allSuites()) {
    if (suite.errors().length > 0) report.failures.push(failure(file, `${file} > ${suite.fullName}`, suite.errors()));
  }
  for (const test of module.children.allTests()) {
    const { state, errors } = test.result();
    if (state === 'passed') report.passed += 1;
    else if (state === 'failed') report.failures.push(failure(file, `${file} > ${test.fullName}`, errors));
    else report.skipped += 1;
  }
}

function failure(file: string | null, where: string, errors: Errors): TestFailure {
  const reason = errors.map(({ message }) => message?.split('\n')[0]).join('; ');
  const brokenRule = errors.some(({ name }) => name === BrokenRuleError.NAME);
  return { file, where, reason: reason.slice(0, MAX_REASON_CHARACTERS), brokenRule };
}
