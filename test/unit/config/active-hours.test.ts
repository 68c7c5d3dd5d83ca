import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ActiveHours, activeHours } from '../../../src/config/active-hours.ts';
import type { Machine } from '../../../src/config/machine.ts';

const kind = activeHours();
const machine = {} as Machine;

function read(text: string): ActiveHours {
  const parsed = kind.parse(text, machine);
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.value;
}

function problem(text: string): string {
  const parsed = kind.parse(text, machine);
  return parsed.ok ? 'none' : parsed.message;
}

describe('active hours', () => {
  it('are read as they are meant', () => {
    expect(read('22:00-06:00')).toEqual([{ days: null, from: 1320, until: 360 }]);
    expect(read('Mon-Fri 20:00-07:00, sat-SUN 00:00-24:00')).toEqual([
      { days: [1, 5], from: 1200, until: 420 },
      { days: [6, 0], from: 0, until: 1440 },
    ]);
    expect(read('Wed 08:30-09:00')).toEqual([{ days: [3, 3], from: 510, until: 540 }]);
  });

  it.each([
    ['', /part 1 is empty/],
    ['08:00-09:00,', /part 2 is empty/],
    ['8:00-9:00', /part 1 has hours of another form/],
    ['08:00', /part 1 has hours of another form/],
    ['Mon-Fri', /part 1 names days without hours/],
    ['08:00-09:00, Fry 10:00-11:00', /part 2 has days that are not among Sun, Mon/],
    ['Mon-Tue-Wed 08:00-09:00', /part 1 has days/],
    ['Mon Tue 08:00-09:00', /part 1 has more than days and hours/],
    ['24:00-06:00', /part 1 begins at a time/],
    ['23:60-23:00', /part 1 begins at a time/],
    ['20:00-25:00', /part 1 ends at a time/],
    ['20:00-00:00', /part 1 ends at 00:00: write 24:00/],
    ['08:00-08:00', /part 1 ends when it begins: write 00:00-24:00/],
    [Array.from({ length: 51 }, () => '08:00-09:00').join(','), /at most 50/],
  ])('refuse %j and name the part', (text, message) => {
    expect(problem(text)).toMatch(message);
  });

  it('are written as they are read', () => {
    const day = fc.integer({ min: 0, max: 6 });
    const part = fc
      .record({
        days: fc.option(fc.tuple(day, day), { nil: null }),
        from: fc.integer({ min: 0, max: 1439 }),
        until: fc.integer({ min: 1, max: 1440 }),
      })
      .filter(({ from, until }) => from !== until);
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 5 }), (hours) => {
        expect(read(kind.format(hours))).toEqual(hours);
      }),
    );
  });
});
