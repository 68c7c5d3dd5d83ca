import { expect, it } from 'vitest';
import type { Oid } from '../../../src/git/oid.ts';
import { Sightings } from '../../../src/ledger/sightings.ts';
import { nodeId } from '../../../src/task/id.ts';

const BOX = nodeId('box');
const NEW = nodeId('new');
const oid = (digit: string): Oid => digit.repeat(40) as Oid;

it('tells a beat that was seen from a silence that was watched', () => {
  const sightings = new Sightings();
  sightings.observe([[BOX, oid('1')]], 0, 1_000);
  expect(sightings.beatOf(BOX, 4_000)).toEqual({ seen: false, agoMs: 3_000 });
  sightings.observe(
    [
      [BOX, oid('2')],
      [NEW, oid('3')],
    ],
    0,
    5_000,
  );
  sightings.observe(
    [
      [BOX, oid('2')],
      [NEW, oid('3')],
    ],
    0,
    6_000,
  );
  expect(sightings.beatOf(BOX, 7_000)).toEqual({ seen: true, agoMs: 2_000 });
  expect(sightings.beatOf(NEW, 7_000)).toEqual({ seen: true, agoMs: 2_000 });
  sightings.observe([[BOX, oid('2')]], 0, 8_000);
  expect(sightings.beatOf(NEW, 8_000)).toBeNull();
});

it('measures a rate over the last minutes only', () => {
  const sightings = new Sightings();
  expect(sightings.donePerMinute()).toBeNull();
  sightings.observe([], 100, 0);
  expect(sightings.donePerMinute()).toBeNull();
  sightings.observe([], 130, 30_000);
  expect(sightings.donePerMinute()).toBe(60);
  for (let atMs = 40_000; atMs <= 400_000; atMs += 10_000) sightings.observe([], 130, atMs);
  expect(sightings.donePerMinute()).toBe(0);
});
