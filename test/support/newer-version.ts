/** A version that does not exist yet: the present sources with one more field of task files, `hologram`, that does nothing. */
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');
const BEFORE = '      admission: admissionSchema';
const FIELD = '      hologram: z.boolean().optional(),\n';

/** @returns the command that runs its worker with a stub engine. @param directory of the test, for the copy */
export async function newerStubWorker(directory: string): Promise<readonly string[]> {
  await mkdir(join(directory, 'test'), { recursive: true });
  for (const part of ['src', 'test/support', 'package.json', 'tsconfig.json']) {
    await cp(join(ROOT, part), join(directory, part), { recursive: true });
  }
  await symlink(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
  const path = join(directory, 'src/task/task-schema.ts');
  const text = await readFile(path, 'utf8');
  if (!text.includes(BEFORE)) throw new Error(`${path} has no place for another field: mend newer-version.ts`);
  await writeFile(path, text.replace(BEFORE, `${FIELD}${BEFORE}`));
  return [process.execPath, join(directory, 'test/support/stub-worker.ts')];
}
