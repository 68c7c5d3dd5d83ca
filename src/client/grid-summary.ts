/** The state of the whole grid in figures and names: the document of `dgrid status`. */
import { parseCommit } from '../git/objects.ts';
import type { GridView } from '../ledger/grid-view.ts';
import { QUEUE_DIR } from '../ledger/names.ts';
import { SpecCache } from '../ledger/spec-cache.ts';
import { isoTime } from '../runtime.ts';
import type { NodeId, TaskId } from '../task/id.ts';
import { LONGEST_TIMEOUT_SECONDS, PRIORITIES, type Priority } from '../task/spec.ts';
import type { GridClient } from './grid-client.ts';
import { standingOf } from './task-standing.ts';

/** In the year 9999: what comes after it has more digits than others can read. */
const LAST_SECOND = 253_402_300_799;

export interface InWork {
  task_id: TaskId;
  node_id: NodeId;
  attempt: number;
  epoch: number;
  /** The node can no longer deliver: another one will take the task over. */
  owner_gone: boolean;
  /** People took its file out of the queue. */
  withdrawn: boolean;
}

/** A stable word, and figures for people. */
export interface Refusal {
  reason: string;
  text: string;
}

export interface NodeSummary {
  node_id: NodeId;
  /** `unreadable`: a newer version wrote it, or it is damaged. */
  state: 'alive' | 'stopped' | 'fenced' | 'unreadable';
  name: string | null;
  version: string | null;
  labels: string[];
  running: string[];
  slots: number | null;
  /** Why it claims nothing. */
  paused: Refusal[];
  /** What it leaves alone while it claims other tasks. */
  refuses: Refusal[];
  heartbeat_interval_seconds: number | null;
  ttl_seconds: number | null;
  /** What the node's own clock said at its last sign of life. Clocks of machines differ. */
  last_beat_by_its_clock: string | null;
  fenced_by: NodeId | null;
  /** All that the node tells of itself. */
  info: Readonly<Record<string, unknown>>;
}

export interface GridSummary {
  branch: string;
  /** null: the repository has no commit yet. */
  commit: string | null;
  queue: {
    /** Tasks that nobody has claimed. */
    pending: number;
    by_priority: Record<Priority, number>;
    /** Of the pending ones: no legal tasks. The next worker gives them a record that says why. */
    invalid: number;
  };
  waiting: { task_id: TaskId; reason: string; attempt: number; delay_seconds: number }[];
  in_work: InWork[];
  finished_unrecorded: { task_id: TaskId; status: 'success' | 'failed'; reason: string | null; node_id: NodeId }[];
  recorded: { completed: number; failed: number };
  /** What can never become a task, or whose state cannot be read. */
  problems: { path: string; problem: string }[];
  nodes: NodeSummary[];
}

/** Keeps what it has read of task files, so that a summary of an unchanged queue costs nothing. */
export class GridSummaries {
  readonly #client: GridClient;
  readonly #specs: SpecCache;

  constructor(client: GridClient, limits: { maxTaskBytes: number }) {
    this.#client = client;
    this.#specs = new SpecCache(client.repository, { ...limits, maxTimeoutSeconds: LONGEST_TIMEOUT_SECONDS });
  }

  /** @param view refreshed with `nodes: 'all'`. @throws GitError */
  async of(view: GridView): Promise<GridSummary> {
    await this.#specs.update(view.queue);
    const summary: GridSummary = {
      branch: view.branch.replace(/^refs\/heads\//, ''),
      commit: view.tip,
      queue: { pending: 0, by_priority: { critical: 0, high: 0, medium: 0, low: 0 }, invalid: 0 },
      waiting: [],
      in_work: [],
      finished_unrecorded: [],
      recorded: view.queue.countRecords(),
      problems: [],
      nodes: await this.#nodes(view),
    };
    for (const id of new Set([...view.queue.files.keys(), ...view.tasks.keys()])) this.#add(summary, view, id);
    addQueueProblems(summary, view);
    return summary;
  }

  #add(summary: GridSummary, view: GridView, id: TaskId): void {
    const standing = standingOf(view, id);
    switch (standing.kind) {
      case 'recorded':
      case 'unknown':
        break;
      case 'queued': {
        summary.queue.pending += 1;
        const brief = this.#specs.brief(standing.file);
        if (brief?.ok) summary.queue.by_priority[brief.priority] += 1;
        else if (brief) summary.queue.invalid += 1;
        break;
      }
      case 'waiting': {
        const { waitReason, attempt, delayMs } = standing.state;
        summary.waiting.push({ task_id: id, reason: waitReason, attempt, delay_seconds: delayMs / 1000 });
        break;
      }
      case 'claimed': {
        const { nodeId, attempt, epoch } = standing.state;
        const withdrawn = !view.queue.files.has(id);
        const facts = { task_id: id, node_id: nodeId, attempt, epoch };
        summary.in_work.push({ ...facts, owner_gone: standing.ownerGone, withdrawn });
        break;
      }
      case 'finished': {
        const { status, reason, nodeId } = standing.state;
        summary.finished_unrecorded.push({ task_id: id, status, reason, node_id: nodeId });
        break;
      }
      case 'unreadable':
        summary.problems.push({ path: `task ${id}`, problem: standing.problem });
        break;
    }
  }

  async #nodes(view: GridView): Promise<NodeSummary[]> {
    const { repository, signal } = this.#client;
    const commits = await repository.readObjects(
      [...view.nodes.values()].map(({ oid }) => oid),
      signal,
    );
    return [...view.nodes]
      .map(([id, { oid, state: decoded }]) => {
        const commit = commits.get(oid);
        const state = decoded?.kind === 'state' ? decoded.state : null;
        const info = state?.info ?? {};
        return {
          node_id: id,
          state: state?.state ?? ('unreadable' as const),
          name: textOf(info['name']),
          version: textOf(info['version']),
          labels: listOf(info['labels']).filter((label) => typeof label === 'string'),
          running: listOf(info['running']).flatMap((task) => textOf(fieldOf(task, 'task')) ?? []),
          slots: typeof info['slots'] === 'number' ? info['slots'] : null,
          paused: refusalsIn(info['paused']),
          refuses: refusalsIn(info['refuses']),
          heartbeat_interval_seconds: state ? state.intervalMs / 1000 : null,
          ttl_seconds: state ? state.ttlMs / 1000 : null,
          // Whoever wrote it may have claimed any time.
          last_beat_by_its_clock: state && commit?.type === 'commit' ? beatOf(commit.content) : null,
          fenced_by: state?.fencedBy ?? null,
          info,
        };
      })
      .sort((a, b) => (a.node_id < b.node_id ? -1 : 1));
  }
}

function refusalsIn(value: unknown): Refusal[] {
  return listOf(value).map((entry) => ({
    reason: textOf(fieldOf(entry, 'reason')) ?? 'unknown',
    text: textOf(fieldOf(entry, 'text')) ?? '',
  }));
}

function addQueueProblems(summary: GridSummary, view: GridView): void {
  const { alreadyRecorded, duplicates, files, illegalPaths, leftOut, moreIllegalPaths, unreadable } = view.queue;
  for (const path of illegalPaths) {
    summary.problems.push({ path, problem: 'its name is no task id followed by .json: rename or remove it' });
  }
  if (moreIllegalPaths > 0) {
    summary.problems.push({
      path: QUEUE_DIR,
      problem: `${moreIllegalPaths} more files have names that are no task ids`,
    });
  }
  summary.problems.push(...unreadable);
  if (leftOut !== null) {
    summary.problems.push({ path: leftOut, problem: 'the queue has more than is read: this, and more, was left out' });
  }
  for (const ref of view.illegalRefs) {
    summary.problems.push({ path: ref, problem: 'it is the ref of no task and no node: remove it' });
  }
  for (const { path, taskId } of [...duplicates.values()].flat()) {
    const problem = `${files.get(taskId)?.path ?? taskId} has the same task id: rename or remove one of the two`;
    summary.problems.push({ path, problem });
  }
  for (const id of alreadyRecorded) {
    const problem = 'the task has a record already: to run it again, give it a new task id';
    summary.problems.push({ path: files.get(id)?.path ?? id, problem });
  }
}

/** null for a time that no calendar has. @param commit of a state that was read */
function beatOf(commit: Buffer): string | null {
  const seconds = parseCommit(commit).committedAtSeconds;
  return seconds === null || seconds > LAST_SECOND ? null : isoTime(seconds * 1000);
}

/** How many tasks have their result. */
export function doneOf(summary: GridSummary): number {
  return summary.recorded.completed + summary.recorded.failed + summary.finished_unrecorded.length;
}

export function byPriority(summary: GridSummary): [Priority, number][] {
  return PRIORITIES.map((priority) => [priority, summary.queue.by_priority[priority]]);
}

/** A node's info is written by others, and decides nothing: what has another shape is left out. */
function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}
