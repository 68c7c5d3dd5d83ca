/** Where the operator's secrets for tasks are: looked through at the start, so that what is wrong is told then. */
import { problemsOfPolicy, problemsOfStore } from '../secrets/store-check.ts';
import { absolutePath } from './file-kind.ts';
import { bad, type ValueKind } from './value-kind.ts';

const MAX_SHOWN = 5;

function checkedPath(expects: string, problemsOf: (path: string) => readonly string[]): ValueKind<string> {
  return {
    unit: null,
    expects,
    parse(text, machine) {
      const path = absolutePath(text, machine);
      if (!path.ok) return path;
      const problems = problemsOf(path.value);
      if (problems.length === 0) return path;
      const more = problems.length > MAX_SHOWN ? [`and ${problems.length - MAX_SHOWN} more`] : [];
      return bad(`cannot be used: ${[...problems.slice(0, MAX_SHOWN), ...more].join('; ')}`);
    },
    format: String,
    plain: (value) => value,
  };
}

export function secretsDirectory(): ValueKind<string> {
  return checkedPath('a directory that this user alone can read, with a file for each secret', problemsOfStore);
}

export function secretsPolicyFile(): ValueKind<string> {
  return checkedPath('a JSON file that other users cannot write', problemsOfPolicy);
}
