/** Rows in columns that fit a terminal. */
import { displayWidth, printable, truncate } from './display-width.ts';

export interface Column {
  title: string;
  align?: 'left' | 'right';
  /** Gives way when the terminal is too narrow, the widest first. Columns without it give way last. */
  shrinks?: boolean;
}

export type Paint = (text: string) => string;
/** Text, or text with a colour: cells are cut before they are painted. */
export type Cell = string | { text: string; paint: Paint };

const GAP = '  ';
const MIN_SHRUNK_WIDTH = 8;
const MIN_WIDTH = 3;

/**
 * @param width columns of the terminal; null: as wide as the content.
 * @returns the lines, headings first.
 */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  width: number | null,
  paintHeading: Paint = (text) => text,
): string[] {
  const texts = rows.map((row) => columns.map((_, index) => printable(textOf(row[index] ?? ''))));
  const widths = columns.map((column, index) =>
    Math.max(displayWidth(column.title), ...texts.map((row) => displayWidth(row[index] ?? ''))),
  );
  if (width !== null) shrink(columns, widths, width);
  const line = (cells: readonly { text: string; paint: Paint }[]): string =>
    cells
      .map(({ text, paint }, index) => {
        const space = widths[index] ?? 0;
        const cut = truncate(text, space);
        const padding = ' '.repeat(space - displayWidth(cut));
        if (columns[index]?.align === 'right') return padding + paint(cut);
        return index === columns.length - 1 ? paint(cut) : paint(cut) + padding;
      })
      .join(GAP)
      .trimEnd();
  return [
    line(columns.map((column) => ({ text: column.title, paint: paintHeading }))),
    ...rows.map((row, rowIndex) =>
      line(columns.map((_, index) => ({ text: texts[rowIndex]?.[index] ?? '', paint: paintOf(row[index] ?? '') }))),
    ),
  ];
}

function shrink(columns: readonly Column[], widths: number[], total: number): void {
  const isShrinking = (index: number): boolean => columns[index]?.shrinks === true;
  let excess = widths.reduce((sum, width) => sum + width, GAP.length * (widths.length - 1)) - total;
  for (const [candidates, least] of [
    [isShrinking, MIN_SHRUNK_WIDTH],
    [() => true, MIN_WIDTH],
  ] as const) {
    while (excess > 0) {
      let widest = -1;
      widths.forEach((width, index) => {
        if (candidates(index) && width > least && width > (widths[widest] ?? 0)) widest = index;
      });
      if (widest < 0) break;
      widths[widest] = (widths[widest] ?? 0) - 1;
      excess--;
    }
  }
}

function textOf(cell: Cell): string {
  return typeof cell === 'string' ? cell : cell.text;
}

function paintOf(cell: Cell): Paint {
  return typeof cell === 'string' ? (text) => text : cell.paint;
}
