/**
 * Kinds of values that a setting may have: how a text is read, written back and described. Each parser answers instead of
 * throwing, because all problems are reported together.
 */
import type { Machine } from './machine.ts';

export type Parsed<T> = { ok: true; value: T } | { ok: false; message: string };

export type PlainValue = string | number | boolean | null | readonly string[];

export interface ValueKind<T> {
  /** Of the number in the environment; null where there is none. */
  readonly unit: string | null;
  /** All that may be written, where that is a list. */
  readonly choices?: readonly string[];
  /** What may be written, to follow "must be". */
  readonly expects: string;
  /** The message on failure follows the name of the setting and never contains the text. */
  parse(text: string, machine: Machine): Parsed<T>;
  /** As a person would write it. `parse(format(value))` gives the value again. */
  format(value: T): string;
  /** For programs: numbers in `unit`. */
  plain(value: T): PlainValue;
}

export function good<T>(value: T): Parsed<T> {
  return { ok: true, value };
}

export function bad(message: string): { ok: false; message: string } {
  return { ok: false, message };
}

const DECIMAL = /^\d{1,15}(?:\.\d{1,9})?$/;

interface NumberRange {
  min: number;
  max: number;
  unit?: string;
}

export function wholeNumber({ min, max, unit }: NumberRange): ValueKind<number> {
  const expects = `a whole number from ${min} to ${max}`;
  return {
    unit: unit ?? null,
    expects,
    parse(text) {
      const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
      return value >= min && value <= max ? good(value) : bad(`must be ${expects}`);
    },
    format: String,
    plain: (value) => value,
  };
}

export function decimalNumber({ min, max, unit }: NumberRange): ValueKind<number> {
  const expects = `a number from ${min} to ${max}`;
  return {
    unit: unit ?? null,
    expects,
    parse(text) {
      const value = DECIMAL.test(text) ? Number(text) : Number.NaN;
      return value >= min && value <= max ? good(value) : bad(`must be ${expects}`);
    },
    format: String,
    plain: (value) => value,
  };
}

/** Seconds in the environment, whole milliseconds in the program. */
export function seconds({ min, max }: { min: number; max: number }): ValueKind<number> {
  const expects = `a number of seconds from ${min} to ${max}`;
  return {
    unit: 'seconds',
    expects,
    parse(text) {
      const value = DECIMAL.test(text) ? Number(text) : Number.NaN;
      return value >= min && value <= max ? good(Math.round(value * 1000)) : bad(`must be ${expects}, without a unit`);
    },
    format: (ms) => String(ms / 1000),
    plain: (ms) => ms / 1000,
  };
}

const BYTE_UNITS: readonly (readonly [suffix: string, bytes: number])[] = [
  ['t', 1024 ** 4],
  ['g', 1024 ** 3],
  ['m', 1024 ** 2],
  ['k', 1024],
];

/** Sizes as container engines read them: every unit is a power of 1024, with or without `i` and `b`. */
export function byteSize({ min, max }: { min: number; max: number }): ValueKind<number> {
  const expects = `a size from ${formatBytes(min)} to ${formatBytes(max)}, as 512m, 1g or 256KiB`;
  return {
    unit: 'bytes',
    expects,
    parse(text) {
      const match = /^(\d{1,15}(?:\.\d{1,6})?) ?(?:([kmgt])i?b?|b)?$/i.exec(text);
      const factor = BYTE_UNITS.find(([suffix]) => suffix === match?.[2]?.toLowerCase())?.[1] ?? 1;
      const value = match ? Math.round(Number(match[1]) * factor) : Number.NaN;
      return value >= min && value <= max ? good(value) : bad(`must be ${expects}`);
    },
    format: formatBytes,
    plain: (bytes) => bytes,
  };
}

/** With the largest unit that loses nothing. */
function formatBytes(bytes: number): string {
  for (const [suffix, factor] of BYTE_UNITS) {
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${suffix}`;
  }
  return String(bytes);
}

export function percent(): ValueKind<number> {
  const expects = 'a percentage from 1 to 100';
  return {
    unit: 'percent',
    expects,
    parse(text) {
      const match = /^(\d{1,3}) ?%?$/.exec(text);
      const value = match ? Number(match[1]) : Number.NaN;
      return value >= 1 && value <= 100 ? good(value) : bad(`must be ${expects}`);
    },
    format: String,
    plain: (value) => value,
  };
}

/** A percentage that may be exceeded, or 0. */
export function percentOrOff(): ValueKind<number> {
  const expects = 'a percentage from 1 to 99, or 0 to switch it off';
  return {
    unit: 'percent',
    expects,
    parse(text) {
      const match = /^(\d{1,2}) ?%?$/.exec(text);
      return match ? good(Number(match[1])) : bad(`must be ${expects}`);
    },
    format: String,
    plain: (value) => value,
  };
}

const TRUTH: Readonly<Record<string, boolean>> = {
  true: true,
  '1': true,
  yes: true,
  false: false,
  '0': false,
  no: false,
};

export function truth(): ValueKind<boolean> {
  const expects = 'true or false (also 1, 0, yes, no)';
  return {
    unit: null,
    expects,
    parse(text) {
      const key = text.toLowerCase();
      const value = Object.hasOwn(TRUTH, key) ? TRUTH[key] : undefined;
      return value === undefined ? bad(`must be ${expects}`) : good(value);
    },
    format: String,
    plain: (value) => value,
  };
}

export function oneOf<const T extends string>(choices: readonly T[]): ValueKind<T> {
  const expects = `one of ${choices.join(', ')}`;
  return {
    choices,
    unit: null,
    expects,
    parse(text) {
      const value = choices.find((choice) => choice === text.toLowerCase());
      return value === undefined ? bad(`must be ${expects}`) : good(value);
    },
    format: String,
    plain: (value) => value,
  };
}

/** One line of text; `pattern` and `expects` belong together. */
export function text(spec: { expects: string; pattern: RegExp; maxLength: number }): ValueKind<string> {
  return {
    unit: null,
    expects: spec.expects,
    parse: (value) =>
      value.length <= spec.maxLength && !hasControl(value) && spec.pattern.test(value)
        ? good(value)
        : bad(`must be ${spec.expects}`),
    format: String,
    plain: (value) => value,
  };
}

/** Items separated by commas; empty ones and repetitions are dropped. */
export function listOf(item: ValueKind<string>, maxItems: number): ValueKind<readonly string[]> {
  const expects = `a list separated by commas, at most ${maxItems}, each ${item.expects}`;
  return {
    unit: null,
    expects,
    parse(value, machine) {
      const items = new Set<string>();
      let position = 0;
      for (const part of value.split(',').map((part) => part.trim())) {
        if (part === '') continue;
        position++;
        const parsed = item.parse(part, machine);
        if (!parsed.ok) return bad(`item ${position} ${parsed.message}`);
        items.add(parsed.value);
      }
      return items.size <= maxItems ? good([...items]) : bad(`must be ${expects}`);
    },
    format: (items) => items.join(','),
    plain: (items) => items,
  };
}

export function hasControl(value: string): boolean {
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  return /[\u0000-\u001f\u007f]/.test(value);
}
