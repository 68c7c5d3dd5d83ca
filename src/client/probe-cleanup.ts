/**
 * Takes the records of probes off the branch again, in one commit. The history keeps them.
 *
 * A record may go once its task has no ref left: then nobody records it again, and an id that was drawn at random for this one
 * run is never queued a second time. Whoever still claims the task on an old view sees at its second look that it is gone.
 * What a death leaves here are records that stay, which is the harmless mistake.
 */
import { MODE_TREE } from '../git/objects.ts';
import type { Oid } from '../git/oid.ts';
import { editTree } from '../git/tree-edit.ts';
import { listDirectory, lookUpPath } from '../git/tree-lookup.ts';
import type { GridView } from '../ledger/grid-view.ts';
import { COMPLETED_DIR, FAILED_DIR } from '../ledger/names.ts';
import type { TaskId } from '../task/id.ts';
import type { GridClient } from './grid-client.ts';

/** Of a record, of its signature; a directory of outputs has none. */
const RECORD_ENDING = /\.json(?:\.sig)?$/;
const MAX_ROUNDS = 12;
const LOOK_MS = 1_000;
/** The janitor comes with the workers' next looks. */
const JANITOR_WAIT_MS = 90_000;

export type CleanupOutcome =
  /** `kept`: still in work, or the janitor had not come. */
  { kind: 'done'; removed: number; kept: number } | { kind: 'refused'; reason: string } | { kind: 'crowded' };

/** @throws GitError */
export async function cleanUpProbes(client: GridClient, ids: readonly TaskId[]): Promise<CleanupOutcome> {
  const { clock, repository, signal, writer } = client;
  const giveUpMs = clock.monotonicMs() + JANITOR_WAIT_MS;
  let view = await client.refresh();
  while (ids.some((id) => view.tasks.has(id)) && clock.monotonicMs() < giveUpMs && !signal.aborted) {
    await clock.sleep(LOOK_MS, signal);
    view = await client.refresh();
  }
  let sent = 0;
  for (let round = 1; round <= MAX_ROUNDS; round += 1) {
    const gone = ids.filter((id) => !view.tasks.has(id) && view.queue.recordOf(id) !== null);
    const kept = ids.filter((id) => view.tasks.has(id)).length;
    // After a push whose answer got lost, what it took away is ours all the same.
    if (gone.length === 0) return { kind: 'done', removed: sent, kept };
    const paths = await filesOf(client, view, gone);
    const read = (oids: readonly Oid[]) => repository.readObjects(oids, signal);
    const edited = await editTree(
      view.tipTree,
      paths.map((path) => ({ path, oid: null })),
      read,
      client.format,
    );
    const subject = `Remove the records of ${gone.length} probe tasks\n`;
    const commit = writer.commit(edited.root.oid, view.tip ? [view.tip] : [], subject);
    const swap = { ref: view.branch, from: view.tip, to: commit.oid };
    const verdict = (await repository.swapRefs([swap], [...edited.created, commit], signal)).get(view.branch);
    if (verdict?.kind === 'refused') return { kind: 'refused', reason: verdict.reason };
    if (verdict?.kind === 'applied') return { kind: 'done', removed: gone.length, kept };
    sent = gone.length;
    view = await client.refresh();
  }
  return { kind: 'crowded' };
}

/** Records, their signatures, and the outputs that stand beside them. */
async function filesOf(client: GridClient, view: GridView, ids: readonly TaskId[]): Promise<string[]> {
  const { tipTree } = view;
  if (tipTree === null) return [];
  const read = (oids: readonly Oid[]) => client.repository.readObjects(oids, client.signal);
  const wanted = new Set<string>(ids);
  const paths: string[] = [];
  for (const parent of [COMPLETED_DIR, FAILED_DIR]) {
    const directory = await lookUpPath(tipTree, parent, read, client.format);
    for (const entry of directory ? await listDirectory(directory, read, client.format) : []) {
      if (!wanted.has(entry.name.replace(RECORD_ENDING, ''))) continue;
      const path = `${parent}/${entry.name}`;
      if (entry.mode !== MODE_TREE) paths.push(path);
      else for (const { name } of await listDirectory(entry, read, client.format)) paths.push(`${path}/${name}`);
    }
  }
  return paths;
}
