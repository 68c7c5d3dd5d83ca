/**
 * Taking one's place in the grid: which namespace, whether the id is free, what an earlier run of this node left behind.
 */
import type { Executor, ExecutorError, FoundRun } from '../executor/executor.ts';
import { GitError } from '../git/errors.ts';
import type { Repository } from '../git/repository.ts';
import type { ClaimBook, HeldClaim, TaskFile } from '../ledger/claims.ts';
import type { DeathWatch } from '../ledger/death-watch.ts';
import type { GridReader, GridView } from '../ledger/grid-view.ts';
import { type Membership, RegistrationRefusedError } from '../ledger/membership.ts';
import { NAMESPACES, type Namespace } from '../ledger/names.ts';
import type { SpecCache } from '../ledger/spec-cache.ts';
import type { ClaimedState } from '../ledger/state-codec.ts';
import type { Emit } from '../observe/events.ts';
import type { Clock } from '../runtime.ts';
import type { NodeId } from '../task/id.ts';
import type { TaskRunner } from './task-runner.ts';

const [, FALLBACK] = NAMESPACES;

/** A state of affairs that only a person can change: the worker stops with exit code 2 and says so. */
export class FatalError extends Error {
  override readonly name = 'FatalError';
}

export interface JoinParts {
  nodeId: NodeId;
  /** null: whichever works. */
  fixedNamespace: Namespace | null;
  repository: Repository;
  reader: GridReader;
  membership: Membership;
  book: ClaimBook;
  specs: SpecCache;
  watch: DeathWatch;
  runner: TaskRunner;
  executor: Executor;
  /** How often to look whether the holder of our id still lives. */
  watchIntervalMs: number;
  clock: Clock;
  emit: Emit;
  /** What the engine did not remove now is removed when it answers again. */
  onEngineTrouble: (error: ExecutorError) => void;
  signal: AbortSignal;
}

/**
 * Registers this incarnation, publishes what an earlier one left in the outbox, and takes its containers up again: all in
 * one push, because from the moment the new incarnation shows, claims of the old one are free for anybody.
 * @throws FatalError when another machine lives under this id, or the host refuses our refs; GitError.
 */
export async function join(parts: JoinParts): Promise<void> {
  await waitForFreeId(parts);
  const found = await findRuns(parts);
  const outbox = await parts.book.loadOutbox();
  for (;;) {
    const view = await lookForOwnRef(parts);
    if (parts.membership.judgeOwnRef(view) === 'foreign') throw idConflict(parts);
    // An earlier round may have registered without our knowing, and have been declared dead since.
    parts.membership.renewIfEnded(view);
    await parts.specs.update(view.queue);
    const settled = new Set(outbox.map(({ taskId }) => taskId));
    const adoptable = matchRuns(parts, view, found).filter(
      ({ state }) => !settled.has(state.taskId) && !parts.runner.isActive(state.taskId),
    );
    // One turn, one push: the requests are made before the first await.
    const publishing = parts.book.publishOutbox();
    // All of them are waited for before the first failure is thrown: what was adopted runs on whatever becomes of the rest.
    const adopting = Promise.allSettled(
      adoptable.map(async ({ oid, state, run, task }) => ({
        run,
        claim: await parts.book.adopt({ oid, state }, task),
      })),
    );
    const registering = register(parts, view);
    // Awaited below; until then a failure of it must not count as one that nobody looks at.
    registering.catch(() => undefined);
    await publishing;
    const adopted = await adopting;
    for (const adoption of adopted) {
      if (adoption.status === 'fulfilled' && adoption.value.claim) {
        parts.runner.resume(adoption.value.claim, adoption.value.run);
      }
    }
    const outcome = await registering;
    for (const adoption of adopted) if (adoption.status === 'rejected') throw adoption.reason;
    if (outcome === 'registered') {
      await discardLeftovers(parts, found).catch(parts.onEngineTrouble);
      return;
    }
    // The namespace changed, or the ref moved under our hands: look again. What was adopted is in the book.
  }
}

/** Comes back under a new incarnation after having been declared dead. The claims of the old one are gone already. */
export async function rejoin(parts: JoinParts): Promise<void> {
  parts.membership.renew();
  for (;;) {
    const view = await lookForOwnRef(parts);
    if (parts.membership.judgeOwnRef(view) === 'foreign') throw idConflict(parts);
    parts.membership.renewIfEnded(view);
    if ((await register(parts, view)) === 'registered') return;
  }
}

/** Removes containers of this node that belong to nothing in work here, as many as it can. @throws ExecutorError */
export async function discardLeftovers(
  parts: Pick<JoinParts, 'runner' | 'emit'>,
  found: readonly FoundRun[],
): Promise<void> {
  let failure: ExecutorError | null = null;
  for (const run of found) {
    if (parts.runner.owns(run.key)) continue;
    try {
      await run.discard();
      parts.emit('container.leftover', { task: run.key.taskId, epoch: run.key.epoch, state: run.state });
    } catch (error) {
      failure ??= error as ExecutorError;
    }
  }
  if (failure) throw failure;
}

/** @throws GitError, also when the state behind the own ref did not come along: that is no reason to take it for another's. */
async function lookForOwnRef({ membership, nodeId, reader, signal }: JoinParts): Promise<GridView> {
  const view = await reader.refresh({ nodes: 'all', signal });
  if (membership.judgeOwnRef(view) !== 'unread') return view;
  throw new GitError('network', 'fetch', `the state of node ${nodeId} moved while it was read`);
}

async function waitForFreeId(parts: JoinParts): Promise<void> {
  const { clock, membership, nodeId, signal, watch, watchIntervalMs } = parts;
  let first: GridView | null = null;
  for (;;) {
    const view = await lookForOwnRef(parts);
    if (membership.judgeOwnRef(view) === 'free') return;
    const known = view.nodes.get(nodeId);
    if (known?.state && known.state.kind !== 'state') {
      throw new FatalError(`the state of node ${nodeId} in the repository cannot be read; choose another NODE_ID`);
    }
    first ??= view;
    if (first.nodes.get(nodeId)?.oid !== known?.oid) throw idConflict(parts);
    watch.observe(
      [...view.nodes].map(([id, { oid }]) => [id, oid] as const),
      view,
    );
    const ttlMs = known?.state?.kind === 'state' ? known.state.state.ttlMs : 0;
    if (watch.isDead(nodeId, ttlMs)) {
      await membership.fenceIfDead(view, watch, nodeId);
      continue;
    }
    parts.emit('node.id-taken', { unchanged_ms: watch.unchangedMs(nodeId), ttl_ms: ttlMs });
    await clock.sleep(watchIntervalMs, signal);
    if (signal.aborted) return;
  }
}

function idConflict(parts: Pick<JoinParts, 'nodeId' | 'emit'>): FatalError {
  parts.emit('node.id-conflict');
  return new FatalError(`another machine works under the node id ${parts.nodeId}; give one of them another NODE_ID`);
}

async function register(parts: JoinParts, view: GridView): Promise<'registered' | 'again'> {
  try {
    return (await parts.membership.register(view)) ? 'registered' : 'again';
  } catch (error) {
    if (!(error instanceof RegistrationRefusedError)) throw error;
    const namespace = parts.reader.namespace;
    const inUse = view.nodes.size > 0 || view.tasks.size > 0;
    if (parts.fixedNamespace || namespace === FALLBACK || inUse) {
      throw new FatalError(
        `the host refuses refs below ${namespace} (${error.message}); let this worker's account write them, or set DGRID_REF_NAMESPACE for all workers`,
        { cause: error },
      );
    }
    parts.emit('namespace.fallback', { refused: namespace, using: FALLBACK, reason: error.message });
    parts.reader.useNamespace(FALLBACK);
    return 'again';
  }
}

/** Containers of this node; an engine that does not answer now is looked at again when it does. */
async function findRuns(parts: JoinParts): Promise<FoundRun[]> {
  try {
    return await parts.executor.findRuns(parts.nodeId);
  } catch (error) {
    parts.onEngineTrouble(error as ExecutorError);
    return [];
  }
}

/** Containers whose claim still stands exactly as it was when they were started. */
function matchRuns(
  parts: JoinParts,
  view: GridView,
  found: readonly FoundRun[],
): { oid: HeldClaim['oid']; state: ClaimedState; run: FoundRun; task: TaskFile }[] {
  return found.flatMap((run) => {
    const known = view.tasks.get(run.key.taskId);
    if (run.state === 'created' || !known || known.state?.kind !== 'state') return [];
    const { state } = known.state;
    if (state.state !== 'claimed' || state.nodeId !== parts.nodeId) return [];
    if (state.epoch !== run.key.epoch) return [];
    const file = view.queue.files.get(run.key.taskId);
    const parsed = file && file.blob === state.specBlob ? parts.specs.get(file) : null;
    if (!file || !parsed?.ok) return [];
    return [{ oid: known.oid, state, run, task: { ...parsed, signature: file.signature } }];
  });
}
