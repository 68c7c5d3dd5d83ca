/** Documentation made from the table of settings and the profiles. */

import { wrap } from '../src/cli/settings-help.ts';
import { defaultText, OPTION_GROUPS, type OptionGroup } from '../src/config/option.ts';
import { isOptionName, OPTION_NAMES, type OptionName, optionOf } from '../src/config/options.ts';
import { PROFILE_NAMES, PROFILES, type ProfileName } from '../src/config/profiles.ts';

const COLUMNS = 100;
const GROUPS = Object.keys(OPTION_GROUPS) as OptionGroup[];

/** Path in the repository → content. */
export function generatedFiles(): Map<string, string> {
  const files = new Map([
    ['.env.example', exampleFile()],
    ['docs/settings.md', settingsPage()],
  ]);
  for (const name of PROFILE_NAMES) files.set(`docker/profiles/${name}.env`, profileFile(name));
  return files;
}

/** Replaces what stands between the markers, where there are markers. */
export function withMarkedTables(markdown: string): string {
  return replaceBetween(replaceBetween(markdown, 'settings', settingsTable(OPTION_NAMES)), 'profiles', profilesTable());
}

/** Lines that `docker run --env-file` and a `.env` reader understand alike: no quotation marks, no trailing comments. */
function exampleFile(): string {
  const lines = [
    '# Settings of D-GRID. Copy this file to .env in the directory where you start the worker, and remove the # before',
    '# what you change. Variables of the environment and flags beat this file; it beats profiles and defaults.',
    '# An empty value counts as unset.',
  ];
  for (const group of GROUPS) {
    lines.push('', `# --- ${OPTION_GROUPS[group]} ---`);
    for (const name of namesOf(group)) {
      const option = optionOf(name);
      lines.push('', ...wrap(`${option.description}${factsOf(name)}`, COLUMNS, '# '));
      lines.push(`${option.default.how === 'required' ? '' : '#'}${name}=${exampleValue(name)}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

function exampleValue(name: OptionName): string {
  const { default: standard, example } = optionOf(name);
  return standard.how === 'fixed' && standard.text !== '' ? standard.text : (example ?? '');
}

function factsOf(name: OptionName): string {
  const { default: standard, kind } = optionOf(name);
  const fallback = defaultText(standard);
  const facts = [
    ...(standard.how === 'required' ? ['Required.'] : []),
    ...(kind.unit === null ? [] : [`In ${kind.unit}.`]),
    ...(fallback === '' ? [] : [`Default: ${fallback}.`]),
  ];
  return facts.length === 0 ? '' : ` ${facts.join(' ')}`;
}

function profileFile(name: ProfileName): string {
  const { description, settings } = PROFILES[name];
  return [
    `# Profile "${name}", for docker run --env-file. ${description}`,
    `# The same as DGRID_PROFILE=${name}, except that a profile named that way gives way to every other source.`,
    ...Object.entries(settings).map(([key, value]) => `${key}=${value}`),
    '',
  ].join('\n');
}

function settingsPage(): string {
  return `${[
    '# Settings',
    '',
    'Made from the table in `src/config/options.ts` by `npm run docs`; do not edit it here.',
    '',
    'A setting is read from the first of these places that has it: a flag, a variable of the environment, the file `.env`',
    'in the working directory (or the one named by `--env-file`), the profile, the default. An empty value counts as unset.',
    'A relative path starts at the working directory, and `~/` at the home directory. Sizes are written in bytes or with k,',
    'm, g or t (powers of 1024; `512m`, `512MB` and `512MiB` are the same).',
    '',
    '`dgrid-worker config` shows what is in force and where it comes from. A wrong value, a combination that cannot work, or',
    'an unknown variable that begins with `DGRID_` stops the start with exit code 2 and a list of all that is wrong.',
    'The client `dgrid` reads only the settings marked with *.',
    ...GROUPS.flatMap((group) => ['', `## ${OPTION_GROUPS[group]}`, '', settingsTable(namesOf(group), true)]),
    '',
    '## Profiles',
    '',
    'Named with `--profile NAME` or `DGRID_PROFILE=NAME`. Whatever is set explicitly beats the profile. The same sets are in',
    '`docker/profiles/NAME.env` for `docker run --env-file`.',
    '',
    profilesTable(),
    '',
    ...PROFILE_NAMES.map((name) => `- \`${name}\`: ${PROFILES[name].description}`),
  ].join('\n')}\n`;
}

function settingsTable(names: readonly OptionName[], detailed = false): string {
  const heading = detailed
    ? ['| variable | default | unit | flag | |', '| --- | --- | --- | --- | --- |']
    : ['| variable | default | unit | |', '| --- | --- | --- | --- |'];
  const rows = names.map((name) => {
    const { kind, flag, description, default: standard, scope, secret } = optionOf(name);
    const cells = [
      `\`${name}\`${detailed && scope === 'both' ? ' *' : ''}`,
      shownDefault(name),
      kind.unit ?? '',
      ...(detailed ? [flag === null ? '' : `\`${flag}\``] : []),
      escaped(
        `${standard.how === 'required' ? 'Required. ' : ''}${description}${secret ? ' Secret.' : ''}${detailed ? ` Must be ${kind.expects}.` : ''}`,
      ),
    ];
    return `| ${cells.join(' | ')} |`;
  });
  return [...heading, ...rows].join('\n');
}

function shownDefault(name: OptionName): string {
  const { default: standard } = optionOf(name);
  const text = defaultText(standard);
  if (text === '') return '–';
  return standard.how === 'fixed' ? `\`${text}\`` : escaped(text);
}

/** Without what Markdown or HTML would take for its own; names of settings as code. */
function escaped(text: string): string {
  return text
    .replace(/[|<>*\\]/g, '\\$&')
    .replace(/\b[A-Z]+(?:_[A-Z]+)+\b/g, (word) => (isOptionName(word) ? `\`${word}\`` : word));
}

function profilesTable(): string {
  const names = [...new Set(PROFILE_NAMES.flatMap((name) => Object.keys(PROFILES[name].settings)))];
  return [
    `| | ${PROFILE_NAMES.join(' | ')} |`,
    `| --- |${' --- |'.repeat(PROFILE_NAMES.length)}`,
    ...names.map((name) => {
      const values = PROFILE_NAMES.map((profile) => PROFILES[profile].settings[name] ?? '–');
      return `| \`${name}\` | ${values.join(' | ')} |`;
    }),
  ].join('\n');
}

function namesOf(group: OptionGroup): OptionName[] {
  return OPTION_NAMES.filter((name) => optionOf(name).group === group);
}

function replaceBetween(markdown: string, marker: string, content: string): string {
  const start = `<!-- ${marker}:start -->`;
  const end = `<!-- ${marker}:end -->`;
  const from = markdown.indexOf(start);
  const to = markdown.indexOf(end, from);
  if (from < 0 || to < 0) return markdown;
  return `${markdown.slice(0, from + start.length)}\n${content}\n${markdown.slice(to)}`;
}
