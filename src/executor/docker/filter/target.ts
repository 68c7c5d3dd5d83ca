/**
 * A request's target, read without any leniency: what the engine's router would clean up (doubled slashes, dots, escapes,
 * a version in front) or would read in two ways (a parameter given twice) is refused here. The query is written anew
 * before it goes on, so what is forwarded is what was looked at.
 */

export interface Target {
  path: string;
  query: ReadonlyMap<string, readonly string[]>;
}

const MAX_TARGET_CHARACTERS = 16 * 1024;
/** Visible ASCII, without what only an odd client leaves unescaped. */
const PLAIN = /^[!$&'()*+,\-./0-9:;=?@A-Z_a-z~%]+$/;
/** The only escape that the worker sends in a path: the colon of an image's id. */
const PATH = /^(?:\/(?:[A-Za-z0-9_.:@-]|%3A)+)+$/;

/** @returns null when it is not one that the worker could send. */
export function readTarget(raw: string): Target | null {
  if (raw.length > MAX_TARGET_CHARACTERS || !PLAIN.test(raw)) return null;
  const mark = raw.indexOf('?');
  const path = mark === -1 ? raw : raw.slice(0, mark);
  if (!PATH.test(path) || path.split('/').some((part) => part === '.' || part === '..')) return null;
  const query = readQuery(mark === -1 ? '' : raw.slice(mark + 1));
  return query === null ? null : { path, query };
}

function readQuery(text: string): Target['query'] | null {
  const query = new Map<string, string[]>();
  if (text === '') return query;
  for (const pair of text.split('&')) {
    const equals = pair.indexOf('=');
    const name = equals === -1 ? null : decode(pair.slice(0, equals));
    const value = equals === -1 ? null : decode(pair.slice(equals + 1));
    if (name === null || value === null || !/^[A-Za-z]+$/.test(name)) return null;
    const values = query.get(name);
    if (values) values.push(value);
    else query.set(name, [value]);
  }
  return query;
}

/** A plus sign is itself to some readers and a space to others, and the worker sends none. */
function decode(text: string): string | null {
  if (text.includes('+')) return null;
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
