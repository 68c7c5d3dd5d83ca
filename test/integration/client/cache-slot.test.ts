import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type CacheSlot, MAX_CACHE_SLOTS, takeCacheSlot } from '../../../src/client/cache-slot.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const URL_A = 'https://example.org/a.git';

it('gives every client a place of its own, the first free one, and a temporary one when all are taken', async () => {
  const home = await temporaryDirectory();
  const slots: CacheSlot[] = [];
  for (let number = 0; number < MAX_CACHE_SLOTS + 2; number += 1) slots.push(await takeCacheSlot(home, URL_A));
  expect(new Set(slots.map(({ path }) => path)).size).toBe(slots.length);
  expect(slots.filter(({ lasting }) => lasting)).toHaveLength(MAX_CACHE_SLOTS);
  const other = await takeCacheSlot(home, 'https://example.org/b.git');
  expect(other.lasting).toBe(true);
  await slots[3]?.release();
  const next = await takeCacheSlot(home, URL_A);
  expect(next.path).toBe(slots[3]?.path);
  const temporary = slots.filter(({ lasting }) => !lasting);
  await Promise.all([...slots, next, other].map((slot) => slot.release()));
  for (const { path } of temporary) expect(existsSync(path)).toBe(false);
});

it('needs no cache directory', async () => {
  const home = await temporaryDirectory();
  writeFileSync(join(home, 'file'), '');
  for (const place of [null, join(home, 'file')]) {
    const slot = await takeCacheSlot(place, URL_A);
    expect(slot.lasting).toBe(false);
    await slot.release();
    expect(existsSync(slot.path)).toBe(false);
  }
});
