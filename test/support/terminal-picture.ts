/** What a terminal shows of what was written to it: enough of one for our own frames, and strict about everything else. */
import { displayWidth } from '../../src/cli/display-width.ts';

// oxlint-disable-next-line no-control-regex -- a terminal's sequences
const SEQUENCE = /^\u001b\[([?\d;]*)([A-Za-z])/;

export class TerminalPicture {
  #columns: number;
  #rows: number;
  #cells: string[][] = [];
  #row = 0;
  #column = 0;
  #rest = '';
  /** What was seen so far and not understood. */
  readonly unknown: string[] = [];
  isOnOtherScreen = false;
  cursorIsShown = true;
  wraps = true;
  frames = 0;

  constructor(columns: number, rows: number) {
    this.#columns = columns;
    this.#rows = rows;
    this.#erase();
  }

  resize(columns: number, rows: number): void {
    this.#columns = columns;
    this.#rows = rows;
  }

  get lines(): string[] {
    return this.#cells.slice(0, this.#rows).map((cells) => cells.join('').trimEnd());
  }

  get text(): string {
    return this.lines.join('\n');
  }

  /** The widest line of the screen, in columns. */
  get width(): number {
    return Math.max(...this.lines.map(displayWidth));
  }

  write(text: string): void {
    let rest = this.#rest + text;
    this.#rest = '';
    while (rest !== '') {
      if (rest.startsWith('\u001b')) {
        const [sequence, parameters = '', final = ''] = SEQUENCE.exec(rest) ?? [];
        if (sequence === undefined) {
          if (rest.length < 20) {
            this.#rest = rest;
            return;
          }
          this.unknown.push(rest.slice(0, 10));
          rest = rest.slice(1);
          continue;
        }
        this.#obey(parameters, final);
        rest = rest.slice(sequence.length);
        continue;
      }
      // oxlint-disable-next-line no-control-regex -- where plain text ends
      const at = rest.search(/[\u001b\r\n]/);
      const plain = at < 0 ? rest : rest.slice(0, at);
      if (plain === '') {
        if (rest.startsWith('\r')) this.#column = 0;
        else this.#row = Math.min(this.#row + 1, this.#rows - 1);
        rest = rest.slice(1);
        continue;
      }
      this.#put(plain);
      rest = rest.slice(plain.length);
    }
  }

  #put(text: string): void {
    for (const { segment } of new Intl.Segmenter().segment(text)) {
      const width = displayWidth(segment);
      // oxlint-disable-next-line no-control-regex -- nothing of that kind may get to a terminal
      if (/[\u0000-\u001f\u007f-\u009f]/.test(segment)) this.unknown.push(segment);
      const row = (this.#cells[this.#row] ??= []);
      if (this.#column + width <= this.#columns) {
        row[this.#column] = segment;
        for (let at = 1; at < width; at += 1) row[this.#column + at] = '';
        this.#column += width;
      }
    }
  }

  #obey(parameters: string, final: string): void {
    const numbers = parameters.split(';').map((text) => Number(text) || 1);
    const row = (this.#cells[this.#row] ??= []);
    if (final === 'H') {
      this.#row = (numbers[0] ?? 1) - 1;
      this.#column = (numbers[1] ?? 1) - 1;
    } else if (final === 'K') row.fill(' ', this.#column);
    else if (final === 'J') this.#erase();
    else if (parameters === '?1049' && 'hl'.includes(final)) {
      this.isOnOtherScreen = final === 'h';
      this.#erase();
    } else if (parameters === '?25') this.cursorIsShown = final === 'h';
    else if (parameters === '?7') this.wraps = final === 'h';
    else if (parameters === '?2026') this.frames += final === 'l' ? 1 : 0;
    else if (final !== 'm') this.unknown.push(`${parameters}${final}`);
  }

  #erase(): void {
    this.#cells = Array.from({ length: 200 }, () => Array.from({ length: this.#columns }, () => ' '));
  }
}
