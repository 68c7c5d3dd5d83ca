import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OwnedImages } from '../../../../src/executor/docker/owned-images.ts';

let directory: string;
let file: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'owned-images-'));
  file = join(directory, 'deep', 'images.json');
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

describe('OwnedImages', () => {
  it('remembers across restarts, the newest id of each name', async () => {
    const images = new OwnedImages(file);
    expect(await images.list()).toEqual([]);
    await Promise.all([images.add({ name: 'a', id: '1', usedMs: 7 }), images.add({ name: 'b', id: '2', usedMs: 7 })]);
    await images.add({ name: 'a', id: '3', usedMs: 7 });
    await images.forget('b');
    await images.forget('never');
    const later = new OwnedImages(file);
    expect(await later.list()).toEqual([{ name: 'a', id: '3', usedMs: 7 }]);
    expect(await later.has('a', '3')).toBe(true);
    expect(await later.has('a', '1')).toBe(false);
    expect(await readdir(join(directory, 'deep'))).toEqual(['images.json']);
  });

  it('forgets the oldest past a thousand', async () => {
    const many = join(directory, 'many.json');
    const before = Array.from({ length: 1_000 }, (_, index) => ({ name: `n${index}`, id: 'x' }));
    await writeFile(many, JSON.stringify({ images: before }));
    const images = new OwnedImages(many);
    await images.add({ name: 'one-more', id: 'x', usedMs: 7 });
    const names = (await images.list()).map(({ name }) => name);
    expect(names).toHaveLength(1_000);
    expect(names).not.toContain('n0');
    expect(names).toContain('one-more');
  });

  it.each(['', 'no json', '{"images": 3}', '{"images": [null, {"name": 1, "id": "x"}]}', '[]'])(
    'claims nothing from a damaged file: %j',
    async (text) => {
      const damaged = join(directory, 'images.json');
      await writeFile(damaged, text);
      expect(await new OwnedImages(damaged).list()).toEqual([]);
      expect(await readFile(damaged, 'utf8')).toBe(text);
    },
  );

  it('says when it cannot remember', async () => {
    await writeFile(join(directory, 'deep'), 'a file where the directory should be');
    const images = new OwnedImages(file);
    await expect(images.add({ name: 'a', id: '1', usedMs: 7 })).rejects.toThrow();
    await images.settled();
  });
});
