/**
 * Cancelling tasks: each by one swap from what was seen to `finished (cancelled)`. Whoever holds the task finds its claim
 * gone and stops the container; its result, if it has one by then, comes too late.
 */
import type { GitObject } from '../git/objects.ts';
import type { Oid } from '../git/oid.ts';
import type { GridView } from '../ledger/grid-view.ts';
import { taskRef } from '../ledger/names.ts';
import type { SwapOutcome } from '../ledger/settle.ts';
import type { FinishedState } from '../ledger/state-codec.ts';
import type { WrittenState } from '../ledger/state-writer.ts';
import { standingOf, statusOf, type TaskStanding } from '../ledger/task-standing.ts';
import { isoTime } from '../runtime.ts';
import { nodeId, type TaskId } from '../task/id.ts';
import { parseTaskFile } from '../task/spec.ts';
import { LONGEST_TIMEOUT_SECONDS } from '../task/task-schema.ts';
import { unstartedResult } from '../task/unstarted.ts';
import type { GridClient } from './grid-client.ts';

/** The task moved each time before our swap arrived. */
const MAX_ROUNDS = 8;
const INCARNATION_BYTES = 8;
/** In the place of a node, for a result that no node made. */
export const CLIENT_NODE_ID = nodeId('dgrid-client');

export type CancelOutcome =
  | { kind: 'cancelled' }
  | { kind: 'already-finished'; status: 'success' | 'failed' }
  | { kind: 'unknown' }
  | { kind: 'unreadable'; problem: string }
  | { kind: 'refused'; reason: string }
  /** It kept moving. */
  | { kind: 'contended' };

/** Cancels these tasks, all in the same push where they can be. @throws GitError when nothing certain is known. */
export async function cancel(client: GridClient, ids: readonly TaskId[]): Promise<Map<TaskId, CancelOutcome>> {
  const outcomes = new Map<TaskId, CancelOutcome>();
  /** All that we have written, by task: which may have won without our knowing. */
  const written = new Map<TaskId, WrittenState[]>();
  for (let round = 1; round <= MAX_ROUNDS && outcomes.size < ids.length; round += 1) {
    const view = await client.refresh();
    const swaps: Promise<void>[] = [];
    for (const id of ids) {
      if (outcomes.has(id)) continue;
      const decided = decide(view, id, written.get(id) ?? []);
      if (decided.kind === 'swap') swaps.push(swap(client, id, decided.standing, written, outcomes));
      else outcomes.set(id, decided);
    }
    await Promise.all(swaps);
  }
  await confirm(client, outcomes, written);
  // In the order in which they were asked for.
  return new Map(ids.map((id) => [id, outcomes.get(id) ?? { kind: 'contended' }]));
}

type Cancellable = Extract<TaskStanding, { kind: 'queued' | 'claimed' | 'waiting' }>;

function decide(
  view: GridView,
  id: TaskId,
  written: readonly WrittenState[],
): CancelOutcome | { kind: 'swap'; standing: Cancellable } {
  const standing = standingOf(view, id);
  switch (standing.kind) {
    case 'recorded':
    case 'finished': {
      const ours = written.some(({ objects }) => isAmong(objects, standing));
      return ours ? { kind: 'cancelled' } : { kind: 'already-finished', status: statusOf(standing) ?? 'failed' };
    }
    case 'unknown':
      return { kind: 'unknown' };
    case 'unreadable':
      return { kind: 'unreadable', problem: standing.problem };
    case 'queued':
    case 'claimed':
    case 'waiting':
      return { kind: 'swap', standing };
  }
}

function isAmong(
  objects: readonly GitObject[],
  standing: Extract<TaskStanding, { kind: 'recorded' | 'finished' }>,
): boolean {
  const oid = standing.kind === 'recorded' ? standing.blob : standing.oid;
  return objects.some((object) => object.oid === oid);
}

async function swap(
  client: GridClient,
  id: TaskId,
  standing: Cancellable,
  written: Map<TaskId, WrittenState[]>,
  outcomes: Map<TaskId, CancelOutcome>,
): Promise<void> {
  const state = await cancelled(client, id, standing);
  written.set(id, [...(written.get(id) ?? []), state]);
  client.reader.remember(state.commit, state.state);
  const from = standing.kind === 'queued' ? null : standing.oid;
  const outcome: SwapOutcome = await client.push({
    swap: { ref: taskRef(client.reader.namespace, id), from, to: state.commit.oid },
    objects: state.objects,
    step: 'swap.cancel',
  });
  if (outcome.kind === 'won') outcomes.set(id, { kind: 'cancelled' });
  else if (outcome.kind === 'refused') outcomes.set(id, outcome);
}

/**
 * The second look: a task without a ref could have been finished, recorded and its ref deleted between our reading and
 * our swap. Then its record stands, and ours is thrown away.
 */
async function confirm(
  client: GridClient,
  outcomes: Map<TaskId, CancelOutcome>,
  written: ReadonlyMap<TaskId, readonly WrittenState[]>,
): Promise<void> {
  if (![...outcomes.values()].some(({ kind }) => kind === 'cancelled')) return;
  const view = await client.refresh();
  for (const [id, outcome] of outcomes) {
    const record = outcome.kind === 'cancelled' ? view.queue.recordOf(id) : null;
    if (!record) continue;
    const decided = decide(view, id, written.get(id) ?? []);
    if (decided.kind !== 'swap') outcomes.set(id, decided);
  }
}

async function cancelled(
  client: GridClient,
  id: TaskId,
  standing: Cancellable,
): Promise<WrittenState & { state: FinishedState }> {
  const before = standing.kind === 'queued' ? null : standing.state;
  const specBlob = standing.kind === 'queued' ? standing.file.blob : standing.state.specBlob;
  const attempt = before?.attempt ?? 0;
  const message = before?.state === 'claimed' ? 'cancelled while it was in work' : 'cancelled before it was started';
  const task = await rawTask(client, id, specBlob);
  const result = unstartedResult(
    { taskId: id, nodeId: CLIENT_NODE_ID, attempt, task, specBlob },
    'cancelled',
    message,
    isoTime(client.clock.wallMs()),
  );
  return client.writer.task<FinishedState>(
    {
      state: 'finished',
      taskId: id,
      nodeId: CLIENT_NODE_ID,
      incarnation: client.randomHex(INCARNATION_BYTES),
      epoch: (before?.epoch ?? 0) + 1,
      attempt,
      failures: before?.failures ?? 0,
      takeovers: before?.takeovers ?? 0,
      specBlob,
      status: 'failed',
      reason: 'cancelled',
    },
    standing.kind === 'queued' ? null : { oid: standing.oid, state: standing.state.state },
    result,
  );
}

/** The task as submitted, for the record; null when it cannot be read. */
async function rawTask(client: GridClient, id: TaskId, blob: Oid): Promise<unknown> {
  const object = (await client.repository.readObjects([blob], client.signal)).get(blob);
  if (object?.type !== 'blob') return null;
  const limits = { maxTaskBytes: object.content.length, maxTimeoutSeconds: LONGEST_TIMEOUT_SECONDS };
  return parseTaskFile(object.content, id, limits).raw;
}
