/**
 * A second look at what failed in a run of everything. Tests of real processes, servers and engines meet races of the
 * machine and of the tests themselves that no run by itself shows. What failed is run again by itself, its whole file, more
 * than once: what fails again has failed; what passes each time is told as flaky, with the reason of its failure, and is a
 * bug to be mended, but it does not hold up what has nothing to do with it.
 * Nothing is forgiven that is not a matter of luck: a broken rule of the grid, a unit test, an escape from a container, what
 * looks for secrets and for signatures that are none, an error outside of any test, or more than a few at once.
 */
import type { TestFailure, TestReport } from './test-report.ts';

/** How often a file must pass by itself. */
export const LOOKS = 2;
const MAX_FILES = 2;
const MAX_FAILURES = 4;
const WITHOUT_LUCK = /^test\/(?:(?:unit|abuse)\/|.*(?:secrets|signatures|canary)\.test\.ts$)/;

/** @returns the files to run again; none when there is nothing to forgive. */
export function filesForSecondLook({ failures }: TestReport): string[] {
  const files = new Set<string>();
  for (const { file, brokenRule } of failures) {
    if (file === null || brokenRule || WITHOUT_LUCK.test(file)) return [];
    files.add(file);
  }
  return files.size <= MAX_FILES && failures.length <= MAX_FAILURES ? [...files] : [];
}

/** @param looks what came of the files each time that they were run again; a look that ended early counts as none. */
export function afterSecondLook(
  first: TestReport,
  looks: readonly TestReport[],
): { report: TestReport; flaky: TestFailure[] } {
  const again = looks.flatMap(({ failures }) => failures);
  const forgiven = looks.length === LOOKS && again.length === 0 && looks.every((look) => hasPassed(first, look));
  if (!forgiven) {
    const known = new Set(first.failures.map(({ where }) => where));
    const failures = [...first.failures, ...again.filter(({ where }) => !known.has(where))];
    return { report: { ...first, failures }, flaky: [] };
  }
  const tests = first.failures.filter(({ isTest }) => isTest).map(({ where }) => where);
  return { report: { ...first, passed: [...first.passed, ...tests], failures: [] }, flaky: first.failures };
}

/** Whether just what had failed ran and passed, and of a file that failed as a whole something. */
function hasPassed({ failures }: TestReport, { passed }: TestReport): boolean {
  return failures.every(({ file, isTest, where }) =>
    isTest ? passed.includes(where) : passed.some((other) => other.startsWith(`${file} > `)),
  );
}
