/** What `npm run package` makes, made once for a test file: a box that gets it has no Node.js. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { runProgram } from './programs.ts';

const ROOT = join(import.meta.dirname, '../..');
const BUILD_BOUND_MS = 120_000;

export interface Release {
  directory: string;
  /** The executable for this machine, by its name in the directory. */
  name: string;
}

/** Needs what `npm run build` made. */
export async function makeRelease(directory: string): Promise<Release> {
  await runProgram(process.execPath, [join(ROOT, 'scripts/package.ts'), '--out', directory], {
    cwd: ROOT,
    env: process.env,
    boundMs: BUILD_BOUND_MS,
  });
  const name = readdirSync(directory).find((file) => /^dgrid-.*-linux-[a-z0-9]+$/.test(file));
  if (name === undefined) throw new Error('no executable was made');
  return { directory, name };
}
