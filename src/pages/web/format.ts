/** Figures for people: short, with their unit, and never with more digits than they are worth. */

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
export const NOTHING = '–';

/** As `840 ms`, `4.2 s`, `3 min 05 s`, `2 h 10 min`, `3 d 4 h`. */
export function duration(ms: number | null): string {
  if (ms === null) return NOTHING;
  if (ms < SECOND) return `${Math.round(ms)} ms`;
  if (ms < 9_950) return `${(ms / SECOND).toFixed(1)} s`;
  if (ms < MINUTE - 500) return `${Math.round(ms / SECOND)} s`;
  return age(ms).replace(/ 0+ \w+$/, '');
}

/** For the scale of a chart: one figure, one unit. */
export function shortDuration(ms: number): string {
  if (ms === 0) return '0';
  if (ms < SECOND) return `${Math.round(ms)} ms`;
  if (ms < MINUTE) return `${decimal(ms / SECOND)} s`;
  return ms < HOUR ? `${decimal(ms / MINUTE)} min` : `${decimal(ms / HOUR)} h`;
}

function decimal(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/** As a duration, in whole seconds: for what ticks. */
export function age(ms: number): string {
  const whole = Math.max(0, Math.round(ms / SECOND)) * SECOND;
  if (whole < MINUTE) return `${whole / SECOND} s`;
  if (whole < HOUR) return `${Math.floor(whole / MINUTE)} min ${two((whole % MINUTE) / SECOND)} s`;
  if (whole < DAY)
    return `${Math.floor(whole / HOUR)} h ${Math.floor((whole % HOUR) / MINUTE)} min`.replace(' 0 min', '');
  return `${Math.floor(whole / DAY)} d ${Math.floor((whole % DAY) / HOUR)} h`;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function bytes(count: number | null): string {
  if (count === null) return NOTHING;
  const step = Math.min(UNITS.length - 1, Math.floor(Math.log2(Math.max(1, count)) / 10));
  const value = count / 1024 ** step;
  return `${step > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} ${UNITS[step]}`;
}

export function percent(value: number | null): string {
  return value === null ? NOTHING : `${Math.round(value)} %`;
}

/** Up to one decimal where it matters. */
export function figure(value: number | null): string {
  if (value === null) return NOTHING;
  return value < 10 && !Number.isInteger(value) ? value.toFixed(1) : Math.round(value).toLocaleString('en');
}

export function counted(count: number, one: string, many = `${one}s`): string {
  return `${figure(count)} ${count === 1 ? one : many}`;
}

const CLOCK = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const FULL = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });

/** In the time zone of the browser. */
export function clockTime(ms: number): string {
  return CLOCK.format(ms);
}

export function fullTime(ms: number | null): string {
  return ms === null ? NOTHING : FULL.format(ms);
}

/** Bytes of what a program wrote, without the sequences by which it colours a terminal. */
export function withoutColours(text: string): string {
  return text.replace(ESCAPES, '');
}
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const ESCAPES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g;
