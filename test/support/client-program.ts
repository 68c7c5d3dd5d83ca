/** The real `dgrid` as a process, run from its sources. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { hermeticEnv } from './temp.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/client-main.ts', import.meta.url));
const PROGRAM = `import(${JSON.stringify(MAIN)}).then((module) => module.main(process.argv))`;

export interface ProgramOptions {
  /** HOME and the working directory. */
  home: string;
  env?: Readonly<Record<string, string>>;
  stdin?: string;
}

export interface ProgramEnd {
  code: number | null;
  out: string;
  err: string;
}

export function startClient(args: readonly string[], options: ProgramOptions): ChildProcess {
  const child = spawn(process.execPath, ['-e', PROGRAM, '--', 'dgrid', ...args], {
    cwd: options.home,
    env: hermeticEnv(options.home, { RETRY_BASE_SECONDS: '0.01', ...options.env }),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(options.stdin ?? '');
  return child;
}

export async function runClient(args: readonly string[], options: ProgramOptions): Promise<ProgramEnd> {
  const child = startClient(args, options);
  if (!child.stdout || !child.stderr) throw new Error('the program has no output');
  const [[code], out, err] = await Promise.all([
    once(child, 'close') as Promise<[number | null]>,
    text(child.stdout),
    text(child.stderr),
  ]);
  return { code, out, err };
}
