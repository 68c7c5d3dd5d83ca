/** `dgrid-worker`, the program on the box. */
import { type ProgramInfo, processSurroundings, runProgram } from './program.ts';
import { WORKER_COMMANDS } from './worker/commands.ts';

export const WORKER_PROGRAM: ProgramInfo = {
  name: 'dgrid-worker',
  description: 'Claims tasks from a Git repository, runs each in a locked-down container, and pushes the results back.',
};

/**
 * What a command left open (a connection whose other end is silent) may hold up the end of the process for so long. A worker's
 * state directory is free by then, but whoever started it waits for the process.
 */
const LINGER_MS = 10_000;

/** @param argv as `process.argv`. Sets the exit code of the process, which ends soon; never rejects. */
export async function main(argv: readonly string[]): Promise<void> {
  const code = await runProgram(WORKER_PROGRAM, WORKER_COMMANDS, argv, processSurroundings());
  process.exitCode = code;
  const endAnyway = (): void => {
    const open = process.getActiveResourcesInfo().join(', ');
    process.stderr.write(`${WORKER_PROGRAM.name}: done, but held up by what is still open: ${open}\n`);
    process.exit(code);
  };
  setTimeout(endAnyway, LINGER_MS).unref();
}
