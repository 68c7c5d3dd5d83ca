/** Tasks as rows: from where they stand, what their files ask for, and what their results say. Pure. */
import type { QueueFile } from '../ledger/found-files.ts';
import type { GridView } from '../ledger/grid-view.ts';
import type { TaskBrief } from '../ledger/spec-cache.ts';
import { standingOf, type TaskStanding } from '../ledger/task-standing.ts';
import { isoTime } from '../runtime.ts';
import type { TaskId } from '../task/id.ts';
import { PRIORITIES } from '../task/task-schema.ts';
import { calendarTime } from './foreign.ts';
import type { TaskRow } from './model.ts';
import type { RecentResult } from './recent-results.ts';

/** What only the node that runs a task knows of it. */
export interface OwnTask {
  taskId: TaskId;
  /** By this machine's clock, milliseconds since 1970. */
  claimedAtMs: number;
  /** null: it has no container yet, or one that ran before this process did. */
  startedAtMs: number | null;
  runMs: number | null;
  image: string;
}

export interface RowParts {
  view: GridView;
  briefOf: (file: QueueFile) => TaskBrief | null;
  own: ReadonlyMap<TaskId, OwnTask>;
}

const EMPTY: Omit<TaskRow, 'task_id' | 'state'> = {
  status: null,
  reason: null,
  message: null,
  priority: null,
  node_id: null,
  attempt: 0,
  image: null,
  labels: [],
  claimed_at: null,
  started_at: null,
  finished_at: null,
  run_ms: null,
  note: null,
};

export function queuedRow(file: QueueFile, { briefOf }: Pick<RowParts, 'briefOf'>): TaskRow {
  const brief = briefOf(file);
  const isInvalid = brief !== null && !brief.ok;
  return {
    ...EMPTY,
    ...asked(brief),
    task_id: file.taskId,
    state: 'queued',
    reason: isInvalid ? 'invalid-task' : null,
    note: isInvalid ? 'no legal task: the next worker gives it a record that says why' : null,
  };
}

/** The tasks that have a state and no result: in work first, then what waits, in the order of claiming. */
export function openRows(parts: RowParts): TaskRow[] {
  const { view, briefOf } = parts;
  const working: TaskRow[] = [];
  const unreadable: TaskRow[] = [];
  const waiting: { row: TaskRow; rank: number }[] = [];
  for (const id of view.tasks.keys()) {
    const standing = standingOf(view, id);
    const file = view.queue.files.get(id);
    const brief = file ? briefOf(file) : null;
    if (standing.kind === 'claimed') working.push(runningRow(id, standing, brief, parts));
    else if (standing.kind === 'unreadable') {
      const row: TaskRow = { ...EMPTY, ...asked(brief), task_id: id, state: 'unreadable', note: standing.problem };
      unreadable.push(row);
    } else if (standing.kind === 'waiting') {
      const rank = brief?.ok ? PRIORITIES.indexOf(brief.priority) : PRIORITIES.length;
      waiting.push({ row: waitingRow(id, standing, brief), rank });
    }
  }
  const byId = (a: TaskRow, b: TaskRow): number => (a.task_id < b.task_id ? -1 : 1);
  waiting.sort((a, b) => a.rank - b.rank || byId(a.row, b.row));
  return [...working.sort(byId), ...unreadable.sort(byId), ...waiting.map(({ row }) => row)];
}

/** One task without a result; null when there is none of this id. */
export function openRow(id: TaskId, parts: RowParts): TaskRow | null {
  const { view, briefOf } = parts;
  const file = view.queue.files.get(id);
  if (!view.tasks.has(id)) return file && !view.queue.alreadyRecorded.has(id) ? queuedRow(file, { briefOf }) : null;
  const known = view.tasks.get(id);
  return openRows({ ...parts, view: { ...view, tasks: new Map(known ? [[id, known]] : []) } })[0] ?? null;
}

export function resultRow(result: RecentResult, isRecorded: boolean): TaskRow {
  return {
    ...EMPTY,
    task_id: result.taskId,
    state: isRecorded ? 'recorded' : 'finished',
    status: result.status,
    reason: result.reason,
    message: result.message,
    node_id: result.nodeId,
    attempt: result.attempt,
    image: result.image,
    claimed_at: result.claimedAt,
    started_at: result.startedAt,
    finished_at: result.finishedAt,
    run_ms: result.runMs,
  };
}

function runningRow(
  id: TaskId,
  standing: Extract<TaskStanding, { kind: 'claimed' }>,
  brief: TaskBrief | null,
  { own, view }: RowParts,
): TaskRow {
  const mine = own.get(id);
  const decoded = view.tasks.get(id)?.state;
  const claimedAt = mine
    ? isoTime(mine.claimedAtMs)
    : calendarTime(decoded?.kind === 'state' ? decoded.writtenAtSeconds : null);
  const notes = [
    ...(standing.ownerGone ? ['its node is gone, another one will take it over'] : []),
    ...(view.queue.files.has(id) ? [] : ['its file was removed from the queue']),
  ];
  return {
    ...EMPTY,
    ...asked(brief),
    task_id: id,
    state: 'running',
    node_id: standing.state.nodeId,
    attempt: standing.state.attempt,
    claimed_at: claimedAt,
    note: notes.join('; ') || null,
    ...(mine
      ? {
          image: mine.image,
          started_at: mine.startedAtMs === null ? null : isoTime(mine.startedAtMs),
          run_ms: mine.runMs,
        }
      : {}),
  };
}

function waitingRow(
  id: TaskId,
  { state }: Extract<TaskStanding, { kind: 'waiting' }>,
  brief: TaskBrief | null,
): TaskRow {
  const after = state.delayMs > 0 ? `, ${state.delayMs / 1000} s after it was put back` : '';
  return {
    ...EMPTY,
    ...asked(brief),
    task_id: id,
    state: 'waiting',
    reason: state.waitReason,
    node_id: state.nodeId,
    attempt: state.attempt,
    note: `${state.waitReason === 'retry' ? 'to be tried again' : 'handed back, waits for a node'}${after}`,
  };
}

function asked(brief: TaskBrief | null): Pick<TaskRow, 'priority' | 'image' | 'labels'> {
  if (!brief?.ok) return { priority: null, image: null, labels: [] };
  return { priority: brief.priority, image: brief.image, labels: [...brief.requires] };
}
