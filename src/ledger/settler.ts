/**
 * Tasks that end without a container: their file is no task, they were taken back while nobody worked on them, or they
 * took too many nodes down with them. Whoever sees it first settles it, by one swap from what it saw.
 */
import type { Oid } from '../git/oid.ts';
import type { Emit } from '../observe/events.ts';
import { type Clock, isoTime } from '../runtime.ts';
import type { NodeId, TaskId } from '../task/id.ts';
import type { FailureReason, TaskResult } from '../task/result.ts';
import { unstartedResult } from '../task/unstarted.ts';
import type { QueueFile } from './found-files.ts';
import type { GridReader, GridView } from './grid-view.ts';
import { taskRef } from './names.ts';
import type { PushRequest } from './publisher.ts';
import type { SwapOutcome } from './settle.ts';
import type { SpecCache } from './spec-cache.ts';
import type { ClaimedState, FinishedState, WaitingState } from './state-codec.ts';
import type { StateWriter } from './state-writer.ts';

/** Settled in one go; the rest follows in the next cycle. */
export const MAX_SETTLED_AT_ONCE = 500;

export interface SettlerParts {
  nodeId: NodeId;
  incarnation: () => string;
  maxTakeovers: number;
  reader: GridReader;
  writer: StateWriter;
  specs: SpecCache;
  push: (request: PushRequest) => Promise<SwapOutcome>;
  /** Signs a result where this node has a key. Never throws. */
  sign: (result: TaskResult) => Promise<TaskResult>;
  clock: Clock;
  emit: Emit;
}

interface Verdict {
  taskId: TaskId;
  from: { oid: Oid; state: ClaimedState | WaitingState } | null;
  specBlob: Oid;
  raw: unknown;
  reason: FailureReason;
  message: string;
}

export class Settler {
  readonly #parts: SettlerParts;

  constructor(parts: SettlerParts) {
    this.#parts = parts;
  }

  /**
   * @param isLeft whether a file with fields that this version does not know is left to newer nodes.
   * @throws GitError
   */
  async settle(
    view: GridView,
    isOrphan: (claim: ClaimedState) => boolean,
    isLeft: (file: QueueFile, unknownFields: readonly string[]) => boolean,
  ): Promise<void> {
    const ofQueue = this.#ofQueue(view, isOrphan, isLeft);
    const verdicts = [...ofQueue, ...this.#ofRefs(view, isOrphan)].slice(0, MAX_SETTLED_AT_ONCE);
    await Promise.all(verdicts.map((verdict) => this.#push(verdict)));
  }

  *#ofQueue(
    view: GridView,
    isOrphan: (claim: ClaimedState) => boolean,
    isLeft: (file: QueueFile, unknownFields: readonly string[]) => boolean,
  ): Generator<Verdict> {
    for (const file of view.queue.files.values()) {
      const brief = this.#parts.specs.brief(file);
      // Legal, and nobody has touched it: nothing to settle, whatever else stands in it.
      if (!brief || (brief.ok && !view.tasks.has(file.taskId))) continue;
      if (view.queue.alreadyRecorded.has(file.taskId)) continue;
      const from = free(view, file.taskId, isOrphan);
      if (from === 'taken') continue;
      const parsed = this.#parts.specs.get(file);
      if (!parsed || (!parsed.ok && parsed.unknownFields && isLeft(file, parsed.unknownFields))) continue;
      const common = { taskId: file.taskId, from, specBlob: file.blob };
      if (!parsed.ok) {
        yield { ...common, raw: parsed.raw, reason: 'invalid-task', message: parsed.problems.join('; ') };
      } else if (from?.state.state === 'claimed' && from.state.takeovers >= this.#parts.maxTakeovers) {
        const message = `given up: ${from.state.takeovers + 1} nodes were lost while they ran it (MAX_TAKEOVERS)`;
        yield { ...common, raw: parsed.raw, reason: 'lost', message };
      }
    }
  }

  /** Tasks in work whose file people took out of the queue: an owner that lives settles its own. */
  *#ofRefs(view: GridView, isOrphan: (claim: ClaimedState) => boolean): Generator<Verdict> {
    for (const taskId of view.tasks.keys()) {
      if (view.queue.files.has(taskId) || view.queue.recordOf(taskId)) continue;
      const from = free(view, taskId, isOrphan);
      if (from === 'taken' || from === null) continue;
      const message = 'its file was removed from the queue';
      yield { taskId, from, specBlob: from.state.specBlob, raw: null, reason: 'cancelled', message };
    }
  }

  async #push(verdict: Verdict): Promise<void> {
    const { clock, emit, incarnation, nodeId, push, reader, sign, writer } = this.#parts;
    const before = verdict.from?.state ?? null;
    const attempt = before?.attempt ?? 0;
    const facts = { taskId: verdict.taskId, nodeId, attempt, task: verdict.raw, specBlob: verdict.specBlob };
    const result = await sign(unstartedResult(facts, verdict.reason, verdict.message, isoTime(clock.wallMs())));
    const written = writer.task<FinishedState>(
      {
        state: 'finished',
        taskId: verdict.taskId,
        nodeId,
        incarnation: incarnation(),
        epoch: (before?.epoch ?? 0) + 1,
        attempt,
        failures: before?.failures ?? 0,
        takeovers: before?.takeovers ?? 0,
        specBlob: verdict.specBlob,
        status: 'failed',
        reason: verdict.reason,
      },
      verdict.from && { oid: verdict.from.oid, state: verdict.from.state.state },
      result,
    );
    reader.remember(written.commit, written.state);
    const swap = {
      ref: taskRef(reader.namespace, verdict.taskId),
      from: verdict.from?.oid ?? null,
      to: written.commit.oid,
    };
    const outcome = await push({ swap, objects: written.objects, step: 'swap.settle' });
    if (outcome.kind !== 'won') return;
    emit('task.rejected', {
      task: verdict.taskId,
      status: 'failed',
      reason: verdict.reason,
      problem: verdict.message,
    });
  }
}

/** What a task could be settled from: nothing, a waiting state, an orphaned claim. */
function free(
  view: GridView,
  id: TaskId,
  isOrphan: (claim: ClaimedState) => boolean,
): { oid: Oid; state: ClaimedState | WaitingState } | null | 'taken' {
  const known = view.tasks.get(id);
  if (!known) return null;
  if (known.state?.kind !== 'state') return 'taken';
  const { state } = known.state;
  if (state.state === 'waiting' || (state.state === 'claimed' && isOrphan(state))) return { oid: known.oid, state };
  return 'taken';
}
