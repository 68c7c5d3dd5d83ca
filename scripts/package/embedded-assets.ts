/** The files that are not code and go into the executable, by the path that src/assets.ts is asked for. */
import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { PAGES_DIR } from '../../src/pages/page-files.ts';

const SINGLE_FILES = ['package.json'];
/** Whole directories, as the build left them. */
const DIRECTORIES = [PAGES_DIR];

/** @returns where each lies, in the order of their names: what is made of them must not depend on the disk. */
export async function embeddedAssets(root: string): Promise<Map<string, string>> {
  const paths = [...SINGLE_FILES];
  for (const directory of DIRECTORIES) paths.push(...(await filesBelow(root, directory)));
  return new Map(paths.toSorted().map((path) => [path, join(root, path)]));
}

/** None where the build made none. */
async function filesBelow(root: string, directory: string): Promise<string[]> {
  try {
    const entries = await readdir(join(root, directory), { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile() && !entry.name.endsWith('.map'));
    return files.map(({ parentPath, name }) => relative(root, join(parentPath, name)).replaceAll('\\', '/'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
