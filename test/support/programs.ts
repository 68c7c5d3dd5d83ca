/** Programs of the system for tests: run to their end, and installed where Debian or Ubuntu lacks them. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

export interface ProgramEnd {
  /** null: ended by a signal, or could not be started. */
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface ProgramOptions {
  cwd?: string;
  /** The whole environment. */
  env?: NodeJS.ProcessEnv;
  boundMs?: number;
}

const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
const TAIL_CHARACTERS = 4_000;
const DEFAULT_BOUND_MS = 60_000;
const INSTALL_BOUND_MS = 300_000;

/** Whatever the exit code. */
export function tryProgram(
  command: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<ProgramEnd> {
  const { boundMs = DEFAULT_BOUND_MS, ...rest } = options;
  return new Promise((resolve) => {
    execFile(command, args, { ...rest, timeout: boundMs, maxBuffer: MAX_OUTPUT_BYTES }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : null;
      resolve({ code, stdout, stderr: code === null ? `${stderr}${error?.message ?? ''}` : stderr });
    });
  });
}

/** Its standard output. @throws Error with the end of what it printed when it does not end with 0. */
export async function runProgram(
  command: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<string> {
  const { code, stdout, stderr } = await tryProgram(command, args, options);
  if (code === 0) return stdout;
  const tail = `${stdout.slice(-TAIL_CHARACTERS)}\n${stderr.slice(-TAIL_CHARACTERS)}`;
  throw new Error(`${command} ${args.join(' ')}: exit code ${code}\n${tail}`);
}

export function hasProgram(name: string): boolean {
  const directories = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin'];
  return directories.some((directory) => directory !== '' && existsSync(join(directory, name)));
}

/** @param packageOf names of programs, and the package that brings each */
export async function installMissing(packageOf: Readonly<Record<string, string>>): Promise<void> {
  const missing = Object.entries(packageOf).filter(([program]) => !hasProgram(program));
  if (missing.length === 0) return;
  const packages = missing.map(([, name]) => name);
  if (process.getuid?.() !== 0 || !existsSync('/etc/debian_version')) {
    throw new Error(`this test needs ${missing.map(([program]) => program).join(', ')}: install ${packages.join(' ')}`);
  }
  const options = { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }, boundMs: INSTALL_BOUND_MS };
  await runProgram('apt-get', ['update'], options);
  await runProgram('apt-get', ['install', '--yes', '--no-install-recommends', ...packages], options);
}
