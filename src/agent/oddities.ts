/**
 * What is wrong in the repository and can have no record: told by name, once for as long as it lasts. Who can write there can
 * make any number of it, so only so many are told in one look; the others have their turn in the next ones.
 */
import type { GridView } from '../ledger/grid-view.ts';
import { QUEUE_DIR } from '../ledger/names.ts';
import type { Emit, EventFields, EventName } from '../observe/events.ts';

const MAX_TOLD_IN_A_LOOK = 200;
const MAX_PATH_CHARACTERS = 500;

interface Oddity {
  event: EventName;
  /** What it is about: the same again is not told again. */
  key: string;
  fields: EventFields;
}

export class Oddities {
  readonly #emit: Emit;
  #told = new Set<string>();

  constructor(emit: Emit) {
    this.#emit = emit;
  }

  tell(view: GridView): void {
    const told = new Set<string>();
    let left = MAX_TOLD_IN_A_LOOK;
    for (const { event, key, fields } of odditiesOf(view)) {
      const name = `${event} ${key}`;
      if (told.has(name)) continue;
      if (!this.#told.has(name)) {
        if (left === 0) continue;
        left -= 1;
        this.#emit(event, fields);
      }
      told.add(name);
    }
    this.#told = told;
  }
}

function* odditiesOf({ illegalRefs, nodes, queue, tasks }: GridView): Generator<Oddity> {
  for (const [id, { oid, state }] of tasks) {
    const key = `${id} ${oid}`;
    if (state?.kind === 'newer-format') {
      yield { event: 'task.newer-format', key, fields: { task: id, format: state.format } };
    } else if (state?.kind === 'unreadable') {
      yield { event: 'task.unreadable-state', key, fields: { task: id, problem: state.problem } };
    }
  }
  for (const [id, { oid, state }] of nodes) {
    if (state?.kind !== 'unreadable') continue;
    const fields = { unreadable_node: id, problem: state.problem };
    yield { event: 'node.unreadable-state', key: `${id} ${oid}`, fields };
  }
  for (const ref of illegalRefs) yield { event: 'ref.illegal-name', key: ref, fields: { ref: shortened(ref) } };
  for (const { path, problem } of queue.unreadable) {
    yield { event: 'queue.unreadable', key: path, fields: { path: shortened(path), problem } };
  }
  if (queue.leftOut !== null) {
    yield { event: 'queue.too-large', key: queue.leftOut, fields: { path: shortened(queue.leftOut) } };
  }
  for (const path of queue.illegalPaths) {
    yield { event: 'queue.illegal-name', key: path, fields: { path: shortened(path) } };
  }
  if (queue.moreIllegalPaths > 0) {
    const count = queue.moreIllegalPaths;
    yield { event: 'queue.more-illegal-names', key: String(count), fields: { path: QUEUE_DIR, count } };
  }
  for (const files of queue.duplicates.values()) {
    for (const { path, taskId } of files) {
      yield { event: 'queue.duplicate', key: path, fields: { path: shortened(path), task: taskId } };
    }
  }
  for (const id of queue.alreadyRecorded) {
    yield { event: 'queue.already-recorded', key: id, fields: { path: queue.files.get(id)?.path, task: id } };
  }
}

function shortened(path: string): string {
  return path.length <= MAX_PATH_CHARACTERS ? path : `${path.slice(0, MAX_PATH_CHARACTERS).toWellFormed()}…`;
}
