/** The table of settings as help text. */
import { defaultText, OPTION_GROUPS, type OptionGroup } from '../config/option.ts';
import { OPTION_NAMES, optionOf } from '../config/options.ts';
import { displayWidth } from './display-width.ts';

const INDENT = '  ';
const MIN_COLUMNS = 40;

/** @param reader whose settings: the worker's are all. */
export function settingsHelp(reader: 'worker' | 'client', columns: number): string {
  const lines = [
    'Settings (flag > environment > .env file > profile > default):',
    ...(Object.keys(OPTION_GROUPS) as OptionGroup[]).flatMap((group) => groupLines(group, reader, columns)),
  ];
  return lines.join('\n');
}

function groupLines(group: OptionGroup, reader: 'worker' | 'client', columns: number): string[] {
  const names = OPTION_NAMES.map((name) => ({ name, option: optionOf(name) })).filter(
    ({ option }) => option.group === group && (reader === 'worker' || option.scope === 'both'),
  );
  if (names.length === 0) return [];
  return [
    '',
    `${INDENT}${OPTION_GROUPS[group]}`,
    ...names.flatMap(({ name, option }) => {
      const fallback = defaultText(option.default);
      const facts = [
        ...(option.default.how === 'required' ? ['required'] : []),
        ...(fallback === '' ? [] : [`default: ${fallback}`]),
        ...(option.kind.unit === null ? [] : [`in ${option.kind.unit}`]),
        ...(option.flag === null ? [] : [option.flag]),
      ];
      const heading = `${INDENT}${name}${facts.length > 0 ? `  (${facts.join('; ')})` : ''}`;
      return [heading, ...wrap(option.description, columns, INDENT.repeat(3))];
    }),
  ];
}

/** Breaks at spaces; a word longer than the line stays whole. */
export function wrap(text: string, columns: number, indent: string): string[] {
  const room = Math.max(columns, MIN_COLUMNS) - indent.length;
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (displayWidth(longer) > room && line !== '') {
      lines.push(indent + line);
      line = word;
    } else line = longer;
  }
  return [...lines, indent + line];
}
