/**
 * Changes to the entries of one tree, on its bytes: what does not change is neither taken apart nor sorted again, so a tree of
 * a million entries costs one pass. Answers also what stayed and what is new, which is the delta to send.
 */
import type { DeltaPart } from './delta.ts';
import { MODE_TREE } from './objects.ts';
import type { ObjectFormat, Oid } from './oid.ts';

const SPACE = 0x20;
const SLASH = 0x2f;
/** "40000"; every other mode begins with a 1. */
const TREE_MODE = 0x34;

/** `oid: null` takes the entry out; `mode` says then which kind of entry is meant. */
export interface EntryChange {
  name: string;
  mode: string;
  oid: Oid | null;
}

export interface SplicedTree {
  content: Buffer;
  /** The new tree as pieces of the old one and bytes of its own. */
  parts: DeltaPart[];
}

interface Operation {
  /** The name as trees are sorted by it: a directory as if it ended in a slash. */
  key: Buffer;
  /** What comes in its place. */
  bytes: Buffer | null;
}

/**
 * Pure. A name that is set takes the place of whatever had it before, directory or file.
 * @throws RangeError when the bytes are no tree.
 */
export function spliceTree(old: Buffer, changes: readonly EntryChange[], format: ObjectFormat): SplicedTree {
  const idBytes = format === 'sha1' ? 20 : 32;
  const parts: DeltaPart[] = [];
  let kept = 0;
  let at = 0;
  const keepUntil = (end: number): void => {
    if (end > kept) parts.push({ from: kept, length: end - kept });
  };
  for (const { key, bytes } of operationsOf(changes)) {
    let order = 1;
    let end = at;
    while (at < old.length) {
      const space = old.indexOf(SPACE, at);
      const nul = space < 0 ? -1 : old.indexOf(0, space);
      end = nul + 1 + idBytes;
      if (space < 0 || nul < 0 || end > old.length) throw new RangeError(`malformed tree at byte ${at}`);
      order = compareEntry(old, { modeAt: at, nameAt: space + 1, end: nul }, key);
      if (order >= 0) break;
      at = end;
    }
    const replaced = at < old.length && order === 0;
    if (!replaced && bytes === null) continue;
    keepUntil(at);
    if (bytes) parts.push(bytes);
    if (replaced) at = end;
    kept = at;
  }
  keepUntil(old.length);
  const content = Buffer.concat(
    parts.map((part) => (Buffer.isBuffer(part) ? part : old.subarray(part.from, part.from + part.length))),
  );
  return { content, parts };
}

/**
 * The same entries in the order that trees have. Git writes no other, but somebody may, and what is looked for in such a tree
 * would not be found. Pure. @throws RangeError when the bytes are no tree.
 */
export function sortTree(tree: Buffer, format: ObjectFormat): Buffer {
  const idBytes = format === 'sha1' ? 20 : 32;
  const entries: { key: Buffer; bytes: Buffer }[] = [];
  let inOrder = true;
  for (let at = 0; at < tree.length; ) {
    const space = tree.indexOf(SPACE, at);
    const nul = space < 0 ? -1 : tree.indexOf(0, space);
    const end = nul + 1 + idBytes;
    if (nul < 0 || end > tree.length) throw new RangeError(`malformed tree at byte ${at}`);
    const name = tree.subarray(space + 1, nul);
    const key = tree[at] === TREE_MODE ? Buffer.concat([name, Buffer.from('/')]) : name;
    const before = entries.at(-1);
    inOrder &&= !before || Buffer.compare(before.key, key) <= 0;
    entries.push({ key, bytes: tree.subarray(at, end) });
    at = end;
  }
  if (inOrder) return tree;
  return Buffer.concat(entries.sort((a, b) => Buffer.compare(a.key, b.key)).map(({ bytes }) => bytes));
}

/** The id of one entry of a tree, or null. Pure. */
export function findEntry(tree: Buffer, name: string, mode: string, format: ObjectFormat): Oid | null {
  const needle = Buffer.from(`${mode} ${name}\0`, 'utf8');
  const idBytes = format === 'sha1' ? 20 : 32;
  for (let at = 0; at < tree.length; ) {
    const nul = tree.indexOf(0, at);
    if (nul < 0) return null;
    const end = nul + 1 + idBytes;
    if (nul + 1 - at === needle.length && tree.compare(needle, 0, needle.length, at, nul + 1) === 0) {
      return tree.toString('hex', nul + 1, end) as Oid;
    }
    at = end;
  }
  return null;
}

function operationsOf(changes: readonly EntryChange[]): Operation[] {
  const operations = changes.flatMap(({ name, mode, oid }): Operation[] => {
    const file = Buffer.from(name, 'utf8');
    const directory = Buffer.from(`${name}/`, 'utf8');
    const isTree = mode === MODE_TREE;
    if (oid === null) return [{ key: isTree ? directory : file, bytes: null }];
    const bytes = Buffer.concat([Buffer.from(`${mode} `), file, Buffer.from([0]), Buffer.from(oid, 'hex')]);
    return [
      { key: file, bytes: isTree ? null : bytes },
      { key: directory, bytes: isTree ? bytes : null },
    ];
  });
  return operations.sort((a, b) => Buffer.compare(a.key, b.key));
}

/** @returns below 0 when the entry comes before the key, 0 when it is the one. */
function compareEntry(tree: Buffer, entry: { modeAt: number; nameAt: number; end: number }, key: Buffer): number {
  const isTree = tree[entry.modeAt] === TREE_MODE;
  const nameBytes = entry.end - entry.nameAt;
  if (!isTree) return tree.compare(key, 0, key.length, entry.nameAt, entry.end);
  const order = tree.compare(key, 0, Math.min(key.length, nameBytes), entry.nameAt, entry.end);
  if (order !== 0 || key.length < nameBytes) return order === 0 ? 1 : order;
  if (key.length === nameBytes) return 1;
  const next = key[nameBytes] as number;
  if (next !== SLASH) return SLASH - next;
  return key.length === nameBytes + 1 ? 0 : -1;
}
