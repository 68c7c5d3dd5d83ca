/**
 * What a command says. Answers go to standard output: lines and tables for people, or with `--json` one document for
 * programs. Everything else goes to standard error.
 *
 * Much of it was written by others. Whatever a command forgets, nothing but colours gets to the terminal to be obeyed.
 */
import { type InspectColor, styleText } from 'node:util';
import type { Environment } from '../config/machine.ts';
import { escaped } from '../observe/plain-json.ts';
import type { Clock } from '../runtime.ts';
import { displayWidth, harmless, spelledOut, truncate } from './display-width.ts';
import { ProgressBar } from './progress-bar.ts';
import { type Cell, type Column, formatTable } from './table.ts';

/** The part of a process's stream that is used here. */
export interface OutStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  write(text: string | Uint8Array): unknown;
}

export type Style = InspectColor | readonly InspectColor[];

const DEFAULT_COLUMNS = 80;
const DEFAULT_ROWS = 24;
const ERASE_TO_END_OF_LINE = '\u001b[K';
const ERASE_BELOW = '\u001b[J';

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
  #pictureLines = 0;

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
    if (!this.json) this.#stdout.write(`${harmless(text)}\n`);
  }

  table(columns: readonly Column[], rows: readonly (readonly Cell[])[]): void {
    if (this.json) return;
    for (const line of this.tableLines(columns, rows)) this.line(line);
  }

  /**
   * A picture that takes the place of the one before: redrawn on a terminal, and cut to its size; elsewhere printed
   * below it. Nothing else may be printed in between, but after an empty picture.
   */
  picture(lines: readonly string[]): void {
    if (this.json) return;
    const { width } = this;
    if (width === null) {
      if (lines.length > 0) for (const line of [...lines, '']) this.line(line);
      return;
    }
    const rows = (this.#stdout.rows ?? DEFAULT_ROWS) - 1;
    const hidden = lines.length - rows;
    const shown = hidden > 0 ? [...lines.slice(0, rows - 1), `… ${hidden + 1} more lines`] : lines;
    const up = this.#pictureLines > 0 ? `\u001b[${this.#pictureLines}A` : '';
    // A line that the terminal wraps would be two, and the next picture would begin too low.
    const fitting = shown.map(harmless).map((line) => (displayWidth(line) > width ? truncate(line, width) : line));
    this.#stdout.write(up + fitting.map((line) => `${line}${ERASE_TO_END_OF_LINE}\n`).join('') + ERASE_BELOW);
    this.#pictureLines = fitting.length;
  }

  /** The lines that `table` would print. */
  tableLines(columns: readonly Column[], rows: readonly (readonly Cell[])[]): string[] {
    return formatTable(columns, rows, this.width, (text) => this.style('bold', text));
  }

  /** For programs; nothing without `--json`. @throws Error on a second document, which would make the output unreadable. */
  document(value: unknown): void {
    if (!this.json) return;
    if (this.#documentWritten) throw new Error('a command answers with one document');
    this.#documentWritten = true;
    this.#stdout.write(`${escaped(JSON.stringify(value, null, 2))}\n`);
  }

  get documentWritten(): boolean {
    return this.#documentWritten;
  }

  /**
   * What a program wrote: as it is into a pipe or a file, and on a terminal so that it does nothing to it; nothing with
   * `--json`.
   */
  bytes(bytes: Uint8Array): void {
    if (!this.json && bytes.length > 0) this.#stdout.write(forStream(this.#stdout, bytes));
  }

  /** The same, on standard error. */
  errorBytes(bytes: Uint8Array): void {
    if (!this.json && bytes.length > 0) this.#stderr.write(forStream(this.#stderr, bytes));
  }

  /** A remark beside the answer, on standard error. */
  note(text: string): void {
    this.#stderr.write(`${harmless(text)}\n`);
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

function forStream(stream: OutStream, bytes: Uint8Array): string | Uint8Array {
  return stream.isTTY === true ? spelledOut(new TextDecoder().decode(bytes)) : bytes;
}

/** https://no-color.org: any non-empty NO_COLOR. */
function mayColour(stream: OutStream, env: Environment): boolean {
  return stream.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
}
