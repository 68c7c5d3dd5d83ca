/**
 * Where settings come from, strongest first: flag, environment, `.env` file, profile, default. Nothing here changes
 * `process.env`: what is written in a file reaches the settings and no child process.
 */
import { join, resolve } from 'node:path';
import { config as readEnvFile } from 'dotenv';
import { kindOf } from './file-kind.ts';
import type { Environment } from './machine.ts';
import { type OptionName, optionOf } from './options.ts';
import type { Problem } from './rules.ts';

export type Origin =
  | { source: 'flag'; flag: string }
  | { source: 'environment' }
  | { source: 'env-file'; path: string }
  | { source: 'profile'; profile: string }
  | { source: 'default' };

export interface Layer {
  origin(name: OptionName): Origin;
  values: Environment;
}

export function originText(origin: Origin): string {
  if (origin.source === 'flag') return `flag ${origin.flag}`;
  if (origin.source === 'env-file') return `file ${origin.path}`;
  return origin.source === 'profile' ? `profile ${origin.profile}` : origin.source;
}

export function flagLayer(flags: Partial<Record<OptionName, string>>): Layer {
  return {
    values: flags,
    origin: (name) => ({ source: 'flag', flag: optionOf(name).flag?.split(' ')[0] ?? name }),
  };
}

export function environmentLayer(env: Environment): Layer {
  return { values: env, origin: () => ({ source: 'environment' }) };
}

export function profileLayer(profile: string, settings: Environment): Layer {
  return { values: settings, origin: () => ({ source: 'profile', profile }) };
}

/**
 * The layer of an environment file: the one that was named, which must be there, or `.env` in the working directory if
 * there is such a file.
 */
export function fileLayer(
  envFile: string | null,
  cwd: string,
): { ok: true; layer: Layer | null } | { ok: false; problem: Problem } {
  const path = envFile === null ? join(cwd, '.env') : resolve(cwd, envFile);
  // A directory called `.env` is a common name for a Python environment, and none of our business.
  if (envFile === null && kindOf(path) !== 'file') return { ok: true, layer: null };
  const shown = envFile ?? '.env';
  const { parsed, error } = readEnvFile({ path, encoding: 'utf8', quiet: true, debug: false, processEnv: {} });
  if (error || !parsed) {
    return { ok: false, problem: { name: '--env-file', message: `${shown} cannot be read: ${reasonOf(error)}` } };
  }
  return { ok: true, layer: { values: parsed, origin: () => ({ source: 'env-file', path: shown }) } };
}

const READ_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file. Correct the path',
  EACCES: 'permission denied. Change its permissions',
  EISDIR: 'it is a directory. Name a file',
};

/** The error's own text could repeat what the file holds. */
function reasonOf(error: { code?: string } | undefined): string {
  const code = error?.code ?? 'unknown error';
  return READ_ERRORS[code] ?? code;
}
