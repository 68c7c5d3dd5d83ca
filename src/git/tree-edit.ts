/**
 * Changes to a tree of any size, without a checkout and reading only the directories on the changed paths.
 */
import { GitError } from './errors.ts';
import { type GitObject, MODE_FILE, MODE_TREE, makeObject, makeTree } from './objects.ts';
import type { ObjectFormat, Oid } from './oid.ts';
import { type EntryChange, findEntry, sortTree, spliceTree } from './tree-splice.ts';

/** `oid: null` removes the file (no error when it is not there); a directory that becomes empty disappears. */
export interface PathEdit {
  path: string;
  oid: Oid | null;
  mode?: string;
}

export type TreeReader = (oids: readonly Oid[]) => Promise<ReadonlyMap<Oid, GitObject>>;

interface DirEdit {
  files: Map<string, { oid: Oid | null; mode: string }>;
  dirs: Map<string, DirEdit>;
}

/**
 * @param root the tree to start from; null for an empty one.
 * @returns the new root, and the trees that did not exist before (the root among them, even when unchanged).
 * @throws RangeError on a path that is empty or contains `.`, `..` or an empty part; GitError (`corrupt-local`) when a tree is not readable.
 */
export async function editTree(
  root: Oid | null,
  edits: readonly PathEdit[],
  read: TreeReader,
  format: ObjectFormat,
): Promise<{ root: GitObject; created: GitObject[] }> {
  const plan: DirEdit = { files: new Map(), dirs: new Map() };
  for (const edit of edits) addEdit(plan, edit);
  const created: GitObject[] = [];
  const built = await build(root, plan, read, format, created);
  const tree = built ?? makeTree([], format);
  if (!built) created.push(tree);
  return { root: tree, created };
}

function addEdit(plan: DirEdit, edit: PathEdit): void {
  const parts = edit.path.split('/');
  if (parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw new RangeError(`not a path inside a tree: ${JSON.stringify(edit.path)}`);
  }
  let dir = plan;
  for (const part of parts.slice(0, -1)) {
    let next = dir.dirs.get(part);
    if (!next) dir.dirs.set(part, (next = { files: new Map(), dirs: new Map() }));
    dir = next;
  }
  dir.files.set(parts.at(-1) as string, { oid: edit.oid, mode: edit.mode ?? MODE_FILE });
}

/** Answers null for a directory that ends up empty. */
async function build(
  from: Oid | null,
  plan: DirEdit,
  read: TreeReader,
  format: ObjectFormat,
  created: GitObject[],
): Promise<GitObject | null> {
  const old = from ? (await read([from])).get(from) : makeTree([], format);
  if (old?.type !== 'tree') throw new GitError('corrupt-local', 'read', `tree ${from} is not readable`);
  const changes: EntryChange[] = [];
  const directories = new Set<string>();
  for (const [name, dir] of plan.dirs) {
    const before = findEntry(old.content, name, MODE_TREE, format);
    const subtree = await build(before, dir, read, format, created);
    if (subtree) directories.add(name);
    if (subtree || before) changes.push({ name, mode: MODE_TREE, oid: subtree?.oid ?? null });
  }
  for (const [name, { oid, mode }] of plan.files) if (!directories.has(name)) changes.push({ name, mode, oid });
  // What is taken out must be found. Directories that are only added to may be very large, and nobody else writes there.
  const takesOut = changes.some(({ oid }) => oid === null);
  const sorted = takesOut ? sortTree(old.content, format) : old.content;
  const { content, parts } = spliceTree(sorted, changes, format);
  if (content.length === 0) return null;
  const made = makeObject('tree', content, format);
  const tree =
    from && sorted === old.content ? { ...made, basis: { oid: from, bytes: old.content.length, parts } } : made;
  created.push(tree);
  return tree;
}
