/** The state of the whole grid in figures and names: the document of `dgrid status`. */
import type { QueueFile } from '../ledger/found-files.ts';
import type { GridView } from '../ledger/grid-view.ts';
import { SpecCache, type TaskBrief } from '../ledger/spec-cache.ts';
import { standingOf } from '../ledger/task-standing.ts';
import { gridProblems } from '../pages/grid-problems.ts';
import { lastBeatOf, type Refusal, readNodeInfo } from '../pages/node-facts.ts';
import { QueueCount } from '../pages/queue-count.ts';
import type { NodeId, TaskId } from '../task/id.ts';
import { LONGEST_TIMEOUT_SECONDS, PRIORITIES, type Priority } from '../task/task-schema.ts';
import type { GridClient } from './grid-client.ts';

export type { Refusal } from '../pages/node-facts.ts';

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
  readonly #specs: SpecCache;
  readonly #count: QueueCount;

  constructor(client: GridClient, limits: { maxTaskBytes: number }) {
    this.#specs = new SpecCache(client.repository, { ...limits, maxTimeoutSeconds: LONGEST_TIMEOUT_SECONDS });
    // In which order they come is not told.
    this.#count = new QueueCount({ briefOf: (file) => this.#specs.brief(file), arrivalOf: () => 0 });
  }

  /** What decides about the turn of a task that was in the last view; null when its file could not be read yet. */
  briefOf(file: QueueFile): TaskBrief | null {
    return this.#specs.brief(file);
  }

  /** @param view refreshed with `nodes: 'all'`. @throws GitError */
  async of(view: GridView): Promise<GridSummary> {
    await this.#specs.update(view.queue);
    const summary: GridSummary = {
      branch: view.branch.replace(/^refs\/heads\//, ''),
      commit: view.tip,
      queue: this.#count.of(view),
      waiting: [],
      in_work: [],
      finished_unrecorded: [],
      recorded: view.queue.countRecords(),
      problems: [],
      nodes: nodesOf(view),
    };
    for (const id of view.tasks.keys()) add(summary, view, id);
    summary.problems.push(...gridProblems(view));
    return summary;
  }
}

function add(summary: GridSummary, view: GridView, id: TaskId): void {
  const standing = standingOf(view, id);
  switch (standing.kind) {
    case 'recorded':
    case 'unknown':
    case 'queued':
      break;
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

function nodesOf(view: GridView): NodeSummary[] {
  return [...view.nodes]
    .map(([id, { state: decoded }]) => {
      const state = decoded?.kind === 'state' ? decoded.state : null;
      const { labels, name, paused, refuses, running, slots, version } = readNodeInfo(state?.info ?? {});
      return {
        node_id: id,
        state: state?.state ?? ('unreadable' as const),
        name,
        version,
        labels,
        running,
        slots,
        paused,
        refuses,
        heartbeat_interval_seconds: state ? state.intervalMs / 1000 : null,
        ttl_seconds: state ? state.ttlMs / 1000 : null,
        // Whoever wrote it may have claimed any time.
        last_beat_by_its_clock: lastBeatOf(decoded),
        fenced_by: state?.fencedBy ?? null,
        info: state?.info ?? {},
      };
    })
    .sort((a, b) => (a.node_id < b.node_id ? -1 : 1));
}

/** How many tasks have their result. */
export function doneOf(summary: GridSummary): number {
  return summary.recorded.completed + summary.recorded.failed + summary.finished_unrecorded.length;
}

export function byPriority(summary: GridSummary): [Priority, number][] {
  return PRIORITIES.map((priority) => [priority, summary.queue.by_priority[priority]]);
}
