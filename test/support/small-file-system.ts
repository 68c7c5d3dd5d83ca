/** Real file systems that are small enough to fill. Mounting needs root, as the engine does. */
import { execFile } from 'node:child_process';
import { mkdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { onTestFinished } from 'vitest';
import { temporaryDirectory } from './temporary-directory.ts';

const run = promisify(execFile);

/** @returns the path of an empty ext4 file system of `megabytes`, with as many inodes as usual or so many. */
export async function smallExt4(megabytes: number, inodes?: number): Promise<string> {
  const directory = await temporaryDirectory();
  const image = join(directory, 'image');
  await writeFile(image, '');
  await truncate(image, megabytes * 1024 ** 2);
  await run('mkfs.ext4', ['-q', '-F', ...(inodes === undefined ? [] : ['-N', String(inodes)]), image]);
  return mount(directory, ['-o', 'loop', image]);
}

/** @returns the path of an empty file system in memory with room for `inodes` files and directories. */
export async function smallTmpfs(megabytes: number, inodes: number): Promise<string> {
  return mount(await temporaryDirectory(), ['-t', 'tmpfs', '-o', `size=${megabytes}m,nr_inodes=${inodes}`, 'tmpfs']);
}

async function mount(directory: string, args: string[]): Promise<string> {
  const path = join(directory, 'mounted');
  await mkdir(path);
  await run('mount', [...args, path]);
  // Registered after the directory's removal, so it runs before it.
  onTestFinished(async () => {
    await run('umount', [path]);
  });
  return path;
}
