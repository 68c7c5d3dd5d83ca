import { expect, it } from 'vitest';
import { type LayeredImage, layerBytesOf, soleBytes } from '../../../../src/executor/docker/image-bytes.ts';

const image = (id: string, layers: string, layerBytes: number[] | null = null): LayeredImage => ({
  id,
  layers: layers.split(''),
  layerBytes,
  bytes: 1_000,
});

it('counts what an image shares with none', () => {
  const a = image('a', 'xyz', [500, 300, 200]);
  expect(soleBytes(a, [])).toBe(1_000);
  expect(soleBytes(a, [image('b', 'qyz')])).toBe(1_000); // the same layers on another base are others
  expect(soleBytes(a, [image('b', 'xq')])).toBe(500);
  expect(soleBytes(a, [image('b', 'xq'), image('c', 'xy')])).toBe(200);
  expect(soleBytes(a, [image('b', 'xyz')])).toBe(0);
  expect(soleBytes(a, [image('b', 'xyzq')])).toBe(0);
});

it('says nothing where it does not know', () => {
  expect(soleBytes({ ...image('a', 'xy'), layers: null }, [])).toBeNull();
  expect(soleBytes(image('a', 'xy'), [{ ...image('b', ''), layers: null }])).toBeNull();
  expect(soleBytes(image('a', 'xy'), [image('b', 'x')])).toBeNull();
});

it('matches the steps of a history with layers', () => {
  expect(layerBytesOf([0, 30, 0, 10], 2)).toEqual([10, 30]);
  expect(layerBytesOf([30, 0, 10], 3)).toEqual([10, 0, 30]);
  expect(layerBytesOf([], 1)).toBeNull();
  expect(layerBytesOf([30, 0, 10], 1)).toBeNull();
});
