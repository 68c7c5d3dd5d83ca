/**
 * Task files with fields that this version does not know. On a grid of one version such a file is a mistake, and its author
 * is told so by a record. While workers are being updated it may be a task of a newer client: so it is left alone for as
 * long as a node lives that knows all of its fields, which each node tells in its signs of life.
 */
import type { QueueFile } from '../ledger/found-files.ts';
import type { GridView } from '../ledger/grid-view.ts';
import type { Emit } from '../observe/events.ts';
import type { NodeId } from '../task/id.ts';

const MAX_TOLD_IN_A_LOOK = 50;

export interface NewerFieldsParts {
  nodeId: NodeId;
  /** Of this node: the patience with nodes whose own cannot be read. */
  nodeTtlMs: number;
  /** For how long a node seems to have been silent. */
  silentMs: (id: NodeId) => number;
  emit: Emit;
}

export class NewerFields {
  readonly #parts: NewerFieldsParts;
  /** Files that were left, as last told. */
  #told = new Set<string>();

  constructor(parts: NewerFieldsParts) {
    this.#parts = parts;
  }

  /** For one look at the grid: whether a file with such fields is left to others. */
  look(view: GridView): (file: QueueFile, fields: readonly string[]) => boolean {
    const before = this.#told;
    const told = new Set<string>();
    this.#told = told;
    let isKnown: ReturnType<typeof knownElsewhere> | null = null;
    let left = MAX_TOLD_IN_A_LOOK;
    return (file, fields) => {
      isKnown ??= knownElsewhere(view, this.#parts);
      const { isUnread, knows } = isKnown(fields);
      // Nobody is blamed, and nothing is told, before all have been read.
      if (knows === null) return isUnread;
      const key = `${file.taskId} ${file.blob}`;
      if (!before.has(key)) {
        if (left === 0) return true;
        left -= 1;
        this.#parts.emit('task.left-to-newer', { task: file.taskId, fields, to: knows });
      }
      told.add(key);
      return true;
    };
  }
}

/** @returns a node that knows them all, if there is one; `isUnread`: there are nodes that may, and that the next look reads. */
function knownElsewhere(
  view: GridView,
  { nodeId, nodeTtlMs, silentMs }: NewerFieldsParts,
): (fields: readonly string[]) => { knows: NodeId | null; isUnread: boolean } {
  const others: { id: NodeId; known: ReadonlySet<unknown> | 'all' }[] = [];
  let isUnread = false;
  for (const [id, { state }] of view.nodes) {
    if (id === nodeId) continue;
    if (state === null) isUnread = true;
    // A worker so new that its signs of life cannot be read.
    else if (state.kind === 'newer-format' && silentMs(id) <= nodeTtlMs) others.push({ id, known: 'all' });
    else if (state.kind === 'state' && state.state.state === 'alive' && silentMs(id) <= state.state.ttlMs) {
      const told = state.state.info['task_fields'];
      // Older ones tell nothing, and know no more than this one does.
      if (Array.isArray(told)) others.push({ id, known: new Set<unknown>(told) });
    }
  }
  return (fields) => {
    const knowing = others.find(({ known }) => known === 'all' || fields.every((field) => known.has(field)));
    return { knows: knowing?.id ?? null, isUnread };
  };
}
