import { mkdir, readdir, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { findLeftovers, removeLeftovers, roomOf } from '../../../src/host/own-files.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

async function place() {
  const root = await temporaryDirectory();
  const stateDir = join(root, 'state');
  const repoPath = join(root, 'clone.git');
  await mkdir(stateDir);
  await mkdir(repoPath);
  return { root, stateDir, repoPath };
}

it('finds what a crash left half written, and nothing that is in use, of value, or somebody else’s', async () => {
  const { repoPath, root, stateDir } = await place();
  const old = new Date(Date.now() - 2 * 3_600_000);
  const names = ['quota.json.tmp', 'images.json.new', 'quota.json', 'quota.json.damaged', 'probe.tmp'];
  for (const name of names) await writeFile(join(stateDir, name), 'x');
  for (const name of names.slice(0, 4)) await utimes(join(stateDir, name), old, old);
  await mkdir(join(stateDir, 'old.tmp'));
  await mkdir(`${repoPath}.set-aside/objects`, { recursive: true });
  await writeFile(`${repoPath}.set-aside/objects/pack`, Buffer.alloc(20_000));
  await writeFile(join(root, 'notes.tmp'), 'x');
  await utimes(join(root, 'notes.tmp'), old, old);

  const found = await findLeftovers({ repoPath, stateDir }, Date.now());
  expect(found.map(({ path, place }) => `${place} ${path}`).toSorted()).toEqual([
    `repoPath ${repoPath}.set-aside`,
    `stateDir ${join(stateDir, 'images.json.new')}`,
    `stateDir ${join(stateDir, 'quota.json.tmp')}`,
  ]);
  expect(found.find(({ place }) => place === 'repoPath')).toMatchObject({ inodes: 3 });
  expect(found.find(({ place }) => place === 'repoPath')?.bytes).toBeGreaterThanOrEqual(20_000);

  expect(await removeLeftovers(found, new AbortController().signal)).toHaveLength(3);
  expect((await readdir(stateDir)).toSorted()).toEqual(['old.tmp', 'probe.tmp', 'quota.json', 'quota.json.damaged']);
  expect((await readdir(root)).toSorted()).toEqual(['clone.git', 'notes.tmp', 'state']);
});

it('finds nothing where there is nothing', async () => {
  expect(await findLeftovers({ stateDir: '/nowhere/at/all', repoPath: '/nowhere/clone.git' }, 0)).toEqual([]);
  expect(await roomOf('/nowhere/at/all')).toEqual({ bytes: 0, inodes: 1 });
});

it('counts what a directory takes up, and follows no link out of it', async () => {
  const { repoPath, root } = await place();
  await writeFile(join(root, 'large'), Buffer.alloc(10 * 1024 ** 2));
  await symlink(root, join(repoPath, 'out'));
  await mkdir(join(repoPath, 'objects'));
  await writeFile(join(repoPath, 'objects', 'a'), Buffer.alloc(100_000));
  const room = await roomOf(repoPath);
  expect(room.inodes).toBe(4);
  expect(room.bytes).toBeGreaterThanOrEqual(100_000);
  expect(room.bytes).toBeLessThan(1024 ** 2);
});
