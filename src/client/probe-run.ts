/**
 * Queues probe tasks at a rate, and watches them until all have their results: what a submitter sees, on its own monotonic
 * clock.
 *
 * A probe counts from the moment when the rate calls for it, not from when there was time to queue it: a grid, or a host, that
 * is slow to take one would otherwise hide how long the next ones waited (what is called coordinated omission).
 *
 * Bounds: looks are at least `LOOK_MS` apart, a commit brings at most `MAX_BATCH` probes, and the whole ends at its deadline.
 */
import { GitError, RETRYABLE } from '../git/errors.ts';
import type { GridView } from '../ledger/grid-view.ts';
import { standingOf } from '../ledger/task-standing.ts';
import type { NodeId, TaskId } from '../task/id.ts';
import type { GridClient } from './grid-client.ts';
import { submit, UnclearSubmitError } from './submit.ts';
import type { NewTask } from './task-input.ts';

const LOOK_MS = 250;
const MAX_BATCH = 500;
/** How long records on the branch are waited for once all results are there. */
const RECORD_WAIT_MS = 30_000;
const SUBMIT_TRIES = 3;
/** Of a host whose copies lag behind, which does not show for a moment what it has just taken. */
const UNKNOWN_LOOKS = 20;

/** Instants are the submitter's, monotonic; null: not seen. */
export interface Probe {
  task: NewTask;
  dueMs: number;
  /** Whether it may be queued: its push was begun. */
  sent: boolean;
  queuedMs: number | null;
  claimedMs: number | null;
  nodeId: NodeId | null;
  doneMs: number | null;
  status: 'success' | 'failed' | null;
  recordedMs: number | null;
  /** Looks in a row that showed nothing of it. */
  unknownLooks: number;
  /** Somebody took it out of the queue. */
  vanished: boolean;
}

export interface ProbeRun {
  probes: Probe[];
  /** Between two answers of the host, milliseconds. */
  lookGapsMs: number[];
  failedLooks: number;
  ended: 'done' | 'timeout' | 'aborted' | 'failed';
  /** Why it failed. */
  error: unknown;
  /** The last one; null: there was none. */
  view: GridView | null;
}

export const NO_RUN: Readonly<ProbeRun> = {
  probes: [],
  lookGapsMs: [],
  failedLooks: 0,
  ended: 'done',
  error: null,
  view: null,
};

/** Nothing could be queued. */
export class ProbeError extends Error {
  override readonly name = 'ProbeError';
}

export interface ProbeOptions {
  everyMs: number;
  timeoutMs: number;
  /** Whether to see the records on the branch as well. */
  awaitRecords: boolean;
  onLook?: (done: number) => void;
}

/** Never throws: whoever asked has to take back what is queued by then. */
export async function runProbes(
  client: GridClient,
  tasks: readonly NewTask[],
  options: ProbeOptions,
): Promise<ProbeRun> {
  const { clock, signal } = client;
  const startedMs = clock.monotonicMs();
  const deadlineMs = startedMs + options.timeoutMs;
  const probes = tasks.map((task, index) => newProbe(task, startedMs + index * options.everyMs));
  const run: ProbeRun = { ...NO_RUN, probes, lookGapsMs: [] };
  let lastAnswerMs: number | null = null;
  let allDoneMs: number | null = null;
  for (;;) {
    if (signal.aborted) return { ...run, ended: 'aborted' };
    try {
      await queueDue(client, probes);
      const view = await client.refresh();
      if (lastAnswerMs !== null) run.lookGapsMs.push(view.answeredAtMs - lastAnswerMs);
      lastAnswerMs = view.answeredAtMs;
      run.view = view;
      for (const probe of probes) observe(probe, view);
    } catch (error) {
      if (client.signal.aborted) return { ...run, ended: 'aborted' };
      // A line that fails for a while is a part of what is measured.
      const waits = error instanceof GitError && RETRYABLE[error.kind] && error.kind !== 'unknown';
      if (!waits) return { ...run, ended: 'failed', error };
      run.failedLooks += 1;
    }
    options.onLook?.(probes.filter(isOver).length);
    const nowMs = clock.monotonicMs();
    if (probes.every(isOver)) {
      allDoneMs ??= nowMs;
      const recorded = probes.every(({ recordedMs, vanished }) => vanished || recordedMs !== null);
      if (!options.awaitRecords || recorded || nowMs - allDoneMs > RECORD_WAIT_MS) return run;
    }
    if (nowMs >= deadlineMs) return { ...run, ended: probes.every(isOver) ? 'done' : 'timeout' };
    await clock.sleep(pauseMs(probes, nowMs, deadlineMs), signal);
  }
}

/** One that has not begun. */
export function newProbe(task: NewTask, dueMs: number): Probe {
  const unseen = {
    sent: false,
    queuedMs: null,
    claimedMs: null,
    nodeId: null,
    doneMs: null,
    status: null,
    recordedMs: null,
  };
  return { task, dueMs, ...unseen, unknownLooks: 0, vanished: false };
}

/** Whether nothing more is to be expected of it. */
function isOver({ doneMs, vanished }: Probe): boolean {
  return doneMs !== null || vanished;
}

function pauseMs(probes: readonly Probe[], nowMs: number, deadlineMs: number): number {
  const next = probes.find(({ queuedMs }) => queuedMs === null)?.dueMs ?? Number.POSITIVE_INFINITY;
  return Math.max(1, Math.min(LOOK_MS, next - nowMs, deadlineMs - nowMs));
}

/** All that are due in one commit. */
async function queueDue(client: GridClient, probes: readonly Probe[]): Promise<void> {
  const nowMs = client.clock.monotonicMs();
  const due = probes.filter(({ queuedMs, dueMs }) => queuedMs === null && dueMs <= nowMs).slice(0, MAX_BATCH);
  if (due.length === 0) return;
  for (const probe of due) probe.sent = true;
  await submitSurely(
    client,
    due.map(({ task }) => task),
  );
  const queuedMs = client.clock.monotonicMs();
  for (const probe of due) probe.queuedMs = queuedMs;
}

/** What is queued already is recognised, so an answer that got lost is no reason to give up. */
async function submitSurely(client: GridClient, tasks: readonly NewTask[]): Promise<void> {
  for (let tried = 1; ; tried += 1) {
    try {
      const outcome = await submit(client, tasks);
      if (outcome.kind === 'queued') return;
      if (outcome.kind === 'refused') {
        throw new ProbeError(`the host does not let this account write the branch: ${outcome.reason}`);
      }
      if (outcome.kind === 'conflicts') {
        // Drawn at random for this run: only a probe of our own that was queued and finished meanwhile has the id.
        if (outcome.conflicts.every(({ kind, sameFile }) => kind === 'recorded' && sameFile)) return;
        throw new ProbeError(`the ids of the probes are in use: ${outcome.conflicts[0]?.taskId ?? ''}`);
      }
      if (tried === SUBMIT_TRIES) throw new ProbeError('others kept pushing at the same time');
    } catch (error) {
      if (!(error instanceof UnclearSubmitError) || tried === SUBMIT_TRIES || client.signal.aborted) throw error;
    }
  }
}

/** Pure but for the probe itself: the first sight of each state counts. */
export function observe(probe: Probe, view: GridView): void {
  if (probe.queuedMs === null || probe.vanished) return;
  const standing = standingOf(view, probe.task.taskId);
  const atMs = view.answeredAtMs;
  probe.unknownLooks = standing.kind === 'unknown' ? probe.unknownLooks + 1 : 0;
  switch (standing.kind) {
    case 'claimed':
      probe.claimedMs ??= atMs;
      probe.nodeId = standing.state.nodeId;
      break;
    case 'finished':
      probe.doneMs ??= atMs;
      probe.status ??= standing.state.status;
      probe.nodeId = standing.state.nodeId;
      break;
    case 'recorded':
      probe.doneMs ??= atMs;
      probe.status ??= standing.status;
      probe.recordedMs ??= atMs;
      break;
    case 'unknown':
      probe.vanished = probe.doneMs === null && probe.unknownLooks >= UNKNOWN_LOOKS;
      break;
    case 'queued':
    case 'waiting':
    case 'unreadable':
      break;
  }
}

/** Those that may be queued and have no result: what is to be cancelled when nobody waits any longer. */
export function openProbes(run: Pick<ProbeRun, 'probes'>): TaskId[] {
  return run.probes.flatMap((probe) => (probe.sent && !isOver(probe) ? [probe.task.taskId] : []));
}
