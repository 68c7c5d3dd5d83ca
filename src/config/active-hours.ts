/**
 * Hours of the week in which a machine may work, as people write them: `22:00-06:00`, or
 * `Mon-Fri 20:00-07:00, Sat-Sun 00:00-24:00`. Read strictly: hours that were meant otherwise than they were read are noticed
 * in the night. What they mean at a moment is `host/working-time.ts`'s.
 */
import { bad, good, type Parsed, type ValueKind } from './value-kind.ts';

export interface HoursPart {
  /** First and last day, Sunday is 0; the last may lie before the first, over the weekend. null: every day. */
  days: readonly [first: number, last: number] | null;
  /** Minutes since midnight, 0 to 1439. */
  from: number;
  /** 1 to 1440. Not after `from`: on the day after, and the days are those on which it begins. */
  until: number;
}

/** One at least. */
export type ActiveHours = readonly HoursPart[];

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'] as const;
const MAX_PARTS = 50;
const DAY_MINUTES = 24 * 60;
const FORM = 'hours as 22:00-06:00 or Mon-Fri 20:00-07:00, Sat-Sun 00:00-24:00';

export function activeHours(): ValueKind<ActiveHours> {
  return { unit: 'local time', expects: FORM, parse: parseHours, format: formatHours, plain: formatHours };
}

function parseHours(text: string): Parsed<ActiveHours> {
  const parts: HoursPart[] = [];
  const texts = text.split(',');
  if (texts.length > MAX_PARTS) return bad(`must be ${FORM}, at most ${MAX_PARTS} parts`);
  for (const [at, part] of texts.entries()) {
    const parsed = parsePart(part.trim());
    if (typeof parsed === 'string') return bad(`must be ${FORM}; part ${at + 1} ${parsed}`);
    parts.push(parsed);
  }
  return good(parts);
}

/** @returns what is wrong, to follow "part 2". */
function parsePart(text: string): HoursPart | string {
  if (text === '') return 'is empty: remove the comma';
  const words = text.split(/\s+/);
  if (words.length > 2) return 'has more than days and hours: put a comma between parts';
  const hours = words.at(-1) ?? '';
  const days = words.length === 2 ? parseDays(words[0] ?? '') : null;
  if (typeof days === 'string') return days;
  const ends = /^(\d\d:\d\d)-(\d\d:\d\d)$/.exec(hours);
  if (!ends) {
    return words.length === 1 && typeof parseDays(hours) !== 'string'
      ? 'names days without hours: add them, as 00:00-24:00'
      : 'has hours of another form than HH:MM-HH:MM';
  }
  const from = minutesOf(ends[1] ?? '');
  const until = minutesOf(ends[2] ?? '');
  if (from === null || from === DAY_MINUTES) return 'begins at a time that is not from 00:00 to 23:59';
  if (until === null) return 'ends at a time that is not from 00:00 to 24:00';
  if (until === 0) return 'ends at 00:00: write 24:00 for midnight';
  if (from === until) return 'ends when it begins: write 00:00-24:00 for a whole day';
  return { days, from, until };
}

function parseDays(text: string): HoursPart['days'] | string {
  const [first, last = first, ...more] = text.split('-').map((name) => dayOf(name));
  if (more.length > 0 || first === undefined || last === undefined || first < 0 || last < 0) {
    return `has days that are not among ${DAYS.join(', ')}, or a span of two, as Mon-Fri`;
  }
  return [first, last];
}

function dayOf(name: string): number {
  return DAYS.findIndex((day) => day.toLowerCase() === name.toLowerCase());
}

function minutesOf(text: string): number | null {
  const [hours = 0, minutes = 0] = text.split(':').map(Number);
  const all = hours * 60 + minutes;
  return minutes < 60 && all <= DAY_MINUTES ? all : null;
}

export function formatHours(hours: ActiveHours): string {
  return hours.map(formatPart).join(', ');
}

function formatPart({ days, from, until }: HoursPart): string {
  const names = days === null ? '' : `${[...new Set(days)].map((day) => DAYS[day]).join('-')} `;
  return `${names}${formatTime(from)}-${formatTime(until)}`;
}

/** `HH:MM` of minutes since midnight. */
export function formatTime(minutes: number): string {
  const two = (figure: number): string => String(figure).padStart(2, '0');
  return `${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}

/** `Mon`, of Sunday = 0. */
export function dayName(day: number): string {
  return DAYS[day] ?? '';
}
