/** One line of what `dgrid-worker doctor` found. */
export interface CheckResult {
  check: string;
  /** `warning`: the worker runs, but not as well as it could. */
  outcome: 'ok' | 'warning' | 'broken';
  finding: string;
  /** How to mend it; null when there is nothing to mend. */
  remedy: string | null;
}

export function ok(check: string, finding: string): CheckResult {
  return { check, outcome: 'ok', finding, remedy: null };
}

export function warning(check: string, finding: string, remedy: string | null): CheckResult {
  return { check, outcome: 'warning', finding, remedy };
}

/** @param finding an error, or what was found */
export function broken(check: string, finding: unknown, remedy: string | null): CheckResult {
  return { check, outcome: 'broken', finding: messageOf(finding), remedy };
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
