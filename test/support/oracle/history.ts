/**
 * What happened in a grid, as seen from outside: every move of every ref in the remote's own order, what workers were
 * told of their swaps, and what they started. The oracle judges nothing else.
 */
import type { GitObject } from '../../../src/git/objects.ts';
import type { ObjectFormat, Oid, RefName } from '../../../src/git/oid.ts';
import type { Namespace } from '../../../src/ledger/names.ts';
import type { TaskId } from '../../../src/task/id.ts';

/** A move that the remote made. `from: null`: the ref did not exist; `to: null`: it was deleted. */
export interface RefChange {
  /** The remote's order, over all refs. */
  seq: number;
  /** Real time (in a simulation, its true time), milliseconds. */
  timeMs: number;
  ref: RefName;
  from: Oid | null;
  to: Oid | null;
}

/** A swap that a worker sent, and what it concluded. Times as in `RefChange`, apart from the tolerance. */
export interface SwapTry {
  node: string;
  ref: RefName;
  from: Oid | null;
  to: Oid | null;
  sentMs: number;
  settledMs: number;
  outcome: 'won' | 'lost' | 'refused' | 'unclear';
}

/** A container (or what stands for one) that was started. */
export interface TaskStart {
  node: string;
  incarnation: string;
  taskId: TaskId;
  epoch: number;
  attempt: number;
  timeMs: number;
}

export interface History {
  format: ObjectFormat;
  branch: RefName;
  namespace: Namespace;
  /** In the order of `seq`. */
  changes: readonly RefChange[];
  /** Not all: what a killed worker did not say any more is missing. */
  tries: readonly SwapTry[];
  starts: readonly TaskStart[];
  /** null for what the remote never had. */
  object: (oid: Oid) => GitObject | null;
}
