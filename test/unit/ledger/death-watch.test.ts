import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { oid } from '../../../src/git/oid.ts';
import { DeathWatch, MIN_READS } from '../../../src/ledger/death-watch.ts';
import { nodeId } from '../../../src/task/id.ts';

const node = nodeId('pi');
const at = (figure: number): ReturnType<typeof oid> => oid(figure.toString(16).padStart(40, '0'));
const TTL = 300;
const GAP = 120;

function watched(readings: readonly (readonly [atMs: number, object: number])[]): DeathWatch {
  const watch = new DeathWatch(GAP);
  for (const [ms, object] of readings) watch.observe([[node, at(object)]], { listedAtMs: ms, answeredAtMs: ms });
  return watch;
}

describe('death watch', () => {
  it('declares a node dead that kept one object over its time-to-live', () => {
    const steady = [0, 60, 120, 180, 240, 300].map((ms) => [ms, 1] as const);
    expect(watched(steady).isDead(node, TTL)).toBe(true);
    expect(watched(steady.slice(0, -1)).isDead(node, TTL)).toBe(false);
  });

  it('counts from the answer of the first reading, which may have been long under way', () => {
    const watch = new DeathWatch(GAP);
    watch.observe([[node, at(1)]], { listedAtMs: 0, answeredAtMs: 50 });
    for (const ms of [60, 120, 180, 240, 300])
      watch.observe([[node, at(1)]], { listedAtMs: ms, answeredAtMs: ms + 50 });
    expect(watch.isDead(node, TTL)).toBe(false);
    watch.observe([[node, at(1)]], { listedAtMs: 360, answeredAtMs: 361 });
    expect(watch.isDead(node, TTL)).toBe(true);
  });

  it('starts to count again with every sign of life', () => {
    const beat = [0, 60, 120, 180, 240].map((ms) => [ms, 1] as const);
    expect(watched([...beat, [299, 2], [359, 2], [419, 2]]).isDead(node, TTL)).toBe(false);
  });

  it('starts to count again when its own signs of life did not get through either', () => {
    const steady = [0, 60, 120, 180, 240].map((ms) => [ms, 1] as const);
    const watch = watched(steady);
    watch.restart();
    for (const ms of [300, 360, 420, 480, 540]) watch.observe([[node, at(1)]], { listedAtMs: ms, answeredAtMs: ms });
    expect(watch.isDead(node, TTL)).toBe(false);
    watch.observe([[node, at(1)]], { listedAtMs: 600, answeredAtMs: 600 });
    expect(watch.isDead(node, TTL)).toBe(true);
  });

  it('needs enough readings, however long the time', () => {
    const few = Array.from({ length: MIN_READS - 1 }, (_, index) => [index * 100, 1] as const);
    expect(watched(few).isDead(node, TTL)).toBe(false);
  });

  it('believes nothing of before its own pause', () => {
    const before = [0, 60, 120, 180, 240].map((ms) => [ms, 1] as const);
    expect(watched([...before, [10_000, 1]]).isDead(node, TTL)).toBe(false);
  });

  it('guesses over a gap how long a node has been silent, and concludes nothing from it', () => {
    const watch = watched([
      [0, 1],
      [10_000, 1],
      [20_000, 1],
      [30_000, 1],
      [40_000, 1],
      [50_000, 1],
    ]);
    expect(watch.seemsSilentMs(node)).toBe(50_000);
    expect(watch.unchangedMs(node)).toBe(0);
    expect(watch.isDead(node, TTL)).toBe(false);
    watch.observe([[node, at(2)]], { listedAtMs: 60_000, answeredAtMs: 60_000 });
    expect(watch.seemsSilentMs(node)).toBe(0);
    expect(watch.seemsSilentMs(nodeId('stranger'))).toBe(0);
  });

  it('never declares dead without unbroken readings over the whole time-to-live', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 2 })), { maxLength: 40 }),
        (steps) => {
          let ms = 0;
          const readings = steps.map(([wait, object]) => [(ms += wait), object] as const);
          if (!watched(readings).isDead(node, TTL)) return;
          let from = readings.length - 1;
          while (from > 0) {
            const [later, earlier] = [
              readings[from] as readonly [number, number],
              readings[from - 1] as readonly [number, number],
            ];
            if (later[0] - earlier[0] > GAP || later[1] !== earlier[1]) break;
            from -= 1;
          }
          const unbroken = readings.slice(from);
          expect(unbroken.length).toBeGreaterThanOrEqual(MIN_READS);
          expect(
            (unbroken.at(-1) as readonly [number, number])[0] - (unbroken[0] as readonly [number, number])[0],
          ).toBeGreaterThanOrEqual(TTL);
        },
      ),
    );
  });
});
