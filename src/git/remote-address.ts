/** Where the remote is: what the operator wrote, taken apart so that no secret stays in the part that Git gets to see. */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface RemoteAddress {
  transport: 'http' | 'ssh' | 'git' | 'file';
  /** Without user and password for http; a path is absolute. Fit for logs and process lists. */
  url: string;
  /** `https://host:port` for http, else null. */
  origin: string | null;
  /** From an http URL, decoded; ssh keeps its user in the URL, where it is no secret. */
  user: string | null;
  password: string | null;
}

/**
 * Takes https, http, ssh, git and file URLs, `user@host:path`, and paths (relative ones against the working directory).
 * @throws RangeError when it is nothing of that; its text does not repeat the input, which may hold a secret.
 */
export function parseRemoteAddress(text: string): RemoteAddress {
  const trimmed = text.trim();
  if (trimmed === '' || /\p{Cc}/u.test(trimmed)) throw new RangeError('the repository address is empty or garbled');
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(trimmed)?.[1]?.toLowerCase();
  switch (scheme) {
    case undefined:
      return plainAddress(trimmed);
    case 'http':
    case 'https':
      return httpAddress(trimmed);
    case 'ssh':
    case 'git+ssh':
    case 'ssh+git':
      return { transport: 'ssh', url: withoutPassword(trimmed), origin: null, user: null, password: null };
    case 'git':
      return { transport: 'git', url: trimmed, origin: null, user: null, password: null };
    case 'file':
      return { transport: 'file', url: filePath(trimmed), origin: null, user: null, password: null };
    default:
      throw new RangeError('the repository address has a scheme other than https, http, ssh, git or file');
  }
}

/** As Git reads it: a colon before the first slash makes it `host:path`, everything else is a path. */
function plainAddress(text: string): RemoteAddress {
  if (/^[^/]*::/.test(text)) throw new RangeError('remote helpers (name::address) are not allowed');
  const remote = /^[^/]+:/.test(text);
  if (remote) return { transport: 'ssh', url: text, origin: null, user: null, password: null };
  return { transport: 'file', url: resolve(text), origin: null, user: null, password: null };
}

function httpAddress(text: string): RemoteAddress {
  const url = parseUrl(text);
  const user = url.username === '' ? null : decode(url.username);
  const password = url.password === '' ? null : decode(url.password);
  url.username = '';
  url.password = '';
  url.hash = '';
  return { transport: 'http', url: url.href, origin: url.origin, user, password };
}

function withoutPassword(text: string): string {
  const url = parseUrl(text);
  if (url.password === '') return text;
  url.password = '';
  return url.href;
}

function filePath(text: string): string {
  try {
    return fileURLToPath(text);
  } catch {
    throw new RangeError('the repository address is no file URL of this machine');
  }
}

function parseUrl(text: string): URL {
  const url = URL.parse(text);
  if (!url || url.hostname === '') throw new RangeError('the repository address is no URL');
  return url;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
