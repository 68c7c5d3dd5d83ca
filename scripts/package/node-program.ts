/**
 * The Node.js that an executable is made of, by architecture: the same version as the one that runs now, from the same
 * packages as the development dependency `node`. npm checks their sums. They are kept for later runs.
 */
import { execFile } from 'node:child_process';
import { access, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { arch } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
/** Of one command: npm fetches 60 MB. */
const COMMAND_BOUND_MS = 600_000;

/** Names as Docker and Debian have them, and those of Node.js. */
export const ARCHITECTURES = { amd64: 'x64', arm64: 'arm64' } as const;
export type Architecture = keyof typeof ARCHITECTURES;

export interface NodeProgram {
  path: string;
  /** The text of its licence, with those of all that it brings. */
  license: string;
}

/** @throws Error where it is none that an executable can be made for. */
export function ownArchitecture(): Architecture {
  const found = Object.entries(ARCHITECTURES).find(([, name]) => name === arch());
  if (found === undefined) throw new Error(`no executable can be made for ${arch()}: --arch names one that can`);
  return found[0] as Architecture;
}

/** @param cache where copies are kept. @throws Error with npm's words where the package cannot be had. */
export async function fetchNode(architecture: Architecture, cache: string): Promise<NodeProgram> {
  const name = `node-linux-${ARCHITECTURES[architecture]}`;
  const { node: version } = process.versions;
  const directory = join(cache, `${name}-${version}`);
  if (!(await isThere(directory))) await download(`${name}@${version}`, directory);
  return { path: join(directory, 'bin/node'), license: await readFile(join(directory, 'LICENSE'), 'utf8') };
}

async function download(specifier: string, directory: string): Promise<void> {
  const work = `${directory}.part`;
  await rm(work, { recursive: true, force: true });
  await mkdir(work, { recursive: true });
  const { stdout } = await run('npm', ['pack', specifier, '--json', '--pack-destination', work], {
    cwd: work,
    timeout: COMMAND_BOUND_MS,
  });
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }];
  await run('tar', [
    '--extract',
    '--file',
    join(work, filename),
    '--directory',
    work,
    'package/bin',
    'package/LICENSE',
  ]);
  // Whole or not at all: a run that was interrupted must not leave half of it behind.
  await rename(join(work, 'package'), directory);
  await rm(work, { recursive: true });
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
