/**
 * Whether a moment lies within the hours in which this machine may work, and when that changes. Pure but for the machine's
 * time zone, which comes in as a function.
 *
 * Hours are those of the clock on the wall. Where that is put forward, hours that do not happen are left out; where it is
 * put back, they happen twice, and both times count.
 */
import { type ActiveHours, dayName, formatTime } from '../config/active-hours.ts';

export interface LocalTime {
  /** Sunday is 0. */
  day: number;
  /** Since midnight, by the clock on the wall. */
  minute: number;
}

/** What the clock on the wall shows at a moment. */
export type LocalTimeOf = (wallMs: number) => LocalTime;

const MINUTE_MS = 60_000;
const WEEK_DAYS = 7;
/** A whole week, and a day for what summer time may do to it. */
const LOOK_AHEAD_MINUTES = (WEEK_DAYS + 1) * 24 * 60;

/** In the time zone of this process: the machine's, or that of the variable TZ. */
export const machineLocalTime: LocalTimeOf = (wallMs) => {
  const date = new Date(wallMs);
  return { day: date.getDay(), minute: date.getHours() * 60 + date.getMinutes() };
};

export function isActive(hours: ActiveHours, { day, minute }: LocalTime): boolean {
  const yesterday = (day + WEEK_DAYS - 1) % WEEK_DAYS;
  return hours.some(({ days, from, until }) => {
    const begins = (on: number): boolean => days === null || isWithin(days, on);
    if (from < until) return begins(day) && minute >= from && minute < until;
    return (begins(day) && minute >= from) || (begins(yesterday) && minute < until);
  });
}

function isWithin([first, last]: readonly [number, number], day: number): boolean {
  return first <= last ? day >= first && day <= last : day >= first || day <= last;
}

/** When it will next be otherwise than now, to the minute; null: not within a week, so never. */
export function nextChangeMs(hours: ActiveHours, wallMs: number, localTimeOf: LocalTimeOf): number | null {
  const now = isActive(hours, localTimeOf(wallMs));
  const first = Math.floor(wallMs / MINUTE_MS) + 1;
  for (let minute = first; minute <= first + LOOK_AHEAD_MINUTES; minute += 1) {
    if (isActive(hours, localTimeOf(minute * MINUTE_MS)) !== now) return minute * MINUTE_MS;
  }
  return null;
}

/** `Mon 20:00`. */
export function shortTime({ day, minute }: LocalTime): string {
  return `${dayName(day)} ${formatTime(minute)}`;
}
