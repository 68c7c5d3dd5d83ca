/** The whole grid as one document, from what one view says and what was seen before it. Pure. */
import { createHash } from 'node:crypto';
import type { GridView } from '../ledger/grid-view.ts';
import { isoTime } from '../runtime.ts';
import type { GridHistory } from './grid-history.ts';
import { gridProblems } from './grid-problems.ts';
import { MAX_NODE_ROWS, MAX_PROBLEMS, MAX_RECENT_ROWS, MAX_TASK_ROWS } from './limits.ts';
import { type NodeRow, type Overview, PAGES_SCHEMA_VERSION, type TaskRow } from './model.ts';
import { type NodeRowParts, nodeRows } from './node-rows.ts';
import type { QueueCount } from './queue-count.ts';
import { openRows, queuedRow, type RowParts, resultRow } from './task-rows.ts';

export interface OverviewFacts {
  source: Overview['source'];
  version: string;
  /** Without credentials. */
  repository: string;
  thisNode: string | null;
  /** null: nothing was read yet. */
  view: GridView | null;
  problem: string | null;
  history: GridHistory;
  count: QueueCount;
  /** How many tasks have their record, by directory: counted once for each change of the branch. */
  recorded: Overview['recorded'];
  briefOf: RowParts['briefOf'];
  ownTasks: RowParts['own'];
  own: NodeRowParts['own'];
  wallMs: number;
}

export function makeOverview(facts: OverviewFacts): Overview {
  const { history, view } = facts;
  const common = {
    schema_version: PAGES_SCHEMA_VERSION,
    source: facts.source,
    version: facts.version,
    generated_at: isoTime(facts.wallMs),
    repository: facts.repository,
    problem: facts.problem,
    this_node: facts.thisNode,
    done_per_minute: history.donePerMinute(),
    series: { step_ms: history.series.stepMs, points: history.series.points() },
  } as const;
  return withRevision({ ...common, ...(view ? shown(view, facts) : NOTHING_SHOWN) });
}

/** @param overview of which something else was changed. */
export function withRevision(overview: Omit<Overview, 'revision'>): Overview {
  const { nodes, tasks, ...rest } = overview;
  const timeless = {
    ...rest,
    // What the passing of time alone changes is no news.
    generated_at: null,
    done_per_minute: null,
    series: null,
    nodes: nodes.map(({ seen_ms_ago: _ago, ...node }: NodeRow) => node),
    tasks: tasks.map((task: TaskRow) => (task.state === 'running' ? { ...task, run_ms: null } : task)),
  };
  const revision = createHash('sha256').update(JSON.stringify(timeless)).digest('hex').slice(0, REVISION_LENGTH);
  return { ...overview, revision };
}

const REVISION_LENGTH = 16;

function shown(view: GridView, facts: OverviewFacts): Shown {
  const { briefOf, count, history, ownTasks: own } = facts;
  const open = openRows({ view, briefOf, own });
  const figures = count.of(view);
  const queued = count.first(view, Math.max(0, MAX_TASK_ROWS - open.length));
  const tasks = [...open, ...queued.map((file) => queuedRow(file, { briefOf }))].slice(0, MAX_TASK_ROWS);
  const nodes = nodeRows({ view, history, own: facts.own });
  const problems = [...unreadableOf(open), ...gridProblems(view)];
  return {
    branch: view.branch.replace(/^refs\/heads\//, ''),
    commit: view.tip,
    queue: figures,
    recorded: facts.recorded,
    nodes: nodes.slice(0, MAX_NODE_ROWS),
    ...(nodes.length > MAX_NODE_ROWS ? { nodes_left_out: nodes.length - MAX_NODE_ROWS } : {}),
    tasks,
    tasks_left_out: Math.max(0, open.length + figures.pending - tasks.length),
    recent: recentRows(view, history).slice(0, MAX_RECENT_ROWS),
    problems: problems.slice(0, MAX_PROBLEMS),
  };
}

type Shown = Pick<
  Overview,
  | 'branch'
  | 'commit'
  | 'queue'
  | 'recorded'
  | 'nodes'
  | 'nodes_left_out'
  | 'tasks'
  | 'tasks_left_out'
  | 'recent'
  | 'problems'
>;

const NOTHING_SHOWN: Shown = {
  branch: '',
  commit: null,
  queue: { pending: 0, invalid: 0, by_priority: { critical: 0, high: 0, medium: 0, low: 0 } },
  recorded: { completed: 0, failed: 0 },
  nodes: [],
  tasks: [],
  tasks_left_out: 0,
  recent: [],
  problems: [],
};

/** The newest first. */
export function recentRows(view: GridView, history: GridHistory): TaskRow[] {
  return history.recent.newest().map((result) => resultRow(result, view.queue.recordOf(result.taskId) !== null));
}

function unreadableOf(rows: readonly TaskRow[]): { path: string; problem: string }[] {
  return rows.flatMap(({ task_id: id, state, note }) =>
    state === 'unreadable' ? [{ path: `task ${id}`, problem: note ?? '' }] : [],
  );
}
