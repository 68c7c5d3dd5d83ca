/** Waiting for results. A result counts as soon as it is in the task's ref: the branch may follow later. */
import { GitError, RETRYABLE } from '../git/errors.ts';
import type { RefName } from '../git/oid.ts';
import type { GridView } from '../ledger/grid-view.ts';
import { standingOf, statusOf } from '../ledger/task-standing.ts';
import type { TaskId } from '../task/id.ts';
import type { GridClient } from './grid-client.ts';

const MIN_LOOK_MS = 250;
const MAX_LOOK_MS = 5_000;
const LOOK_GROWTH = 1.5;
/** A host that is away for longer than this ends the waiting. */
const MAX_OUTAGE_MS = 15 * 60_000;

export interface WaitOptions {
  /** null: for as long as it takes. */
  timeoutMs: number | null;
  /**
   * How many looks in a row a task may be missing: 1 for ids that somebody typed, more for tasks that were queued a
   * moment ago through a host whose copies may lag behind.
   */
  unknownAfterLooks: number;
  /** Refs to be listed with each look. */
  also?: readonly RefName[];
  /** Between two looks: the longer while nothing happens. */
  pace?: { minMs: number; maxMs: number };
  /** May answer, also later, true: something happened that is worth looking again soon. May throw as a look does. */
  onLook: (done: number, view: GridView) => unknown;
}

export type WaitOutcome =
  | { kind: 'done'; view: GridView }
  | { kind: 'timeout'; view: GridView | null; open: TaskId[] }
  /** Neither queued, nor in work, nor recorded. */
  | { kind: 'unknown'; view: GridView; ids: TaskId[] }
  | { kind: 'aborted' };

/** @throws GitError for what waiting does not mend, and when the host was away for too long. */
export async function waitForTasks(
  client: GridClient,
  ids: readonly TaskId[],
  options: WaitOptions,
): Promise<WaitOutcome> {
  const { clock, signal } = client;
  const startedMs = clock.monotonicMs();
  const leftMs = (): number =>
    options.timeoutMs === null ? Number.POSITIVE_INFINITY : startedMs + options.timeoutMs - clock.monotonicMs();
  let lastContactMs = startedMs;
  const { minMs, maxMs } = options.pace ?? { minMs: MIN_LOOK_MS, maxMs: MAX_LOOK_MS };
  let pauseMs = minMs;
  let doneBefore = -1;
  let unknownLooks = 0;
  let open: readonly TaskId[] = ids;
  let view: GridView | null = null;
  for (;;) {
    if (signal.aborted) return { kind: 'aborted' };
    let isNew = false;
    try {
      view = await client.refresh({ also: options.also ?? [] });
      const seen = view;
      open = ids.filter((id) => statusOf(standingOf(seen, id)) === null);
      isNew = (await options.onLook(ids.length - open.length, view)) === true;
      lastContactMs = clock.monotonicMs();
    } catch (error) {
      if (signal.aborted) return { kind: 'aborted' };
      const waits = error instanceof GitError && RETRYABLE[error.kind] && error.kind !== 'unknown';
      if (!waits || clock.monotonicMs() - lastContactMs > MAX_OUTAGE_MS) throw error;
      view = null;
    }
    if (view) {
      const current = view;
      if (open.length === 0) return { kind: 'done', view };
      const unknown = open.filter((id) => standingOf(current, id).kind === 'unknown');
      unknownLooks = unknown.length > 0 ? unknownLooks + 1 : 0;
      if (unknownLooks >= options.unknownAfterLooks) return { kind: 'unknown', view, ids: unknown };
    }
    const done = ids.length - open.length;
    pauseMs = done === doneBefore && !isNew ? Math.min(pauseMs * LOOK_GROWTH, maxMs) : minMs;
    doneBefore = done;
    if (leftMs() <= 0) return { kind: 'timeout', view, open: [...open] };
    await clock.sleep(Math.min(pauseMs, leftMs()), signal);
  }
}
