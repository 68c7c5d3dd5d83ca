/**
 * Reading what others wrote and nothing depends on: a value of another kind, or beyond a bound, is left out or cut. Pure.
 */
import { isoTime } from '../runtime.ts';

/** In the year 9999: what comes after it has more digits than others can read. */
const LAST_SECOND = 253_402_300_799;

/** Whole characters, and no more of them than so many. */
export function cut(text: string, maxLength: number): string {
  return text.length <= maxLength ? text.toWellFormed() : `${text.slice(0, maxLength - 1).toWellFormed()}…`;
}

export function textOf(value: unknown, maxLength: number): string | null {
  return typeof value === 'string' ? cut(value, maxLength) : null;
}

/** The first of them, each as `read` takes it; those that it answers with null are left out. */
export function listOf<T>(value: unknown, maxCount: number, read: (entry: unknown) => T | null): T[] {
  if (!Array.isArray(value)) return [];
  return value.slice(0, maxCount).flatMap((entry) => {
    const taken = read(entry);
    return taken === null ? [] : [taken];
  });
}

export function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

export function numberOf(value: unknown, max: number): number | null {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 && value <= max ? value : null;
}

/** ISO 8601; null for a time that no calendar has. @param seconds since 1970, by whosever clock */
export function calendarTime(seconds: number | null | undefined): string | null {
  if (seconds === null || seconds === undefined || seconds < 0 || seconds > LAST_SECOND) return null;
  return isoTime(seconds * 1000);
}
