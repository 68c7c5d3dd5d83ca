/** Finding one path in a tree, reading only the directories on the way. */
import { entriesOf, MODE_TREE, type TreeEntry } from './objects.ts';
import type { ObjectFormat, Oid } from './oid.ts';
import type { TreeReader } from './tree-edit.ts';

/** null when there is nothing at the path. A directory that is not readable counts as empty. @throws GitError */
export async function lookUpPath(
  root: Oid,
  path: string,
  read: TreeReader,
  format: ObjectFormat,
): Promise<TreeEntry | null> {
  let entry: TreeEntry = { mode: MODE_TREE, name: '', oid: root };
  for (const part of path.split('/')) {
    const next = (await listDirectory(entry, read, format)).find(({ name }) => name === part);
    if (!next) return null;
    entry = next;
  }
  return entry;
}

/** Empty for what is no directory. @throws GitError */
export async function listDirectory(
  entry: Pick<TreeEntry, 'mode' | 'oid'>,
  read: TreeReader,
  format: ObjectFormat,
): Promise<TreeEntry[]> {
  if (entry.mode !== MODE_TREE) return [];
  const object = (await read([entry.oid])).get(entry.oid);
  return object?.type === 'tree' ? (entriesOf(object.content, format) ?? []) : [];
}
