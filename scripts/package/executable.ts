/** Puts a script and its assets into Node.js, by its own feature for single executables. */
import { execFile } from 'node:child_process';
import { chmod, copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { stripElf } from './strip-elf.ts';

/** As bin/dgrid-worker has it, and for its reason. What V8 compiles ahead is refused where it was compiled with others. */
const NODE_OPTIONS = ['--max-semi-space-size=1', '--expose-gc'];
/** Or what V8 compiles would have another order each time. The executable makes up a seed of its own whenever it starts. */
const SAME_EACH_TIME = ['--random-seed=1'];
/** Stands in stack traces. Relative, so that nobody learns where it was made. */
const SCRIPT = 'dgrid.cjs';

export interface Ingredients {
  /** The Node.js to put it into; of any architecture, but of the version that runs now. */
  node: string;
  script: string;
  /** By the path that src/assets.ts is asked for. */
  assets: ReadonlyMap<string, string>;
  codeCache: boolean;
  /** A directory for what is needed on the way. */
  work: string;
  path: string;
}

/** @throws Error with what Node.js said. */
export async function assemble({ node, script, assets, codeCache, work, path }: Ingredients): Promise<void> {
  const lean = join(work, 'node');
  await writeFile(lean, stripElf(await readFile(node)));
  await copyFile(script, join(work, SCRIPT));
  const config = {
    main: SCRIPT,
    mainFormat: 'commonjs',
    executable: lean,
    output: path,
    disableExperimentalSEAWarning: true,
    useCodeCache: codeCache,
    execArgv: NODE_OPTIONS,
    assets: Object.fromEntries(assets),
  };
  const configPath = join(work, 'sea.json');
  await writeFile(configPath, JSON.stringify(config));
  await promisify(execFile)(process.execPath, [...SAME_EACH_TIME, ...NODE_OPTIONS, `--build-sea=${configPath}`], {
    cwd: work,
  });
  await chmod(path, 0o755);
}
