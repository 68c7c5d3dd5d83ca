/**
 * The terminal while a program has all of it: another screen than the one with the shell's history, keys as they are
 * pressed, and both given back on every way out.
 *
 * States: left → entered ⇄ left. `leave` may be called from anywhere and at any time, also when the process is ending.
 * A frame is written as what differs from the one before, so that nothing flickers and little goes through a slow line.
 */
import type { Clock } from '../../runtime.ts';
import { type Key, KeyDecoder } from './keys.ts';
import type { ScreenSize } from './render.ts';

/** The part of `process.stdin` that is used here. */
export interface KeyStream {
  readonly isTTY?: boolean;
  setRawMode(isRaw: boolean): unknown;
  setEncoding(encoding: 'utf8'): unknown;
  resume(): unknown;
  pause(): unknown;
  on(event: 'data', listener: (text: string) => void): unknown;
  off(event: 'data', listener: (text: string) => void): unknown;
}

/** The part of `process.stdout`. */
export interface ScreenStream {
  readonly columns: number;
  readonly rows: number;
  write(text: string): unknown;
  on(event: 'resize', listener: () => void): unknown;
  off(event: 'resize', listener: () => void): unknown;
}

const ESCAPE_WAIT_MS = 50;
/** Another screen, no cursor, no line that runs over into the next. */
const ENTER = '\u001b[?1049h\u001b[?25l\u001b[?7l\u001b[2J';
const LEAVE = '\u001b[?7h\u001b[?25h\u001b[0m\u001b[?1049l';
/** Terminals that know it show the frame at once; others pass it over. */
const FRAME_BEGIN = '\u001b[?2026h';
const FRAME_END = '\u001b[?2026l';
const ERASE_TO_END_OF_LINE = '\u001b[K';

export class TerminalScreen {
  readonly #stdin: KeyStream;
  readonly #stdout: ScreenStream;
  readonly #clock: Clock;
  readonly #onKey: (key: Key) => void;
  readonly #onResize: () => void;
  readonly #decoder = new KeyDecoder();
  #entered = false;
  /** What is on the screen, line by line; null: it is not known. */
  #shown: string[] | null = null;

  constructor(parts: {
    stdin: KeyStream;
    stdout: ScreenStream;
    clock: Clock;
    onKey: (key: Key) => void;
    /** The size changed, or all has to be drawn anew. */
    onResize: () => void;
  }) {
    this.#stdin = parts.stdin;
    this.#stdout = parts.stdout;
    this.#clock = parts.clock;
    this.#onKey = parts.onKey;
    this.#onResize = parts.onResize;
  }

  get size(): ScreenSize {
    return { columns: this.#stdout.columns, rows: this.#stdout.rows };
  }

  /** Takes the terminal, and listens for what concerns it, until `close`. */
  open(): void {
    process.on('exit', this.#leave);
    // Before the message of a crash is printed, or it would vanish with the screen.
    process.on('uncaughtExceptionMonitor', this.#leave);
    process.on('SIGTSTP', this.suspend);
    process.on('SIGCONT', this.#onContinue);
    this.#stdout.on('resize', this.#redrawAll);
    this.#stdin.on('data', this.#onData);
    this.#enter();
  }

  close(): void {
    this.#leave();
    process.off('exit', this.#leave);
    process.off('uncaughtExceptionMonitor', this.#leave);
    process.off('SIGTSTP', this.suspend);
    process.off('SIGCONT', this.#onContinue);
    this.#stdout.off('resize', this.#redrawAll);
    this.#stdin.off('data', this.#onData);
    this.#stdin.pause();
  }

  draw(lines: readonly string[]): void {
    if (!this.#entered) return;
    const before = this.#shown;
    const all = before === null ? '\u001b[2J' : '';
    const changes = lines.flatMap((line, at) =>
      line === (before?.[at] ?? '') ? [] : [`\u001b[${at + 1};1H${line}\u001b[0m${ERASE_TO_END_OF_LINE}`],
    );
    for (let at = lines.length; at < (before?.length ?? 0); at += 1) {
      if (before?.[at] !== '') changes.push(`\u001b[${at + 1};1H${ERASE_TO_END_OF_LINE}`);
    }
    this.#shown = [...lines];
    if (changes.length > 0 || all !== '') this.#stdout.write(FRAME_BEGIN + all + changes.join('') + FRAME_END);
  }

  /** Somebody else may have written on it. */
  forget(): void {
    this.#shown = null;
  }

  /** Gives the terminal back and stops this process, as the shell's users expect of Ctrl-Z; `SIGCONT` brings both back. */
  readonly suspend = (): void => {
    this.#leave();
    // The signal itself is taken by us, so it stops nobody.
    process.kill(process.pid, 'SIGSTOP');
  };

  readonly #onContinue = (): void => {
    this.#enter();
    this.#redrawAll();
  };

  readonly #redrawAll = (): void => {
    this.forget();
    this.#onResize();
  };

  #enter(): void {
    if (this.#entered) return;
    this.#entered = true;
    this.#shown = null;
    this.#stdin.setRawMode(true);
    this.#stdin.setEncoding('utf8');
    this.#stdin.resume();
    this.#stdout.write(ENTER);
  }

  readonly #leave = (): void => {
    if (!this.#entered) return;
    this.#entered = false;
    this.#stdout.write(LEAVE);
    try {
      this.#stdin.setRawMode(false);
    } catch {
      // The terminal has gone away: there is nothing left to put in order.
    }
  };

  readonly #onData = (text: string): void => {
    for (const key of this.#decoder.feed(text)) this.#onKey(key);
    if (!this.#decoder.isWaiting) return;
    void this.#clock.sleep(ESCAPE_WAIT_MS).then(() => {
      for (const key of this.#decoder.flush()) this.#onKey(key);
    });
  };
}
