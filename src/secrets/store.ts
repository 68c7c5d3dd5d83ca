/**
 * The operator's secrets on this machine: a directory with one file for each, and a file that says who may have them. Both
 * are read at each use, so that they can be replaced while the worker runs. Nothing of them is kept.
 */
import { constants, type Stats } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { MAX_POLICY_BYTES, parseSecretsPolicy, type SecretsPolicy } from './policy.ts';
import { MAX_SECRET_BYTES, problemOf, SECRET_NAME, type Secret } from './secret.ts';

/** What is there cannot be used; the message says what to do. It never repeats contents. */
export class SecretStoreError extends Error {
  override readonly name = 'SecretStoreError';
}

/** Not to wait for whoever may write into a pipe. */
export const READ_AT_ONCE = constants.O_RDONLY | constants.O_NONBLOCK;
/** For anybody but the owner. */
export const ANY_ACCESS = 0o077;
export const WRITING = 0o022;

/** @throws SecretStoreError */
export async function readSecret(directory: string, name: string): Promise<Secret> {
  judgeName(name);
  judgeDirectory(directory, await stat(directory).catch((error: unknown) => fail(directory, error)));
  const path = join(directory, name);
  return judgeSecret(path, name, await readFile(path, MAX_SECRET_BYTES, ANY_ACCESS));
}

/** @throws SecretStoreError */
export async function readPolicy(path: string): Promise<SecretsPolicy> {
  return judgePolicy(path, await readFile(path, MAX_POLICY_BYTES, WRITING));
}

async function readFile(path: string, maxBytes: number, forbidden: number): Promise<Buffer> {
  const file = await open(path, READ_AT_ONCE).catch((error: unknown) => fail(path, error));
  try {
    judgeFile(path, await file.stat(), maxBytes, forbidden);
    // It may have grown meanwhile.
    const { buffer, bytesRead } = await file.read(Buffer.alloc(maxBytes + 1), 0, maxBytes + 1, 0);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    return fail(path, error);
  } finally {
    await file.close();
  }
}

/** @throws SecretStoreError */
export function judgeName(name: string): void {
  if (!SECRET_NAME.test(name)) {
    throw new SecretStoreError(`${JSON.stringify(name)} is no name of a secret: use letters, figures and ". _ -"`);
  }
}

/** @throws SecretStoreError */
export function judgeDirectory(path: string, stats: Stats): void {
  if (!stats.isDirectory()) throw new SecretStoreError(`${path} is no directory`);
  judgeRights(path, stats, ANY_ACCESS);
}

/** @throws SecretStoreError */
export function judgeFile(path: string, stats: Stats, maxBytes: number, forbidden: number): void {
  if (!stats.isFile()) throw new SecretStoreError(`${path} is no file`);
  judgeRights(path, stats, forbidden);
  if (stats.size > maxBytes) throw new SecretStoreError(`${path} is longer than ${maxBytes} bytes: shorten it`);
}

/** @throws SecretStoreError */
export function judgeSecret(path: string, name: string, bytes: Uint8Array): Secret {
  const problem = problemOf(bytes);
  if (problem !== null) throw new SecretStoreError(`${path} ${problem}`);
  return { name, bytes };
}

/** @throws SecretStoreError */
export function judgePolicy(path: string, bytes: Uint8Array): SecretsPolicy {
  const parsed = parseSecretsPolicy(bytes);
  if (!parsed.ok) throw new SecretStoreError(`${path}: ${parsed.problems.join('; ')}`);
  return parsed.policy;
}

/** @throws SecretStoreError, always: the file system's error in words */
export function fail(path: string, error: unknown): never {
  if (error instanceof SecretStoreError) throw error;
  const { code = 'no reason given' } = error as NodeJS.ErrnoException;
  throw new SecretStoreError(code === 'ENOENT' ? `${path} does not exist` : `${path} cannot be read (${code})`);
}

function judgeRights(path: string, stats: Stats, forbidden: number): void {
  const own = process.getuid?.();
  if (own !== undefined && stats.uid !== own && stats.uid !== 0) {
    throw new SecretStoreError(`${path} belongs to another user: give it to the worker's user, or to root`);
  }
  if ((stats.mode & forbidden) === 0) return;
  const what = forbidden === ANY_ACCESS ? 'reached' : 'written';
  const remedy = forbidden === ANY_ACCESS ? 'go=' : 'go-w';
  throw new SecretStoreError(`${path} can be ${what} by other users: chmod ${remedy} ${path}`);
}
