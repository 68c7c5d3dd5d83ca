import { mkdir, readdir, readFile, rmdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Quota } from '../../../src/host/quota.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { recordEvents } from '../../support/recorded-events.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { until } from '../../support/until.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

async function setUp(maxPerHour: number) {
  const directory = await temporaryDirectory();
  const path = join(directory, 'quota.json');
  const clock = new ManualClock();
  const events = recordEvents();
  const open = (max = maxPerHour, on = clock) => Quota.open({ path, maxPerHour: max, clock: on, emit: events.emit });
  return { directory, path, clock, events, open };
}

describe('a sliding hour', () => {
  it('grants up to the limit, and again as the oldest leave', async () => {
    const { clock, open } = await setUp(3);
    const quota = await open();
    expect(await quota.take(2)).toBe(2);
    clock.advance(10 * MINUTE_MS);
    expect(await quota.take(5)).toBe(1);
    expect([quota.left(), quota.usedThisHour(), quota.nextFreeInMs()]).toEqual([0, 3, 50 * MINUTE_MS]);
    expect(await quota.take(1)).toBe(0);
    clock.advance(50 * MINUTE_MS - 1);
    expect(quota.left()).toBe(0);
    clock.advance(1);
    expect([quota.left(), quota.nextFreeInMs()]).toEqual([2, 0]);
  });

  it('tells when the count is back at zero', async () => {
    const { clock, open } = await setUp(3);
    const quota = await open();
    expect(quota.resetTimeIso()).toBe('2026-03-01T12:00:00.000Z');
    await quota.take(1);
    clock.advance(MINUTE_MS);
    await quota.take(1);
    expect(quota.resetTimeIso()).toBe('2026-03-01T13:01:00.000Z');
  });

  it('counts without a limit too', async () => {
    const { open } = await setUp(0);
    const quota = await open();
    expect(await quota.take(1000)).toBe(1000);
    expect([quota.left(), quota.usedThisHour(), quota.nextFreeInMs()]).toEqual([Number.POSITIVE_INFINITY, 1000, 0]);
  });

  it('gives calls that overlap no more than one after the other', async () => {
    const { open } = await setUp(5);
    const quota = await open();
    const granted = await Promise.all(Array.from({ length: 10 }, () => quota.take(1)));
    expect(granted.reduce((sum, one) => sum + one, 0)).toBe(5);
    expect((await open()).left()).toBe(0);
  });

  it('refuses what is no number of tasks', async () => {
    const { open } = await setUp(1);
    await expect((await open()).take(-1)).rejects.toBeInstanceOf(RangeError);
    await expect(open(1.5)).rejects.toBeInstanceOf(RangeError);
  });
});

describe('across restarts', () => {
  it('has saved a grant before it reports it', async () => {
    const { open } = await setUp(2);
    const quota = await open();
    await quota.take(2);
    // What a process started at this very moment would find.
    expect(await (await open()).take(1)).toBe(0);
  });

  it('counts the time in between', async () => {
    const { clock, open } = await setUp(2);
    await (await open()).take(2);
    clock.advance(59 * MINUTE_MS);
    expect((await open()).nextFreeInMs()).toBe(MINUTE_MS);
    clock.advance(MINUTE_MS);
    expect((await open()).left()).toBe(2);
  });

  it('applies a limit that was lowered', async () => {
    const { clock, open } = await setUp(3);
    const quota = await open();
    await quota.take(1);
    clock.advance(10 * MINUTE_MS);
    await quota.take(2);
    const lowered = await open(2);
    expect([lowered.left(), lowered.nextFreeInMs()]).toEqual([0, HOUR_MS]);
  });
});

describe('when the wall clock jumps', () => {
  it('neither frees nor blocks anything while the process runs', async () => {
    const { clock, open } = await setUp(1);
    const quota = await open();
    await quota.take(1);
    for (const jump of [24 * HOUR_MS, -72 * HOUR_MS]) {
      clock.jumpWall(jump);
      expect(quota.nextFreeInMs()).toBe(HOUR_MS);
    }
  });

  it('blocks for an hour at most after it was set back between two processes', async () => {
    const { clock, open } = await setUp(1);
    await (await open()).take(1);
    clock.jumpWall(-500 * HOUR_MS);
    const quota = await open();
    expect([quota.left(), quota.nextFreeInMs()]).toEqual([0, HOUR_MS]);
    clock.advance(HOUR_MS);
    expect(quota.left()).toBe(1);
  });

  it('keeps the file in bounds even if a whole hour turns up in the future', async () => {
    const { path, clock, events, open } = await setUp(0);
    const nowMs = clock.wallMs();
    const grants = Array.from({ length: 3600 }, (_, n) => [nowMs + n * 1000, 1]);
    await writeFile(path, JSON.stringify({ version: 1, grants }));
    const quota = await open();
    await quota.take(1);
    expect(quota.usedThisHour()).toBe(3601);
    // Nobody waits for the disk where there is no limit.
    const kept = async () => (JSON.parse(await readFile(path, 'utf8')) as { grants: unknown[] }).grants.length;
    await until('it to be saved', async () => (await kept()) === 1, 5_000);
    expect(events.named('quota.damaged')).toEqual([]);
  });
});

describe('a damaged file', () => {
  it.each([
    '',
    '{"version":1,"gra',
    '[]',
    '{"version":2,"grants":[]}',
    '{"version":1,"grants":[["now",1]]}',
    '\0\0\0\0',
  ])('%j counts as an hour used up when it was written', async (contents) => {
    const { directory, path, clock, events, open } = await setUp(4);
    await writeFile(path, contents);
    await utimes(path, new Date(clock.wallMs()), new Date(clock.wallMs() - 20 * MINUTE_MS));
    const quota = await open();
    expect([quota.left(), quota.usedThisHour(), quota.nextFreeInMs()]).toEqual([0, 4, 40 * MINUTE_MS]);
    expect(events.named('quota.damaged')).toEqual([{ path, set_aside: `${path}.damaged`, counted_as: 4 }]);
    expect(await readFile(`${path}.damaged`, 'utf8')).toBe(contents);
    // A second start finds a sound file that says the same.
    expect((await open()).nextFreeInMs()).toBe(40 * MINUTE_MS);
    expect(events.named('quota.damaged')).toHaveLength(1);
    expect((await readdir(directory)).toSorted()).toEqual(['quota.json', 'quota.json.damaged']);
  });

  it('from long ago counts for nothing', async () => {
    const { path, clock, open } = await setUp(4);
    await writeFile(path, 'garbage');
    await utimes(path, new Date(), new Date(clock.wallMs() - 2 * HOUR_MS));
    expect((await open()).left()).toBe(4);
  });
});

describe('when the count cannot be saved', () => {
  it('grants nothing, and loses nothing', async () => {
    const { directory, open } = await setUp(2);
    const quota = await open();
    const blocked = await blockWrites(directory);
    await expect(quota.take(1)).rejects.toMatchObject({ kind: 'unwritable' });
    expect(quota.left()).toBe(2);
    await blocked.lift();
    expect(await quota.take(2)).toBe(2);
  });

  it('grants all the same when there is no limit, and says so', async () => {
    const { directory, events, open } = await setUp(0);
    const quota = await open();
    await blockWrites(directory);
    expect(await quota.take(1)).toBe(1);
    await until('it to be told', () => events.named('quota.unwritable').length === 1, 5_000);
  });
});

it('never grants more than the limit in any hour, whatever happens', async () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('take' as const), n: fc.integer({ min: 1, max: 4 }) }),
    fc.record({ kind: fc.constant('wait' as const), n: fc.integer({ min: 100, max: 30 * MINUTE_MS }) }),
    fc.record({ kind: fc.constant('restart' as const), n: fc.constant(0) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 6 }), fc.array(step, { maxLength: 20 }), async (max, steps) => {
      const { clock, open } = await setUp(max);
      let quota = await open();
      const granted: { atMs: number; count: number }[] = [];
      for (const { kind, n } of steps) {
        if (kind === 'wait') clock.advance(n);
        else if (kind === 'restart') quota = await open();
        else granted.push({ atMs: clock.monotonicMs(), count: await quota.take(n) });
        const inHour = granted.filter(({ atMs }) => atMs > clock.monotonicMs() - HOUR_MS);
        expect(inHour.reduce((sum, { count }) => sum + count, 0)).toBeLessThanOrEqual(max);
      }
      clock.advance(HOUR_MS);
      expect(await quota.take(max)).toBe(max);
    }),
    { numRuns: 15 },
  );
});

/** Makes the next write fail in a way that also stops the superuser: a directory stands where the new file goes. */
async function blockWrites(directory: string): Promise<{ lift: () => Promise<void> }> {
  const obstacle = join(directory, 'quota.json.tmp');
  await mkdir(obstacle);
  return { lift: () => rmdir(obstacle) };
}
