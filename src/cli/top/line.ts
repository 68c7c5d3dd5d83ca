/** Lines that fit a terminal: text of others made harmless, cut by columns, and painted after that. */
import { displayWidth, printable, truncate } from '../display-width.ts';
import type { Style } from '../output.ts';

export type Paint = (style: Style, text: string) => string;

export interface Part {
  text: string;
  style?: Style | null;
}

/** The parts one after the other, cut to `width` columns. */
export function fitted(parts: readonly (Part | string)[], width: number, paint: Paint): string {
  let left = width;
  let line = '';
  for (const part of parts) {
    const { text, style = null } = typeof part === 'string' ? { text: part } : part;
    const cut = truncate(printable(text), left);
    left -= displayWidth(cut);
    line += style === null || cut === '' ? cut : paint(style, cut);
    if (left <= 0) break;
  }
  return line;
}

/** Exactly `width` columns. */
export function cell(text: string, width: number, align: 'left' | 'right' = 'left'): string {
  const cut = truncate(printable(text), width);
  const padding = ' '.repeat(Math.max(0, width - displayWidth(cut)));
  return align === 'right' ? padding + cut : cut + padding;
}

/** `[███░░░]`; null where nothing is known. @param share 0 to 1 */
export function bar(share: number | null, width: number): string {
  const inner = Math.max(1, width - 2);
  if (share === null) return cell('', inner + 2);
  const filled = Math.round(Math.min(1, Math.max(0, share)) * inner);
  return `[${'█'.repeat(filled)}${'░'.repeat(inner - filled)}]`;
}

const LEVELS = '▁▂▃▄▅▆▇█';

/** One column for each value; the tallest is the largest. */
export function sparkline(values: readonly number[]): string {
  const most = Math.max(0, ...values);
  return values
    .map((value) => {
      // Whatever is above nothing is above the lowest level.
      const level = value <= 0 ? 0 : Math.max(1, Math.round((value / most) * (LEVELS.length - 1)));
      return LEVELS.charAt(level);
    })
    .join('');
}
