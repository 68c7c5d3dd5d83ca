/** What came of a run of tests, as far as the end of it and a second look at what failed need to know. */

export interface TestFailure {
  /** From the project's root; null for an error outside of any test. */
  file: string | null;
  /** The file and the test in it, for people. */
  where: string;
  /** The first line of each error. */
  reason: string;
  /** Not of what is done before and after tests. */
  isTest: boolean;
  /** A rule of the grid was broken (broken-rule.ts): that is no matter of luck. */
  brokenRule: boolean;
}

export interface TestReport {
  /** As `where` of a failure. */
  passed: string[];
  skipped: number;
  failures: TestFailure[];
}

/** Where `count-reporter.ts` writes its report as JSON, instead of printing the end itself. */
export const REPORT_VARIABLE = 'DGRID_TEST_REPORT';

/** What failed, a line each, and as the last line the counts. */
export function reportLines({ passed, skipped, failures }: TestReport, flaky: readonly TestFailure[] = []): string[] {
  const counts = [`${passed.length} passed`, `${failures.length} failed`];
  if (skipped > 0) counts.push(`${skipped} skipped`);
  if (flaky.length > 0) counts.push(`${flaky.length} flaky`);
  return [
    ...flaky.map(({ where, reason }) => `flaky: ${where}: ${reason}`),
    ...failures.map(({ where, reason }) => `failed: ${where}: ${reason}`),
    counts.join(', '),
  ];
}
