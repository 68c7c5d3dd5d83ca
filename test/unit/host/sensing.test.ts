import { expect, it } from 'vitest';
import { Sensing } from '../../../src/host/sensing.ts';
import { ManualClock } from '../../support/manual-clock.ts';

function setUp() {
  const clock = new ManualClock();
  const started: PromiseWithResolvers<number>[] = [];
  const read = (): Promise<number> => {
    const reading = Promise.withResolvers<number>();
    started.push(reading);
    return reading.promise;
  };
  return { clock, started, read, sensing: new Sensing(clock, 100) };
}

it('hands on a value, and reads anew the next time', async () => {
  const { sensing } = setUp();
  let n = 0;
  const read = async (): Promise<number> => ++n;
  expect(await sensing.sense('a', read)).toEqual({ value: 1, failure: null });
  expect(await sensing.sense('a', read)).toEqual({ value: 2, failure: null });
});

it('makes a reason of a failure', async () => {
  const { sensing } = setUp();
  const gone = Object.assign(new Error('ENOENT: no such file or directory, statfs'), { code: 'ENOENT' });
  expect(await sensing.sense('a', () => Promise.reject(gone))).toEqual({
    value: null,
    failure: { sensor: 'a', reason: 'the path is not visible here' },
  });
  expect(await sensing.sense('a', () => Promise.reject(new Error('broken')))).toMatchObject({
    failure: { reason: 'broken' },
  });
});

it('shares one reading between calls that overlap, for each sensor', async () => {
  const { sensing, started, read } = setUp();
  const both = [sensing.sense('a', read), sensing.sense('a', read)];
  const other = sensing.sense('b', read);
  expect(started).toHaveLength(2);
  started[0]?.resolve(1);
  started[1]?.resolve(2);
  expect((await Promise.all([...both, other])).map(({ value }) => value)).toEqual([1, 1, 2]);
});

it('gives up on a sensor that hangs, and does not ask it again until it has answered', async () => {
  const { clock, sensing, started, read } = setUp();
  const first = sensing.sense('a', read);
  clock.advance(100);
  expect(await first).toMatchObject({ value: null, failure: { reason: 'sensor a did not answer within 100 ms' } });
  for (let n = 0; n < 3; n++) {
    expect(await sensing.sense('a', read)).toMatchObject({ failure: { reason: expect.stringContaining('earlier') } });
  }
  expect(started).toHaveLength(1);

  started[0]?.resolve(1);
  await started[0]?.promise;
  const second = sensing.sense('a', read);
  expect(started).toHaveLength(2);
  started[1]?.resolve(2);
  expect(await second).toEqual({ value: 2, failure: null });
});
