/** Settings that name a file or a directory. */
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Machine } from './machine.ts';
import { bad, good, hasControl, type Parsed, type ValueKind } from './value-kind.ts';

/** Absolute, from the working directory; `~/` is the home, because nobody expands it in an environment file. */
export function absolutePath(text: string, machine: Machine): Parsed<string> {
  if (hasControl(text)) return bad('must be a path without control characters');
  if (text !== '~' && !text.startsWith('~/')) return good(resolve(machine.cwd, text));
  if (machine.homeDir === null) return bad('starts with ~ but this user has no home: write the whole path');
  return good(join(machine.homeDir, text.slice(1)));
}

function pathKind(expects: string, check: (path: string) => string | null): ValueKind<string> {
  return {
    unit: null,
    expects,
    parse(text, machine) {
      const path = absolutePath(text, machine);
      if (!path.ok) return path;
      const problem = check(path.value);
      return problem === null ? path : bad(problem);
    },
    format: String,
    plain: (value) => value,
  };
}

/** A path that need not exist yet. */
export function path(): ValueKind<string> {
  return pathKind('a path', () => null);
}

export function readableFile(): ValueKind<string> {
  return pathKind('a file that this user can read', (file) => {
    const kind = kindOf(file);
    if (kind === 'missing') return 'names a file that does not exist: correct the path, or create the file';
    if (kind === 'directory') return 'names a directory: a file is needed';
    return canAccess(file, constants.R_OK) ? null : 'names a file that this user may not read: change its permissions';
  });
}

const MAX_TOKEN_FILE_BYTES = 4096;

/** A file with one token. What it holds may be another one later; that it holds one at the start saves a long search. */
export function tokenFile(minLength: number): ValueKind<string> {
  const file = readableFile();
  return {
    ...file,
    expects: `a file that this user can read, with one line of at least ${minLength} visible ASCII characters without blanks`,
    parse(text, machine) {
      const path = file.parse(text, machine);
      if (!path.ok) return path;
      const problem = problemOfToken(path.value, minLength);
      return problem === null ? path : bad(problem);
    },
  };
}

function problemOfToken(path: string, minLength: number): string | null {
  let token: string;
  try {
    const found = statSync(path);
    if (!found.isFile()) return 'names something else than a file: name a file with the token in it';
    if (found.size > MAX_TOKEN_FILE_BYTES) {
      return `names a file of ${found.size} bytes: put nothing but the token into it`;
    }
    token = readFileSync(path, 'utf8').trim();
  } catch (error) {
    return `names a file that cannot be read: ${(error as Error).message}`;
  }
  return /^[!-~]*$/.test(token) && token.length >= minLength
    ? null
    : `names a file that holds no token: put one line of at least ${minLength} visible characters without blanks into it`;
}

export function readableDirectory(): ValueKind<string> {
  return pathKind('a directory that this user can read', (directory) => {
    const kind = kindOf(directory);
    if (kind === 'missing') return 'names a directory that does not exist: correct the path, or create it';
    if (kind === 'file') return 'names a file: a directory is needed';
    return canAccess(directory, constants.R_OK | constants.X_OK)
      ? null
      : 'names a directory that this user may not read: change its permissions';
  });
}

/** Not to be mistaken for a file, since those are absolute. */
export const STDOUT = 'stdout';

/** `stdout` (or `-`), or a file that can be appended to; missing directories are made when the log is opened. */
export function logDestination(): ValueKind<string> {
  const file = pathKind('stdout, or a file that this user can write', (path) => {
    const kind = kindOf(path);
    if (kind === 'directory') return 'names a directory: name a file in it';
    if (kind === 'file') return canAccess(path, constants.W_OK) ? null : 'names a file that this user may not write';
    return canAccess(nearestExisting(dirname(path)), constants.W_OK | constants.X_OK)
      ? null
      : 'names a file in a place where this user may not write: choose another, or change the permissions';
  });
  return {
    ...file,
    parse: (text, machine) => (text === 'stdout' || text === '-' ? good(STDOUT) : file.parse(text, machine)),
  };
}

/** `hidden`: in a directory that this user may not look into. */
export function kindOf(path: string): 'missing' | 'directory' | 'file' | 'hidden' {
  try {
    const found = statSync(path, { throwIfNoEntry: false });
    if (!found) return 'missing';
    return found.isDirectory() ? 'directory' : 'file';
  } catch {
    return 'hidden';
  }
}

function canAccess(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}

function nearestExisting(directory: string): string {
  let at = directory;
  while (kindOf(at) === 'missing' && dirname(at) !== at) at = dirname(at);
  return at;
}
