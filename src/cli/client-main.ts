/** `dgrid`, the program for those who submit tasks and look at them. */
import { CLIENT_COMMANDS } from './client/commands.ts';
import { type ProgramInfo, processSurroundings, runProgram } from './program.ts';

export const CLIENT_PROGRAM: ProgramInfo = {
  name: 'dgrid',
  description: 'Queues tasks in a Git repository, and shows what became of them.',
};

/** @param argv as `process.argv`. Sets the exit code of the process; never rejects. */
export async function main(argv: readonly string[]): Promise<void> {
  const surroundings = processSurroundings();
  // No command of this program has its own way with signals: 130 is the answer to all of them.
  surroundings.interruption.listen();
  process.exitCode = await runProgram(CLIENT_PROGRAM, CLIENT_COMMANDS, argv, surroundings);
}
