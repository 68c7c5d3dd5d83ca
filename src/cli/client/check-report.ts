/** What `dgrid check` found, as lines: for people and editors, or as commands that a host turns into annotations. */
import type { CheckProblem, CheckReport } from '../../client/check/check.ts';
import { printable } from '../display-width.ts';
import { counted } from '../figures.ts';

export const CHECK_FORMATS = ['text', 'github'] as const;
export type CheckFormat = (typeof CHECK_FORMATS)[number];

export function checkLines(report: CheckReport, format: CheckFormat): string[] {
  const { checked, problems, moreProblems } = report;
  const count = problems.length + moreProblems;
  const tasks = counted(checked, 'task', 'tasks');
  const summary = count === 0 ? `${tasks}, no problem` : `${tasks}, ${counted(count, 'problem', 'problems')}`;
  const lines = problems.map((problem) => (format === 'github' ? annotation(problem) : located(problem)));
  return [...lines, ...(moreProblems > 0 ? [`… and ${moreProblems} more problems`] : []), summary];
}

/** As compilers write it, so that editors and terminals can jump there. */
function located({ path, line, problem }: CheckProblem): string {
  return `${printable(path)}:${line}: ${printable(problem)}`;
}

/** A workflow command of GitHub Actions, which other hosts understand too. */
function annotation({ path, line, column, problem }: CheckProblem): string {
  const properties = { file: path, line: String(line), col: String(column), title: 'dgrid check' };
  const written = Object.entries(properties).map(([name, value]) => `${name}=${escapedProperty(value)}`);
  return printable(`::error ${written.join(',')}::${escapedData(problem)}`);
}

/** Whatever stands in a name or a message, it must not become another command. */
function escapedData(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function escapedProperty(text: string): string {
  return escapedData(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}
