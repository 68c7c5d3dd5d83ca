import { expect, it } from 'vitest';
import { type LayeredImage, layerBytesOf, soleRoom } from '../../../../src/executor/docker/image-bytes.ts';

const image = (id: string, layers: string, layerBytes: number[] | null = null): LayeredImage => ({
  id,
  layers: layers.split(''),
  layerBytes,
  bytes: 1_000,
});

it('counts what an image shares with none', () => {
  const a = image('a', 'xyz', [500, 300, 200]);
  expect(soleRoom(a, []).bytes).toBe(1_000);
  expect(soleRoom(a, [image('b', 'qyz')]).bytes).toBe(1_000); // the same layers on another base are others
  expect(soleRoom(a, [image('b', 'xq')]).bytes).toBe(500);
  expect(soleRoom(a, [image('b', 'xq'), image('c', 'xy')]).bytes).toBe(200);
  expect(soleRoom(a, [image('b', 'xyz')]).bytes).toBe(0);
  expect(soleRoom(a, [image('b', 'xyzq')]).bytes).toBe(0);
});

it('tells layers without content from no layers', () => {
  const a = image('a', 'xy', [500, 0]);
  expect(soleRoom(a, [image('b', 'x')])).toEqual({ layers: 1, bytes: 0 });
  expect(soleRoom(a, [image('b', 'xy')])).toEqual({ layers: 0, bytes: 0 });
});

it('says nothing where it does not know', () => {
  expect(soleRoom({ ...image('a', 'xy'), layers: null }, []).bytes).toBeNull();
  expect(soleRoom(image('a', 'xy'), [{ ...image('b', ''), layers: null }]).bytes).toBeNull();
  expect(soleRoom(image('a', 'xy'), [image('b', 'x')]).bytes).toBeNull();
});

it('matches the steps of a history with layers', () => {
  expect(layerBytesOf([0, 30, 0, 10], 2)).toEqual([10, 30]);
  expect(layerBytesOf([30, 0, 10], 3)).toEqual([10, 0, 30]);
  expect(layerBytesOf([], 1)).toBeNull();
  expect(layerBytesOf([30, 0, 10], 1)).toBeNull();
});
