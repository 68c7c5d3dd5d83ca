/**
 * Commit messages whose facts stand in trailers: how they are written, and how they are read when anybody may have written
 * them.
 */
export const STATE_FORMAT = 1;
/** A longer message is not one of ours. */
export const MAX_STATE_MESSAGE_BYTES = 64 * 1024;
/** The most that a count may say: whoever counts on stays here, or nobody could read what he writes. */
export const MAX_COUNT = 999_999_999_999_999;

/** What a message is that is no state for us. */
export type NotDecoded = { kind: 'newer-format'; format: number } | { kind: 'unreadable'; problem: string };

const PREFIX = 'DGrid-';

export function encodeTrailers(title: string, trailers: readonly [string, string | number][]): string {
  return `${title}\n\n${trailers.map(([key, value]) => `${PREFIX}${key}: ${value}\n`).join('')}`;
}

/** Reads trailers one by one and remembers the first thing that is wrong. */
export class TrailerReader {
  readonly #values = new Map<string, string>();
  problem: string | null = null;

  constructor(text: string) {
    for (const line of text.split('\n')) {
      const colon = line.indexOf(': ');
      if (!line.startsWith(PREFIX) || colon < 0) continue;
      const key = line.slice(PREFIX.length, colon);
      if (this.#values.has(key)) this.problem ??= `${PREFIX}${key} is given twice`;
      this.#values.set(key, line.slice(colon + 2));
    }
  }

  optional(key: string): string | null {
    return this.#values.get(key) ?? null;
  }

  text<T extends string = string>(key: string, accepts: (value: string) => boolean): T {
    const value = this.#values.get(key);
    if (value === undefined || !accepts(value)) {
      this.problem ??= value === undefined ? `${PREFIX}${key} is missing` : `${PREFIX}${key} is not legal`;
      return '' as T;
    }
    return value as T;
  }

  oneOf<T extends string>(key: string, values: readonly T[]): T {
    return this.text<T>(key, (value) => (values as readonly string[]).includes(value));
  }

  count(key: string, most: number = MAX_COUNT): number {
    return Number(this.text(key, (value) => /^\d{1,15}$/.test(value) && Number(value) <= most));
  }
}

const TOKEN = /^[0-9a-zA-Z_-]{1,128}$/;
export const isToken = (value: string): boolean => TOKEN.test(value);

/** Reads the frame that all states share: format and kind. */
export function openTrailers(text: string, kind: 'task' | 'node' | 'output'): { reader: TrailerReader } | NotDecoded {
  if (Buffer.byteLength(text) > MAX_STATE_MESSAGE_BYTES)
    return { kind: 'unreadable', problem: 'the message is too long' };
  const reader = new TrailerReader(text);
  const format = reader.count('Format');
  if (reader.problem) return { kind: 'unreadable', problem: reader.problem };
  if (format > STATE_FORMAT) return { kind: 'newer-format', format };
  reader.oneOf('Kind', [kind]);
  return { reader };
}
