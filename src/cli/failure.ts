/** Errors that a command throws to end the program with a certain exit code and a message for people. */
import { EXIT, type ExitCode } from './exit-code.ts';

export type FailureKind = 'usage' | 'configuration' | 'failed' | 'task-failed';

const EXIT_CODES: Readonly<Record<FailureKind, ExitCode>> = {
  usage: EXIT.usage,
  configuration: EXIT.usage,
  failed: EXIT.failed,
  'task-failed': EXIT.taskFailed,
};

export interface NamedProblem {
  name: string;
  message: string;
}

export class Failure extends Error {
  override readonly name = 'Failure';
  readonly kind: FailureKind;
  readonly problems: readonly NamedProblem[];

  constructor(
    kind: FailureKind,
    message: string,
    options: { problems?: readonly NamedProblem[]; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.kind = kind;
    this.problems = options.problems ?? [];
  }

  get exitCode(): ExitCode {
    return EXIT_CODES[this.kind];
  }
}

export function configurationFailure(problems: readonly NamedProblem[]): Failure {
  const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`;
  return new Failure('configuration', `the configuration has ${count}`, { problems });
}
