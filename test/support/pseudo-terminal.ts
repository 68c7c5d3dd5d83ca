/**
 * A program in a real pseudo-terminal, which script(1) of util-linux makes: keys go in, and what it draws is read as a
 * terminal would show it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { tryProgram } from './programs.ts';
import { TerminalPicture } from './terminal-picture.ts';
import { until } from './until.ts';

export interface PseudoTerminalOptions {
  columns: number;
  rows: number;
  cwd: string;
  env: Record<string, string>;
}

export class PseudoTerminal {
  readonly picture: TerminalPicture;
  readonly #child: ChildProcess;
  #raw = '';
  #device = '';
  /** Of the program: what `sh` prints before it becomes the program. */
  pid = 0;

  private constructor(child: ChildProcess, picture: TerminalPicture) {
    this.#child = child;
    this.picture = picture;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#raw += text;
      this.picture.write(text);
    });
  }

  /** The program, and after it the state of the terminal: `AFTER code settings`. */
  static async start(command: readonly string[], options: PseudoTerminalOptions): Promise<PseudoTerminal> {
    const { columns, rows, cwd, env } = options;
    const words = command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
    const script =
      `stty rows ${rows} cols ${columns}; echo "@@terminal $(tty) ."; ` +
      `sh -c 'echo "@@pid $$ ."; exec "$@"' sh ${words}; echo "AFTER $? $(stty -g) $(stty -a | grep -o -- '-\\?icanon') ."`;
    const child = spawn('script', ['--quiet', '--return', '--flush', '--command', script, '/dev/null'], {
      cwd,
      env: { ...env, SHELL: '/bin/sh' },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    child.stdin?.on('error', () => undefined);
    const terminal = new PseudoTerminal(child, new TerminalPicture(columns, rows));
    terminal.#device = await terminal.#said(/@@terminal (\S+) \./);
    terminal.pid = Number(await terminal.#said(/@@pid (\d+) \./));
    return terminal;
  }

  /** All that was ever written, with its sequences. */
  get raw(): string {
    return this.#raw;
  }

  press(keys: string): void {
    this.#child.stdin?.write(keys);
  }

  async resize(columns: number, rows: number): Promise<void> {
    this.picture.resize(columns, rows);
    await tryProgram('stty', ['-F', this.#device, 'rows', String(rows), 'cols', String(columns)]);
  }

  /** @throws when it is not shown in time, with what is shown instead */
  async shows(pattern: RegExp | string, boundMs = 20_000): Promise<void> {
    const isShown = (): boolean =>
      typeof pattern === 'string' ? this.picture.text.includes(pattern) : pattern.test(this.picture.text);
    await until('the screen', isShown, boundMs).catch(() => {
      throw new Error(`not shown: ${String(pattern)}; on the screen:\n${this.picture.text}`);
    });
  }

  /** The program's exit code, and whether the terminal takes whole lines again. */
  async end(): Promise<{ code: number; isCooked: boolean }> {
    const [, code = '', mode = ''] = await this.#match(/AFTER (\d+) \S+ (-?icanon) \./);
    this.#child.stdin?.end();
    if (this.#child.exitCode === null) await once(this.#child, 'exit');
    return { code: Number(code), isCooked: mode === 'icanon' };
  }

  stop(): void {
    this.#child.stdin?.end();
    this.#child.kill('SIGKILL');
  }

  /** The modes of the terminal while the program runs. */
  async modes(): Promise<string> {
    return (await tryProgram('stty', ['-F', this.#device, '-a'])).stdout;
  }

  async #said(pattern: RegExp): Promise<string> {
    return (await this.#match(pattern))[1] ?? '';
  }

  async #match(pattern: RegExp): Promise<RegExpExecArray> {
    await until('the output', () => pattern.test(this.#raw), 20_000).catch(() => {
      throw new Error(`${String(pattern)} never came; what came ends with ${JSON.stringify(this.#raw.slice(-600))}`);
    });
    return pattern.exec(this.#raw) as RegExpExecArray;
  }
}
