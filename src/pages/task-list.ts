/**
 * The tasks of a grid in pages, through a filter. A cursor names the last row of its page and where that was: the list may
 * move while somebody turns its pages, and he goes on behind that row wherever it is now.
 */
import { z } from 'zod';
import type { QueueFile } from '../ledger/found-files.ts';
import { ID_PATTERN } from '../task/id.ts';
import { MAX_NAME_LENGTH, MAX_TASK_ROWS } from './limits.ts';
import { PAGES_SCHEMA_VERSION, TASK_ROW_STATES, type TaskList, type TaskRow } from './model.ts';

const DEFAULT_LIMIT = 100;
const MAX_CURSOR_LENGTH = 200;
const CURSOR_PATTERN = /^(\d{1,9})\.([a-z0-9][a-z0-9_-]{0,62})$/;

const limitText = { error: `must be a whole number from 1 to ${MAX_TASK_ROWS}` };

export const taskQuery = z
  .strictObject({
    state: z
      .enum(TASK_ROW_STATES, { error: `must be one of ${TASK_ROW_STATES.join(', ')}` })
      .optional()
      .describe('only tasks in this state'),
    status: z
      .enum(['success', 'failed'], { error: 'must be success or failed' })
      .optional()
      .describe('only tasks with such a result'),
    node: z
      .string()
      .regex(ID_PATTERN, { error: 'must be the id of a node' })
      .optional()
      .describe('only tasks that this node has, or had'),
    text: z
      .string()
      .max(MAX_NAME_LENGTH, { error: `must have at most ${MAX_NAME_LENGTH} characters` })
      .optional()
      .describe('only tasks with this in their id, image, node, reason or message, in capitals or not'),
    limit: z
      .string()
      .regex(/^\d{1,3}$/, limitText)
      .transform(Number)
      .refine((limit) => limit >= 1 && limit <= MAX_TASK_ROWS, limitText)
      .optional()
      .describe(`rows of one page, 1 to ${MAX_TASK_ROWS}; ${DEFAULT_LIMIT} when absent`),
    cursor: z
      .string()
      .max(MAX_CURSOR_LENGTH)
      .refine((cursor) => readCursor(cursor) !== null, { error: 'must be the next_cursor of an answer' })
      .optional()
      .describe('next_cursor of the page before'),
  })
  .describe('which tasks, and how many');

export type TaskQuery = z.output<typeof taskQuery>;

export interface TaskListParts {
  /** In the order of the overview. */
  open: readonly TaskRow[];
  /** In the order of claiming; asked for only where the filter lets such tasks through. */
  queued: () => readonly QueueFile[];
  recent: readonly TaskRow[];
  queuedRow: (file: QueueFile) => TaskRow;
}

export function listTasks(query: TaskQuery, parts: TaskListParts): TaskList {
  const limit = query.limit ?? DEFAULT_LIMIT;
  const matching = matchingRows(query, parts);
  const start = startOf(query.cursor, matching);
  const page = matching.slice(start, start + limit).map((row) => ('blob' in row ? parts.queuedRow(row) : row));
  const last = page.at(-1);
  const isLast = start + limit >= matching.length || !last;
  return {
    schema_version: PAGES_SCHEMA_VERSION,
    tasks: page,
    total: matching.length,
    next_cursor: isLast ? null : writeCursor(start + page.length - 1, last.task_id),
  };
}

/** Rows of queued tasks are made only as far as the filter has to see them, and those of the page. */
function matchingRows(query: TaskQuery, parts: TaskListParts): (TaskRow | QueueFile)[] {
  const wants = (state: TaskRow['state']): boolean => query.state === undefined || query.state === state;
  const text = query.text?.toLowerCase();
  const passes = (row: TaskRow): boolean =>
    wants(row.state) &&
    (query.status === undefined || row.status === query.status) &&
    (query.node === undefined || row.node_id === query.node) &&
    (text === undefined || contains(row, text));
  const seesQueue = wants('queued') && query.status === undefined && query.node === undefined;
  const queued: readonly (TaskRow | QueueFile)[] = !seesQueue
    ? []
    : text === undefined
      ? parts.queued()
      : parts.queued().map(parts.queuedRow).filter(passes);
  return [...parts.open.filter(passes), ...queued, ...parts.recent.filter(passes)];
}

function contains(row: TaskRow, text: string): boolean {
  return [row.task_id, row.image, row.node_id, row.reason, row.message].some((field) =>
    field?.toLowerCase().includes(text),
  );
}

function startOf(cursor: string | undefined, rows: readonly (TaskRow | QueueFile)[]): number {
  const read = cursor === undefined ? null : readCursor(cursor);
  if (!read) return 0;
  const idOf = (row: TaskRow | QueueFile): string => ('blob' in row ? row.taskId : row.task_id);
  // Mostly it is where it was.
  const at = rows[read.at];
  const found = at && idOf(at) === read.id ? read.at : rows.findIndex((row) => idOf(row) === read.id);
  return found < 0 ? read.at : found + 1;
}

function writeCursor(at: number, id: string): string {
  return Buffer.from(`${at}.${id}`).toString('base64url');
}

function readCursor(cursor: string): { at: number; id: string } | null {
  const [, at, id] = CURSOR_PATTERN.exec(Buffer.from(cursor, 'base64url').toString('latin1')) ?? [];
  return at === undefined || id === undefined ? null : { at: Number(at), id };
}
