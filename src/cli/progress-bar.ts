/** A line on standard error that shows how far a thing has come; nothing at all where that is no terminal. */
import type { Clock } from '../runtime.ts';
import { displayWidth, printable, truncate } from './display-width.ts';

const MIN_REDRAW_MS = 100;
const BAR_COLUMNS = 24;
const MIN_BAR_COLUMNS = 8;
const ERASE_LINE = '\r\u001b[2K';

export interface ProgressTarget {
  isTerminal: boolean;
  columns: number;
  write(text: string): void;
}

export class ProgressBar {
  readonly #target: ProgressTarget;
  readonly #clock: Clock;
  readonly #total: number;
  #drawnAtMs = Number.NEGATIVE_INFINITY;
  #finished = false;

  constructor(target: ProgressTarget, clock: Clock, total: number) {
    this.#target = target;
    this.#clock = clock;
    this.#total = total;
  }

  /** `label` follows the figures. Drawn at most ten times a second, and always when all is done. */
  update(done: number, label = ''): void {
    if (!this.#target.isTerminal || this.#finished) return;
    const now = this.#clock.monotonicMs();
    if (now - this.#drawnAtMs < MIN_REDRAW_MS && done < this.#total) return;
    this.#drawnAtMs = now;
    const share = this.#total > 0 ? Math.min(1, Math.max(0, done / this.#total)) : 1;
    const figures = `${done}/${this.#total}`;
    const said = printable(label);
    // The words give way to the bar down to its least width, and then the bar to the figures.
    const free = this.#target.columns - 1 - figures.length - displayWidth(said) - 4;
    const width = Math.min(BAR_COLUMNS, Math.max(MIN_BAR_COLUMNS, free));
    const filled = Math.round(share * width);
    const bar = `[${'█'.repeat(filled)}${'░'.repeat(width - filled)}] ${figures}`;
    const room = this.#target.columns - 1 - displayWidth(bar);
    const text = room > 0 ? `${bar} ${truncate(said, room - 1)}`.trimEnd() : figures;
    this.#target.write(ERASE_LINE + text);
  }

  /** Takes the line away, so that what follows starts on a clean one. May be called more than once. */
  finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    if (this.#target.isTerminal && this.#drawnAtMs !== Number.NEGATIVE_INFINITY) this.#target.write(ERASE_LINE);
  }
}
