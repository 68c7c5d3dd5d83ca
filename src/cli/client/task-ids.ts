/** Task ids as arguments. */
import type { GridClient } from '../../client/grid-client.ts';
import { nearest } from '../../config/suggestion.ts';
import type { GridView } from '../../ledger/grid-view.ts';
import { standingOf } from '../../ledger/task-standing.ts';
import { isTaskId, type TaskId } from '../../task/id.ts';
import { Failure } from '../failure.ts';

/** Looking for a similar name among more than this takes longer than a hint is worth. */
const MAX_CANDIDATES = 5_000;

/** Each once, in the order given. @throws Failure (usage) that names all that are no ids. */
export function taskIds(texts: readonly string[]): TaskId[] {
  const wrong = texts.filter((text) => !isTaskId(text));
  if (wrong.length > 0) {
    const problems = wrong.map((text) => ({
      name: JSON.stringify(text),
      message: 'is no task id: 1 to 63 of a-z, 0-9, "_" and "-", beginning with a letter or figure',
    }));
    throw new Failure('usage', wrong.length === 1 ? 'this is no task id' : 'these are no task ids', { problems });
  }
  return [...new Set(texts.filter(isTaskId))];
}

/** @throws Failure that names all tasks which the grid does not know. */
export function refuseUnknown(client: GridClient, view: GridView, ids: readonly TaskId[]): void {
  const unknown = ids.filter((id) => standingOf(view, id).kind === 'unknown');
  if (unknown.length > 0) throw unknownTasks(client, view, unknown);
}

export function unknownTasks(client: GridClient, view: GridView, ids: readonly TaskId[]): Failure {
  const known = [...view.queue.files.keys(), ...view.tasks.keys()].slice(0, MAX_CANDIDATES);
  const place = `the queue, in work or among the results of branch ${view.branch.replace('refs/heads/', '')}`;
  const problems = ids.map((id) => {
    const meant = nearest(id, known);
    const hint = meant === null ? '; "dgrid status" shows what is there' : `; did you mean ${meant}?`;
    return { name: id, message: `is not in ${place} (${client.reader.namespace})${hint}` };
  });
  return new Failure('failed', ids.length === 1 ? 'there is no such task' : 'there are no such tasks', { problems });
}
