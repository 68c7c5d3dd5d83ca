/**
 * Git's object formats, read and written without a git process: ids are known before anything is stored, which is what
 * lets a swap be prepared, sent and recognised again.
 *
 * Format: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects; tree order as in git's `base_name_compare`
 * (a directory sorts as if its name ended in `/`).
 */
import { createHash } from 'node:crypto';
import type { DeltaPart } from './delta.ts';
import type { ObjectFormat, Oid } from './oid.ts';

export type ObjectType = 'blob' | 'tree' | 'commit' | 'tag';

export interface GitObject {
  readonly type: ObjectType;
  readonly oid: Oid;
  readonly content: Buffer;
  /** For one that was made by changing another: how, so that only the difference need be sent. */
  readonly basis?: { readonly oid: Oid; readonly bytes: number; readonly parts: readonly DeltaPart[] };
}

export const MODE_TREE = '40000';
export const MODE_FILE = '100644';

export interface TreeEntry {
  /** Octal, without leading zeros, as Git writes it. */
  mode: string;
  name: string;
  oid: Oid;
}

export interface Identity {
  name: string;
  email: string;
  /** Seconds since 1970; the zone is always UTC. */
  seconds: number;
}

export interface CommitData {
  tree: Oid;
  parents: readonly Oid[];
  author: Identity;
  committer: Identity;
  message: string;
}

export function makeObject(type: ObjectType, content: Uint8Array, format: ObjectFormat): GitObject {
  const buffer = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  const id = createHash(format).update(`${type} ${buffer.length}\0`).update(buffer).digest('hex');
  return { type, oid: id as Oid, content: buffer };
}

export function makeBlob(content: Uint8Array | string, format: ObjectFormat): GitObject {
  return makeObject('blob', typeof content === 'string' ? Buffer.from(content, 'utf8') : content, format);
}

/** Entries may come in any order. @throws RangeError on a name that no tree may hold, or one given twice. */
export function makeTree(entries: readonly TreeEntry[], format: ObjectFormat): GitObject {
  const keyed = entries.map((entry) => {
    const name = Buffer.from(entry.name, 'utf8');
    if (name.length === 0 || name.includes(0) || name.includes(0x2f) || entry.name === '.' || entry.name === '..') {
      throw new RangeError(`not a name for a tree entry: ${JSON.stringify(entry.name)}`);
    }
    return { entry, name, key: entry.mode === MODE_TREE ? Buffer.concat([name, Buffer.from('/')]) : name };
  });
  keyed.sort((a, b) => Buffer.compare(a.key, b.key));
  const parts: Buffer[] = [];
  const seen = new Set<string>();
  for (const { entry, name } of keyed) {
    if (seen.has(entry.name)) throw new RangeError(`tree entry given twice: ${JSON.stringify(entry.name)}`);
    seen.add(entry.name);
    parts.push(Buffer.from(`${entry.mode} `), name, Buffer.from([0]), Buffer.from(entry.oid, 'hex'));
  }
  return makeObject('tree', Buffer.concat(parts), format);
}

/** @throws RangeError when the bytes are no tree. */
export function parseTree(content: Buffer, format: ObjectFormat): TreeEntry[] {
  return [...treeEntries(content, format)];
}

/** One after the other: a directory of a hundred thousand entries need not be held as objects. @throws RangeError */
export function* treeEntries(content: Buffer, format: ObjectFormat): Generator<TreeEntry> {
  for (const { at, space, nul, end } of entryBounds(content, format)) {
    yield {
      mode: content.toString('latin1', at, space),
      name: content.toString('utf8', space + 1, nul),
      oid: content.toString('hex', nul + 1, end) as Oid,
    };
  }
}

/** How many entries a tree has. @throws RangeError when the bytes are no tree. */
export function countEntries(content: Buffer, format: ObjectFormat): number {
  let count = 0;
  for (const _ of entryBounds(content, format)) count += 1;
  return count;
}

function* entryBounds(
  content: Buffer,
  format: ObjectFormat,
): Generator<{ at: number; space: number; nul: number; end: number }> {
  const idBytes = format === 'sha1' ? 20 : 32;
  let at = 0;
  while (at < content.length) {
    const space = content.indexOf(0x20, at);
    const nul = space < 0 ? -1 : content.indexOf(0, space);
    const end = nul + 1 + idBytes;
    if (space < 0 || nul < 0 || end > content.length) throw new RangeError(`malformed tree at byte ${at}`);
    yield { at, space, nul, end };
    at = end;
  }
}

/** As `parseTree`; null when the bytes are no tree. */
export function entriesOf(content: Buffer, format: ObjectFormat): TreeEntry[] | null {
  try {
    return parseTree(content, format);
  } catch {
    return null;
  }
}

export function makeCommit(data: CommitData, format: ObjectFormat): GitObject {
  const lines = [
    `tree ${data.tree}`,
    ...data.parents.map((parent) => `parent ${parent}`),
    `author ${identityLine(data.author)}`,
    `committer ${identityLine(data.committer)}`,
    '',
    data.message,
  ];
  return makeObject('commit', Buffer.from(lines.join('\n'), 'utf8'), format);
}

function identityLine(identity: Identity): string {
  return `${cleanIdentity(identity.name)} <${cleanIdentity(identity.email)}> ${Math.floor(identity.seconds)} +0000`;
}

/** Git refuses these characters inside a name or an address. */
function cleanIdentity(text: string): string {
  return text.replace(/[<>\n\0]/g, '').trim();
}

export interface ParsedCommit {
  tree: Oid;
  parents: Oid[];
  message: string;
  /** Seconds since 1970 by the committer's clock; null if unreadable. For people to read only. */
  committedAtSeconds: number | null;
}

/** @throws RangeError when the bytes are no commit. */
export function parseCommit(content: Buffer): ParsedCommit {
  const end = content.indexOf('\n\n');
  const header = content.toString('utf8', 0, end < 0 ? content.length : end);
  const message = end < 0 ? '' : content.toString('utf8', end + 2);
  let tree: string | undefined;
  const parents: Oid[] = [];
  let committedAtSeconds: number | null = null;
  for (const line of header.split('\n')) {
    if (line.startsWith('tree ')) tree ??= line.slice(5);
    else if (line.startsWith('parent ')) parents.push(line.slice(7) as Oid);
    else if (line.startsWith('committer ')) {
      const seconds = Number(/ (\d{1,15}) [+-]\d{4}$/.exec(line)?.[1]);
      committedAtSeconds = Number.isFinite(seconds) ? seconds : null;
    }
  }
  if (!tree || !/^[0-9a-f]{40,64}$/.test(tree)) throw new RangeError('malformed commit: no tree');
  return { tree: tree as Oid, parents, message, committedAtSeconds };
}
