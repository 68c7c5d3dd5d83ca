/** How many columns of a terminal a text takes. */
import { stripVTControlCharacters } from 'node:util';

/** East Asian wide and full-width forms; close enough for names and messages. */
const WIDE =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;
const ZERO = /^[\p{Mn}\p{Me}\p{Cf}]+$/u;
const ELLIPSIS = '…';

/** Escape sequences for colours count nothing. */
export function displayWidth(text: string): number {
  const plain = stripVTControlCharacters(text);
  if (/^[\u0020-\u007e]*$/.test(plain)) return plain.length;
  let width = 0;
  for (const { segment } of new Intl.Segmenter().segment(plain)) width += graphemeWidth(segment);
  return width;
}

/** `text` without escape sequences, cut to at most `width` columns with an ellipsis at the end. */
export function truncate(text: string, width: number): string {
  const plain = stripVTControlCharacters(text);
  if (displayWidth(plain) <= width) return plain;
  if (width < 1) return '';
  let kept = '';
  let used = 0;
  for (const { segment } of new Intl.Segmenter().segment(plain)) {
    const next = used + graphemeWidth(segment);
    if (next > width - 1) break;
    kept += segment;
    used = next;
  }
  return kept + ELLIPSIS;
}

/** What a terminal obeys, and marks that turn the direction of writing so that a text seems another one. */
// oxlint-disable-next-line no-control-regex -- they are what is replaced
const ACTING = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
/** Colours, as `styleText` writes them. */
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const COLOUR = /(\u001b\[\d{1,2}(?:;\d{1,2}){0,2}m)/;

/**
 * One line that can be printed safely: names and messages come from other people, and a terminal obeys the control
 * characters in them.
 */
export function printable(text: string): string {
  return text.replace(new RegExp(`${ACTING.source}+`, 'g'), ' ');
}

/** Lines that were put together here: colours and line feeds stay, nothing else that a terminal would obey. */
export function harmless(lines: string): string {
  return lines
    .split(COLOUR)
    .map((part, at) => (at % 2 === 1 ? part : part.split('\n').map(printable).join('\n')))
    .join('');
}

/** For a terminal that is to show what a program wrote: as `cat -v` does it. Line ends and tabs stay. */
export function spelledOut(text: string): string {
  return text.replaceAll('\r\n', '\n').replace(ACTING, (character) => {
    const code = character.charCodeAt(0);
    if (character === '\n' || character === '\t') return character;
    if (code < 0x20) return `^${String.fromCharCode(code + 0x40)}`;
    return code === 0x7f ? '^?' : `<U+${code.toString(16).toUpperCase().padStart(4, '0')}>`;
  });
}

function graphemeWidth(grapheme: string): number {
  if (ZERO.test(grapheme)) return 0;
  return WIDE.test(grapheme) || /\p{Emoji_Presentation}|\ufe0f/u.test(grapheme) ? 2 : 1;
}
