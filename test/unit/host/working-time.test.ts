import { expect, it } from 'vitest';
import { activeHours } from '../../../src/config/active-hours.ts';
import type { Machine } from '../../../src/config/machine.ts';
import { isActive, type LocalTimeOf, machineLocalTime, nextChangeMs } from '../../../src/host/working-time.ts';

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const utc: LocalTimeOf = (ms) => {
  const date = new Date(ms);
  return { day: date.getUTCDay(), minute: date.getUTCHours() * 60 + date.getUTCMinutes() };
};

/** As a clock on a wall there shows it. */
function zone(name: string): LocalTimeOf {
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: name,
    weekday: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  });
  return (ms) => {
    const parts = Object.fromEntries(format.formatToParts(ms).map(({ type, value }) => [type, value]));
    return {
      day: DAYS.indexOf(parts['weekday'] ?? ''),
      minute: Number(parts['hour']) * 60 + Number(parts['minute']),
    };
  };
}

function hours(text: string) {
  const parsed = activeHours().parse(text, {} as Machine);
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.value;
}

/** Minutes of the span in which it is active. */
function activeMinutes(text: string, from: string, until: string, at: LocalTimeOf): number {
  let count = 0;
  for (let ms = Date.parse(from); ms < Date.parse(until); ms += 60_000) if (isActive(hours(text), at(ms))) count += 1;
  return count;
}

// 2026-11-23 is a Monday.
it.each([
  ['08:00-09:00', '2026-11-23T07:59Z', false],
  ['08:00-09:00', '2026-11-23T08:00Z', true],
  ['08:00-09:00', '2026-11-23T08:59Z', true],
  ['08:00-09:00', '2026-11-23T09:00Z', false],
  ['22:00-06:00', '2026-11-23T23:00Z', true],
  ['22:00-06:00', '2026-11-23T05:59Z', true],
  ['22:00-06:00', '2026-11-23T06:00Z', false],
  ['Mon-Fri 20:00-07:00', '2026-11-23T06:00Z', false], // the night began on Sunday
  ['Mon-Fri 20:00-07:00', '2026-11-28T06:59Z', true], // Saturday's morning is Friday's night
  ['Mon-Fri 20:00-07:00', '2026-11-28T20:30Z', false],
  ['Fri-Mon 10:00-11:00', '2026-11-29T10:30Z', true], // over the weekend
  ['Fri-Mon 10:00-11:00', '2026-11-24T10:30Z', false],
  ['Sat-Sun 00:00-24:00', '2026-11-29T23:59Z', true],
  ['Sat-Sun 00:00-24:00', '2026-11-30T00:00Z', false],
  ['Mon 08:00-09:00, Tue 10:00-11:00', '2026-11-24T10:00Z', true],
])('%s at %s: %s', (text, at, expected) => {
  expect(isActive(hours(text), utc(Date.parse(at)))).toBe(expected);
});

it('goes by the clock on the wall when that is put forward or back', () => {
  const berlin = zone('Europe/Berlin');
  // Put forward at 02:00 on 2026-03-29: that hour does not happen. Put back at 03:00 on 2026-10-25: it happens twice.
  expect(activeMinutes('02:15-02:45', '2026-03-28T23:00Z', '2026-03-29T22:00Z', berlin)).toBe(0);
  expect(activeMinutes('02:15-02:45', '2026-10-24T22:00Z', '2026-10-25T23:00Z', berlin)).toBe(60);
  expect(activeMinutes('22:00-06:00', '2026-03-28T20:00Z', '2026-03-29T10:00Z', berlin)).toBe(7 * 60);
  expect(activeMinutes('22:00-06:00', '2026-10-24T18:00Z', '2026-10-25T10:00Z', berlin)).toBe(9 * 60);
  // Begins where there is no such time: as soon as the clock is past it.
  const begin = nextChangeMs(hours('02:30-04:00'), Date.parse('2026-03-28T23:30Z'), berlin);
  expect(new Date(begin ?? 0).toISOString()).toBe('2026-03-29T01:00:00.000Z');
});

it('knows when it changes next', () => {
  const next = (text: string, at: string): string | null => {
    const ms = nextChangeMs(hours(text), Date.parse(at), utc);
    return ms === null ? null : new Date(ms).toISOString().slice(0, 16);
  };
  expect(next('22:00-06:00', '2026-11-23T12:34:56Z')).toBe('2026-11-23T22:00');
  expect(next('22:00-06:00', '2026-11-23T22:00:00Z')).toBe('2026-11-24T06:00');
  expect(next('Sun 10:00-11:00', '2026-11-29T11:00Z')).toBe('2026-12-06T10:00');
  expect(next('00:00-24:00', '2026-11-23T12:00Z')).toBeNull();
});

it("takes the machine's time zone", () => {
  const date = new Date(2026, 10, 24, 13, 5);
  expect(machineLocalTime(date.getTime())).toEqual({ day: 2, minute: 13 * 60 + 5 });
});
