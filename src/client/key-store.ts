/** Files of keys on a person's or an operator's machine: read whole, replaced whole. */
import { readFile, rename, stat, writeFile } from 'node:fs/promises';

/** @returns the empty text where there is no such file yet. @throws the file system's error */
export async function readKeyFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

/** Workers read it at any moment: they find the old text or the new one. @throws the file system's error */
export async function replaceKeyFile(path: string, text: string): Promise<void> {
  const mode = await stat(path).then(
    (found) => found.mode & 0o777,
    () => 0o644,
  );
  const temporary = `${path}.new`;
  await writeFile(temporary, text, { mode });
  await rename(temporary, path);
}
