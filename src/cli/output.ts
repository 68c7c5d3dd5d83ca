/**
 * What a command says. Answers go to standard output: lines and tables for people, or with `--json` one document for
 * programs. Everything else goes to standard error.
 */
import { type InspectColor, styleText } from 'node:util';
import type { Environment } from '../config/machine.ts';
import type { Clock } from '../runtime.ts';
import { ProgressBar } from './progress-bar.ts';
import { type Cell, type Column, formatTable } from './table.ts';

/** The part of a process's stream that is used here. */
export interface OutStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export type Style = InspectColor | readonly InspectColor[];

const DEFAULT_COLUMNS = 80;

export class Output {
  readonly json: boolean;
  /** Columns of the terminal; null where standard output is none, and lines may be as long as they like. */
  readonly width: number | null;
  /** Whether standard output, and standard error, may be coloured. */
  readonly colour: boolean;
  readonly errorColour: boolean;
  readonly #stdout: OutStream;
  readonly #stderr: OutStream;
  readonly #clock: Clock;
  #documentWritten = false;

  constructor(options: { json: boolean; stdout: OutStream; stderr: OutStream; env: Environment; clock: Clock }) {
    this.json = options.json;
    this.#stdout = options.stdout;
    this.#stderr = options.stderr;
    this.#clock = options.clock;
    this.width = options.stdout.isTTY ? (options.stdout.columns ?? DEFAULT_COLUMNS) : null;
    this.colour = mayColour(options.stdout, options.env);
    this.errorColour = mayColour(options.stderr, options.env);
  }

  /** For people; nothing with `--json`. */
  line(text = ''): void {
    if (!this.json) this.#stdout.write(`${text}\n`);
  }

  table(columns: readonly Column[], rows: readonly (readonly Cell[])[]): void {
    if (this.json) return;
    for (const line of formatTable(columns, rows, this.width, (text) => this.style('bold', text))) this.line(line);
  }

  /** For programs; nothing without `--json`. @throws Error on a second document, which would make the output unreadable. */
  document(value: unknown): void {
    if (!this.json) return;
    if (this.#documentWritten) throw new Error('a command answers with one document');
    this.#documentWritten = true;
    this.#stdout.write(`${JSON.stringify(value, null, 2)}\n`);
  }

  get documentWritten(): boolean {
    return this.#documentWritten;
  }

  /** A remark beside the answer, on standard error. */
  note(text: string): void {
    this.#stderr.write(`${text}\n`);
  }

  /** For standard output. */
  style(style: Style, text: string): string {
    return this.colour ? styleText(style, text, { validateStream: false }) : text;
  }

  /** For standard error. */
  errorStyle(style: Style, text: string): string {
    return this.errorColour ? styleText(style, text, { validateStream: false }) : text;
  }

  /** On standard error, and only where that is a terminal. `total` in whatever is counted. */
  progress(total: number): ProgressBar {
    const stderr = this.#stderr;
    const target = {
      isTerminal: stderr.isTTY === true && !this.json,
      columns: stderr.columns ?? DEFAULT_COLUMNS,
      write: (text: string): void => void stderr.write(text),
    };
    return new ProgressBar(target, this.#clock, total);
  }
}

/** https://no-color.org: any non-empty NO_COLOR. */
function mayColour(stream: OutStream, env: Environment): boolean {
  return stream.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
}
