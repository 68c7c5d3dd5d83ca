/** `dgrid-worker`, the program on the box. */
import { type ProgramInfo, processSurroundings, runProgram } from './program.ts';
import { WORKER_COMMANDS } from './worker/commands.ts';

export const WORKER_PROGRAM: ProgramInfo = {
  name: 'dgrid-worker',
  description: 'Claims tasks from a Git repository, runs each in a locked-down container, and pushes the results back.',
};

/** @param argv as `process.argv`. Sets the exit code of the process; never rejects. */
export async function main(argv: readonly string[]): Promise<void> {
  process.exitCode = await runProgram(WORKER_PROGRAM, WORKER_COMMANDS, argv, processSurroundings());
}
