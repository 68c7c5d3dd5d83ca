/** From whatever a command threw to a message for people, a document for programs, and an exit code. */
import { CommanderError } from 'commander';
import { printable } from './display-width.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import { Failure } from './failure.ts';
import type { Output } from './output.ts';

const MAX_SHOWN_CAUSES = 5;

export function report(error: unknown, program: string, output: Output): ExitCode {
  if (error instanceof CommanderError) {
    // Help and version were asked for and are printed already. Without any command commander prints the help as an error.
    if (error.exitCode === 0) return EXIT.done;
    const message = error.code === 'commander.help' ? 'a command is needed' : error.message.replace(/^error: /, '');
    return tell(new Failure('usage', message, { cause: error.cause }), program, output);
  }
  return tell(error, program, output);
}

function tell(error: unknown, program: string, output: Output): ExitCode {
  const failure = error instanceof Failure ? error : null;
  const message = error instanceof Error ? error.message : String(error);
  output.note(`${output.errorStyle('red', `${program}:`)} ${message.split('\n').map(printable).join('\n')}`);
  const problems = failure?.problems ?? [];
  for (const problem of problems) {
    output.note(`  ${output.errorStyle('bold', printable(problem.name))} ${printable(problem.message)}`);
  }
  for (const cause of causesOf(error)) output.note(`  caused by: ${printable(cause)}`);
  if (failure?.kind === 'usage') output.note(`Try "${program} --help".`);
  // A command that failed after its answer has said all it can to a program.
  if (!output.documentWritten) {
    output.document({ error: { kind: failure?.kind ?? 'failed', message, problems, causes: causesOf(error) } });
  }
  return failure?.exitCode ?? EXIT.failed;
}

function causesOf(error: unknown): string[] {
  const causes: string[] = [];
  let cause = error instanceof Error ? error.cause : undefined;
  while (cause instanceof Error && causes.length < MAX_SHOWN_CAUSES) {
    causes.push(cause.message);
    cause = cause.cause;
  }
  return causes;
}
