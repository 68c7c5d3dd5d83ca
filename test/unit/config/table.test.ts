import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'dotenv';
import { expect, test } from 'vitest';
import { generatedFiles, withMarkedTables } from '../../../scripts/settings-docs.ts';
import { settingsHelp } from '../../../src/cli/settings-help.ts';
import { loadSettings } from '../../../src/config/load.ts';
import type { Machine } from '../../../src/config/machine.ts';
import { MIN_SECRET_LENGTH, OPTION_NAMES, type OptionName, optionOf } from '../../../src/config/options.ts';
import { PROFILE_NAMES, PROFILES } from '../../../src/config/profiles.ts';
import { MIN_SECRET_LENGTH as MIN_MASKED_LENGTH } from '../../../src/observe/redaction.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const machine: Machine = { cwd: root, hostName: 'box', homeDir: '/home/me', isRoot: false, xdgStateHome: null };

test.each(OPTION_NAMES)('%s is described, and builds only on what stands above it', (name) => {
  const option = optionOf(name);
  expect(name).toMatch(/^[A-Z][A-Z0-9_]*$/);
  expect(option.description).toMatch(/^[A-Za-z].*\.$/s);
  expect(option.kind.expects).not.toBe('');
  if (option.flag !== null) expect(option.flag).toMatch(/^--[a-z][a-z-]* <[a-z]+>$/);
  if (option.default.how !== 'computed') return;
  const above = new Set<string>(OPTION_NAMES.slice(0, OPTION_NAMES.indexOf(name)));
  option.default.of({
    machine,
    text: (other) => {
      expect(above).toContain(other);
      return '1';
    },
  });
});

test('no flag is used twice', () => {
  const flags = OPTION_NAMES.map((name) => optionOf(name).flag).filter((flag) => flag !== null);
  expect(new Set(flags).size).toBe(flags.length);
});

test('a secret that is accepted is long enough to be masked', () => expect(MIN_SECRET_LENGTH).toBe(MIN_MASKED_LENGTH));

test.each([...generatedFiles()])('%s is up to date (npm run docs)', (path, content) => {
  expect(readFileSync(join(root, path), 'utf8')).toBe(content);
});

test('the tables in the README are up to date (npm run docs)', () => {
  const path = join(root, 'README.md');
  const readme = existsSync(path) ? readFileSync(path, 'utf8') : '';
  expect(withMarkedTables(readme)).toBe(readme);
});

test('tables replace what stands between the markers, and nothing else', () => {
  const page =
    'a\n<!-- settings:start -->\nSTALE\n<!-- settings:end -->\nb\n<!-- profiles:start -->\n<!-- profiles:end -->\nc';
  const filled = withMarkedTables(page);
  expect(filled).toMatch(/^a\n<!-- settings:start -->\n\| variable .*<!-- settings:end -->\nb\n/s);
  expect(filled).toMatch(/<!-- profiles:start -->\n\| \|.*<!-- profiles:end -->\nc$/s);
  expect(filled).not.toContain('STALE');
  for (const name of OPTION_NAMES) expect(filled).toContain(`\`${name}\``);
  expect(withMarkedTables(filled)).toBe(filled);
  expect(withMarkedTables('no markers')).toBe('no markers');
});

test('the example file names every setting, and what it says works', () => {
  const text = generatedFiles().get('.env.example') ?? '';
  const uncommented = text.replace(/^#(?=[A-Z_]+=)/gm, '');
  expect(Object.keys(parse(uncommented))).toEqual(OPTION_NAMES);
  expect(loadSettings({ env: parse(text), flags: {}, envFile: '/dev/null', machine })).toMatchObject({ ok: true });
  const examples = parse(uncommented);
  // Examples of files name files that are not there.
  for (const name of OPTION_NAMES) if (/_FILE$|_PATH$|^SECRETS_DIR$/.test(name)) delete examples[name];
  const loaded = loadSettings({ env: examples, flags: {}, envFile: '/dev/null', machine });
  expect(loaded.ok ? [] : loaded.problems).toEqual([]);
});

test.each(PROFILE_NAMES)('the file of profile %s holds the profile, readable for docker and dotenv alike', (name) => {
  const text = generatedFiles().get(`docker/profiles/${name}.env`) ?? '';
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  expect(lines).toEqual(Object.entries(PROFILES[name].settings).map(([key, value]) => `${key}=${value}`));
  expect(parse(text)).toEqual(PROFILES[name].settings);
});

test('help names all settings of its reader, within the width', () => {
  const worker = settingsHelp('worker', 80);
  const client = settingsHelp('client', 80);
  const listed = (help: string): string[] =>
    [...help.matchAll(/^ {2}([A-Z][A-Z0-9_]+)(?: {2}\(|$)/gm)].map((found) => found[1] ?? '');
  const sorted = (names: readonly string[]): string[] => [...names].sort();
  expect(sorted(listed(worker))).toEqual(sorted(OPTION_NAMES));
  expect(sorted(listed(client))).toEqual(
    sorted(OPTION_NAMES.filter((name: OptionName) => optionOf(name).scope === 'both')),
  );
});
