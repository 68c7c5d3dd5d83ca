/**
 * Every secret that this machine's settings lead to, so that none of them gets into a bundle, by whatever way it came into a
 * log or an error. Read here and kept in memory only. What cannot be read is not there to be masked either.
 */
import { readdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Environment } from '../config/machine.ts';
import { OPTION_NAMES, type OptionName, optionOf } from '../config/options.ts';

/** Of settings: files that hold a secret, whatever they are called in time to come. */
const SECRET_FILE = /(?:TOKEN|SECRET|KEY|PASSWORD)_FILE$/;
/** Of other variables of the environment. */
const SECRET_NAME = /TOKEN|SECRET|PASS|KEY|CREDENTIAL|AUTH|COOKIE|SIGNATURE/i;
/** Of Docker's config.json, also of one that is damaged. */
const REGISTRY_SECRET = /"(?:auth|password|identitytoken|registrytoken)"\s*:\s*"((?:[^"\\]|\\.)*)"/g;
const URL_WITH_PASSWORD = /[a-z][a-z0-9+.-]*:\/\/[^\s/@:]*:([^\s/@]+)@/gi;
/** A shorter value is a word, and masking it would mask half of the bundle. */
const MIN_VARIABLE_LENGTH = 8;
/** A log has texts line by line. */
const MIN_LINE_LENGTH = 12;
const MAX_FILE_BYTES = 1024 * 1024;
const MAX_FILES = 1_000;

type Values = Readonly<Partial<Record<OptionName, unknown>>>;

/** Never throws. @param values of the settings, as far as they could be read */
export async function secretsOf(values: Values, env: Environment): Promise<string[]> {
  const texts: string[] = [];
  for (const name of OPTION_NAMES) {
    const value = values[name];
    if (typeof value !== 'string') continue;
    if (optionOf(name).secret) texts.push(value);
    if (SECRET_FILE.test(name)) texts.push(await contentOf(value));
  }
  const { SECRETS_DIR: dir, DOCKER_CONFIG: config } = values;
  if (typeof dir === 'string') {
    for (const name of (await readdir(dir).catch(() => [])).slice(0, MAX_FILES))
      texts.push(await contentOf(join(dir, name)));
  }
  texts.push(
    ...registrySecrets(await contentOf(join(typeof config === 'string' ? config : dockerHome(), 'config.json'))),
  );
  for (const [name, value = ''] of Object.entries(env)) {
    if (SECRET_NAME.test(name) && value.length >= MIN_VARIABLE_LENGTH && !isPath(value)) texts.push(value);
    for (const [, password = ''] of value.matchAll(URL_WITH_PASSWORD)) texts.push(password, decoded(password));
  }
  return [...new Set(texts.flatMap(withLines))].filter((text) => text !== '');
}

function withLines(text: string): string[] {
  const whole = text.trim();
  const lines = whole.split('\n').map((line) => line.trim());
  if (lines.length === 1) return [whole];
  return [whole, ...lines.filter((line) => line.length >= MIN_LINE_LENGTH && !line.startsWith('-----'))];
}

function registrySecrets(config: string): string[] {
  return [...config.matchAll(REGISTRY_SECRET)].flatMap(([, value = '']) => {
    const pair = Buffer.from(value, 'base64').toString('utf8');
    const colon = pair.indexOf(':');
    return colon < 1 ? [value] : [value, pair, pair.slice(colon + 1)];
  });
}

/** Where a secret lies is none. */
function isPath(value: string): boolean {
  return /^(?:unix:\/\/)?\/[\w./-]*$/.test(value);
}

function dockerHome(): string {
  try {
    return join(homedir(), '.docker');
  } catch {
    return '/nonexistent';
  }
}

async function contentOf(path: string): Promise<string> {
  try {
    const bytes = await readFile(path);
    return bytes.length <= MAX_FILE_BYTES ? bytes.toString('utf8') : '';
  } catch {
    return '';
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
