/** Small files that must be whole after a crash: the old contents or the new, never half of either. */
import { open, readFile, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

export type StateFileErrorKind = 'unreadable' | 'unwritable';

export class StateFileError extends Error {
  override readonly name = 'StateFileError';
  readonly kind: StateFileErrorKind;
  readonly path: string;
  constructor(kind: StateFileErrorKind, path: string, cause: unknown) {
    super(`${path} cannot be ${kind === 'unreadable' ? 'read' : 'written'}: ${(cause as Error).message}`, { cause });
    this.kind = kind;
    this.path = path;
  }
}

/** @returns null when there is no such file, or when it is longer than `maxBytes`. @throws StateFileError `unreadable` */
export async function readStateFile(
  path: string,
  maxBytes: number,
): Promise<{ bytes: Uint8Array | null; modifiedMs: number } | null> {
  try {
    const { size, mtimeMs } = await stat(path);
    return { bytes: size > maxBytes ? null : await readFile(path), modifiedMs: mtimeMs };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new StateFileError('unreadable', path, error);
  }
}

/**
 * Durable when it returns. Only one write to a path may run at a time: the temporary file has a fixed name, so that a
 * crash leaves at most one behind.
 * @throws StateFileError `unwritable`; the new contents may then be in place all the same.
 */
export async function writeStateFile(path: string, contents: string): Promise<void> {
  const temporary = `${path}.tmp`;
  try {
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(contents);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    // The new name itself survives a power cut only once the directory is written too.
    const directory = await open(dirname(path), 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  } catch (error) {
    throw new StateFileError('unwritable', path, error);
  }
}
