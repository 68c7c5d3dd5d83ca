/** What in a grid can never become a task, or has no place there: for a person to mend. Pure. */
import type { GridView } from '../ledger/grid-view.ts';
import { QUEUE_DIR } from '../ledger/names.ts';

export interface GridProblem {
  path: string;
  problem: string;
}

export function* gridProblems(view: GridView): Generator<GridProblem> {
  const { alreadyRecorded, duplicates, files, illegalPaths, leftOut, moreIllegalPaths, unreadable } = view.queue;
  for (const path of illegalPaths) {
    yield { path, problem: 'its name is no task id followed by .json: rename or remove it' };
  }
  if (moreIllegalPaths > 0) {
    yield { path: QUEUE_DIR, problem: `${moreIllegalPaths} more files have names that are no task ids` };
  }
  yield* unreadable;
  if (leftOut !== null) {
    yield { path: leftOut, problem: 'the queue has more than is read: this, and more, was left out' };
  }
  for (const ref of view.illegalRefs) {
    yield { path: ref, problem: 'it is the ref of no task and no node: remove it' };
  }
  for (const others of duplicates.values()) {
    for (const { path, taskId } of others) {
      const problem = `${files.get(taskId)?.path ?? taskId} has the same task id: rename or remove one of the two`;
      yield { path, problem };
    }
  }
  for (const id of alreadyRecorded) {
    const problem = 'the task has a record already: to run it again, give it a new task id';
    yield { path: files.get(id)?.path ?? id, problem };
  }
}
