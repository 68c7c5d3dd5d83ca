/** Looks through the operator's secrets at the start, while nothing else waits, so that what is wrong is told then. */
import { closeSync, fstatSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { MAX_POLICY_BYTES } from './policy.ts';
import { MAX_SECRET_BYTES } from './secret.ts';
import {
  ANY_ACCESS,
  fail,
  judgeDirectory,
  judgeFile,
  judgeName,
  judgePolicy,
  judgeSecret,
  READ_AT_ONCE,
  SecretStoreError,
  WRITING,
} from './store.ts';

const MAX_FILES = 1_000;

/** @returns what is wrong with the directory or any of its files, a line each */
export function problemsOfStore(directory: string): string[] {
  let names: string[] = [];
  const whole = problemOf(() => {
    judgeDirectory(
      directory,
      attempt(directory, () => statSync(directory)),
    );
    // Names with a dot in front are for those who lay such a directory out, and none of a secret.
    names = attempt(directory, () => readdirSync(directory)).filter((name) => !name.startsWith('.'));
    if (names.length > MAX_FILES) throw new SecretStoreError(`${directory} has more than ${MAX_FILES} files`);
  });
  if (whole.length > 0) return whole;
  return names.flatMap((name) =>
    problemOf(() => {
      judgeName(name);
      const path = join(directory, name);
      judgeSecret(path, name, readFile(path, MAX_SECRET_BYTES, ANY_ACCESS));
    }),
  );
}

/** @returns what is wrong with it, in a line; nothing when it can be used */
export function problemsOfPolicy(path: string): string[] {
  return problemOf(() => judgePolicy(path, readFile(path, MAX_POLICY_BYTES, WRITING)));
}

function problemOf(look: () => unknown): string[] {
  try {
    look();
    return [];
  } catch (error) {
    if (error instanceof SecretStoreError) return [error.message];
    throw error;
  }
}

function attempt<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    return fail(path, error);
  }
}

function readFile(path: string, maxBytes: number, forbidden: number): Buffer {
  const file = attempt(path, () => openSync(path, READ_AT_ONCE));
  try {
    return attempt(path, () => {
      judgeFile(path, fstatSync(file), maxBytes, forbidden);
      const buffer = Buffer.alloc(maxBytes + 1);
      return buffer.subarray(0, readSync(file, buffer, 0, maxBytes + 1, 0));
    });
  } finally {
    closeSync(file);
  }
}
