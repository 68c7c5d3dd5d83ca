/**
 * The entry point of the single-file executable, which is both programs: `dgrid-worker` by that name (a link to it is
 * enough), and `dgrid` by every other, so that the file can keep the name that it was downloaded with.
 */
import { basename } from 'node:path';
import { isWorkerName } from './own-programs.ts';

/** @param process as it is; its own arguments begin at the third of `argv`. */
async function main({ argv, argv0 }: NodeJS.Process): Promise<void> {
  // Only one of the two is evaluated, which is half of the time to start.
  const program = isWorkerName(basename(argv0)) ? await import('./worker-main.ts') : await import('./client-main.ts');
  await program.main(argv);
}

void main(process);
