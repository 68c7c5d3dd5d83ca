/**
 * The address of the task repository. Secrets are refused here, because an address ends up in process lists, logs, error
 * texts and the clone's configuration; so no message of this file repeats any part of the address.
 */
import { absolutePath, kindOf } from './file-kind.ts';
import type { Machine } from './machine.ts';
import { bad, good, hasControl, type Parsed, type ValueKind } from './value-kind.ts';

const EXPECTS =
  'an address of a Git repository (https://, http://, ssh://, git://, file://, or git@host:path) or a path';
const NO_SECRET =
  'contains a password or a token: take it out of the address, and give it as GIT_TOKEN or, better, in a file named by GIT_TOKEN_FILE';
const SCHEMES = new Set(['https:', 'http:', 'ssh:', 'git:', 'file:']);
/** Prefixes that the large forges give their tokens, and any name that is too long and too dense to be a person's. */
const TOKEN_AS_NAME = /^(?:gh[pousr]_|github_pat_|gl[a-z]{2,5}-|ATBB|ATCTT)|^[A-Za-z0-9_-]{30,}$/;
const SECRET_PARAMETER = /token|secret|password|passwd|auth|key/i;

export function repoUrl(): ValueKind<string> {
  return { unit: null, expects: EXPECTS, parse: parseRepoUrl, format: String, plain: (value) => value };
}

export function parseRepoUrl(text: string, machine: Machine): Parsed<string> {
  if (hasControl(text)) return bad('must not contain control characters');
  if (text.startsWith('-')) return bad(`must be ${EXPECTS}; a path that starts with a dash is written ./-name`);
  // `ext::` and its like make git run a program of the address's choice.
  if (/^[A-Za-z0-9+.-]+::/.test(text)) return bad(`must be ${EXPECTS}; transport helpers are not allowed`);
  if (/^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(text)) return parseUrl(text);
  const firstColon = text.indexOf(':');
  const firstSlash = text.indexOf('/');
  if (firstColon > 0 && (firstSlash < 0 || firstColon < firstSlash)) return parseScpLike(text);
  return parsePath(text, machine);
}

function parseUrl(text: string): Parsed<string> {
  // A password may hold any character, also such as make the whole no URL: look for it before parsing.
  if (/^[a-z0-9+.-]+:\/\/[^/@]*:[^/@]+@/i.test(text)) return bad(NO_SECRET);
  if (!URL.canParse(text) || /\s/.test(text)) return bad(`must be ${EXPECTS}; this one cannot be read as a URL`);
  const url = new URL(text);
  if (!SCHEMES.has(url.protocol)) return bad(`must be ${EXPECTS}; this scheme is not supported`);
  if (url.password !== '') return bad(NO_SECRET);
  if (/^https?:$/.test(url.protocol) && TOKEN_AS_NAME.test(url.username)) return bad(NO_SECRET);
  for (const name of url.searchParams.keys()) {
    if (SECRET_PARAMETER.test(name)) return bad(NO_SECRET);
  }
  if (url.protocol === 'file:') {
    if (url.hostname !== '') return bad('must be written file:///path, with three slashes');
  } else if (url.hostname === '') return bad(`must be ${EXPECTS}; this one names no host`);
  if (url.pathname.length <= 1) return bad('names a host but no repository on it: add the path of the repository');
  return good(text);
}

function parseScpLike(text: string): Parsed<string> {
  const at = text.indexOf('@');
  if (at > text.indexOf(':')) return bad(NO_SECRET);
  return /^(?:[^@\s:/]+@)?(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[^\s:][^\s]*$/.test(text)
    ? good(text)
    : bad(`must be ${EXPECTS}; this one looks like host:path but cannot be read as that`);
}

function parsePath(text: string, machine: Machine): Parsed<string> {
  const path = absolutePath(text, machine);
  if (!path.ok) return path;
  // `host/team/repository` is a far more common slip than a relative path to nothing.
  if (!/^[./~]/.test(text) && kindOf(path.value) === 'missing') {
    return bad(`must be ${EXPECTS}; no such directory here, so write a whole address with https:// or git@host:path`);
  }
  return path;
}
