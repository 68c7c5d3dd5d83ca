/** The layout of a task repository, laid into one that may hold anything else. What is there already is left as it is. */
import { dirname } from 'node:path';
import { type GitObject, MODE_TREE, makeBlob } from '../git/objects.ts';
import type { Oid } from '../git/oid.ts';
import { editTree } from '../git/tree-edit.ts';
import { listDirectory, lookUpPath } from '../git/tree-lookup.ts';
import type { GridView } from '../ledger/grid-view.ts';
import { COMPLETED_DIR, FAILED_DIR, QUEUE_DIR } from '../ledger/names.ts';
import { taskJsonSchema } from '../task/task-schema.ts';
import type { GridClient } from './grid-client.ts';
import { README_TEXT } from './readme-text.ts';

const MAX_ROUNDS = 8;
export const SCHEMA_FILE = 'task.schema.json';
const README_FILE = 'README.md';
/**
 * Tells editors of the schema. Task files do not name it themselves: an ignored field would be one that workers of older
 * versions refuse, and that a signature covers for nothing.
 */
const EDITOR_FILE = '.vscode/settings.json';
const EDITOR_SETTINGS = { 'json.schemas': [{ fileMatch: [`/${QUEUE_DIR}/**/*.json`], url: `./${SCHEMA_FILE}` }] };

export type LayoutOutcome =
  /** `commit` is null when there was nothing to add. */
  | { kind: 'done'; branch: string; commit: Oid | null; added: string[]; kept: string[] }
  | { kind: 'refused'; reason: string }
  | { kind: 'crowded' };

/** In one commit. Doing it again adds nothing. @throws GitError */
export async function layOut(client: GridClient): Promise<LayoutOutcome> {
  const { repository, signal, writer } = client;
  /** By everything that we may have pushed. */
  let added: string[] = [];
  for (let round = 1; round <= MAX_ROUNDS; round += 1) {
    const view = await client.refresh();
    const { missing, kept } = await compare(client, view);
    const branch = view.branch.replace(/^refs\/heads\//, '');
    if (missing.length === 0) {
      // After a push of ours whose answer got lost, what it brought is ours all the same.
      return { kind: 'done', branch, commit: null, added, kept: kept.filter((path) => !added.includes(path)) };
    }
    const blobs: GitObject[] = missing.map(({ text }) => makeBlob(text, client.format));
    const edits = missing.map(({ path }, index) => ({ path, oid: blobs[index]?.oid ?? null }));
    const edited = await editTree(view.tipTree, edits, (oids) => repository.readObjects(oids, signal), client.format);
    const commit = writer.commit(edited.root.oid, view.tip ? [view.tip] : [], 'Lay out the task repository\n');
    added = missing.map(({ path }) => path);
    const outcome = await client.push({
      swap: { ref: view.branch, from: view.tip, to: commit.oid },
      objects: [...blobs, ...edited.created, commit],
      step: 'swap.lay-out',
    });
    if (outcome.kind === 'won') return { kind: 'done', branch, commit: commit.oid, added, kept };
    if (outcome.kind === 'refused') return outcome;
  }
  return { kind: 'crowded' };
}

async function compare(
  client: GridClient,
  view: GridView,
): Promise<{ missing: { path: string; text: string }[]; kept: string[] }> {
  const missing: { path: string; text: string }[] = [];
  const kept: string[] = [];
  const read = (oids: readonly Oid[]) => client.repository.readObjects(oids, client.signal);
  const { tipTree } = view;
  for (const dir of [QUEUE_DIR, COMPLETED_DIR, FAILED_DIR]) {
    const entry = tipTree ? await lookUpPath(tipTree, dir, read, client.format) : null;
    if (entry) kept.push(dir);
    else missing.push({ path: `${dir}/.gitkeep`, text: '' });
  }
  const root = tipTree ? await listDirectory({ mode: MODE_TREE, oid: tipTree }, read, client.format) : [];
  const readme = root.find(({ name }) => /^readme(?:\.|$)/i.test(name));
  if (readme) kept.push(readme.name);
  else missing.push({ path: README_FILE, text: README_TEXT });
  if (root.some(({ name }) => name === SCHEMA_FILE)) kept.push(SCHEMA_FILE);
  else missing.push({ path: SCHEMA_FILE, text: jsonText(taskJsonSchema()) });
  const editor = tipTree ? await lookUpPath(tipTree, EDITOR_FILE, read, client.format) : null;
  if (editor) kept.push(EDITOR_FILE);
  // A file of that name would be in the way of the directory.
  else if (!root.some(({ name, mode }) => name === dirname(EDITOR_FILE) && mode !== MODE_TREE))
    missing.push({ path: EDITOR_FILE, text: jsonText(EDITOR_SETTINGS) });
  return { missing, kept };
}

function jsonText(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
