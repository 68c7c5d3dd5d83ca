/**
 * The end of a run: what failed, a line each, and as the last line the counts in a form that any program can read. Failures are
 * told at length above; of a long log the end is what one sees first.
 */
import type { Reporter, TestModule } from 'vitest/node';

const MAX_REASON_CHARACTERS = 300;

export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly { message?: string }[]): void {
    let passed = 0;
    let skipped = 0;
    const failures = unhandledErrors.map((error) => failureLine('outside of any test', [error]));
    for (const module of modules) {
      const file = module.relativeModuleId;
      // Also a file that could not be loaded, and what is done before and after its tests.
      if (module.errors().length > 0) failures.push(failureLine(file, module.errors()));
      for (const suite of module.children.allSuites()) {
        if (suite.errors().length > 0) failures.push(failureLine(`${file} > ${suite.fullName}`, suite.errors()));
      }
      for (const test of module.children.allTests()) {
        const { state, errors } = test.result();
        if (state === 'passed') passed += 1;
        else if (state === 'failed') failures.push(failureLine(`${file} > ${test.fullName}`, errors));
        else skipped += 1;
      }
    }
    const counts = `${passed} passed, ${failures.length} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
    // After what the other reporters still have to say.
    process.once('exit', () => process.stdout.write(`${[...failures, counts].join('\n')}\n`));
  }
}

function failureLine(where: string, errors: readonly { message?: string }[]): string {
  const reason = errors.map(({ message }) => message?.split('\n')[0]).join('; ');
  return `failed: ${where}: ${reason.slice(0, MAX_REASON_CHARACTERS)}`;
}
