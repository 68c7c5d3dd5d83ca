/** What `dgrid top` shows at a moment, and what a key changes about it. Pure; what has to be done is told as an action. */
import type { GridPicture, WatchedTask } from '../../client/grid-watch.ts';
import type { TaskId } from '../../task/id.ts';
import type { Key } from './keys.ts';

export const SORTS = ['turn', 'task', 'node', 'time'] as const;
export type Sort = (typeof SORTS)[number];
const MAX_FILTER_CHARACTERS = 63;

/** One task with all that is shown of it, as lines that are not cut yet. */
export interface TaskDetail {
  task_id: TaskId;
  facts: readonly (readonly [string, string])[];
  /** What it wrote, as far as it is shown: the end. Null while it is being read, or where there is none. */
  output: readonly string[] | null;
  /** Nothing about it changes any more. */
  isOver: boolean;
}

export interface TopState {
  repository: string;
  picture: GridPicture | null;
  /** Since when an answer of the repository is waited for; null: it is not. Monotonic. */
  askingSinceMs: number | null;
  /** Why the picture may be old. */
  problem: string | null;
  paused: boolean;
  pane: 'tasks' | 'results';
  /** By id, so that the mark stays with its task; the index counts where the task is gone. */
  selected: Readonly<Record<'tasks' | 'results', { id: TaskId | null; index: number }>>;
  filter: string;
  isTyping: boolean;
  sort: Sort;
  view: 'list' | 'task' | 'help';
  detail: TaskDetail | null;
  /** Lines of the detail, or of the help, that are scrolled away; infinite: at the end, and stays there as that grows. */
  scroll: number;
  /** The task about which is asked whether to cancel it. */
  asked: TaskId | null;
  message: string | null;
  /** Rows as they were filtered and sorted last, by the list that they come from: with many tasks that is most of the work. */
  arranged: WeakMap<readonly WatchedTask[], { key: string; rows: readonly WatchedTask[] }>;
}

export type Action =
  | { kind: 'quit' }
  | { kind: 'suspend' }
  | { kind: 'redraw' }
  | { kind: 'open'; id: TaskId }
  | { kind: 'cancel'; id: TaskId };

export function initialState(repository: string): TopState {
  const nothing = { id: null, index: 0 };
  return {
    repository,
    picture: null,
    askingSinceMs: null,
    problem: null,
    paused: false,
    pane: 'tasks',
    selected: { tasks: nothing, results: nothing },
    filter: '',
    isTyping: false,
    sort: 'turn',
    view: 'list',
    detail: null,
    scroll: 0,
    asked: null,
    message: null,
    arranged: new WeakMap(),
  };
}

/** The rows of a pane, filtered and sorted. */
export function rowsOf(state: TopState, pane: TopState['pane'] = state.pane): readonly WatchedTask[] {
  const { arranged, filter, picture, sort } = state;
  const all = (pane === 'tasks' ? picture?.tasks : picture?.recent) ?? [];
  if (filter === '' && sort === 'turn') return all;
  const key = `${sort} ${filter}`;
  const known = arranged.get(all);
  if (known?.key === key) return known.rows;
  const wanted = filter.toLowerCase();
  // Ids are in small letters, and there may be a hundred thousand of them.
  const rows = all.filter(
    ({ task_id: id, node_id: node, state: word }) =>
      id.includes(wanted) || word.includes(wanted) || node?.includes(wanted) === true,
  );
  if (sort !== 'turn') rows.sort(comparing(sort));
  arranged.set(all, { key, rows });
  return rows;
}

function comparing(sort: Exclude<Sort, 'turn'>): (a: WatchedTask, b: WatchedTask) => number {
  const byId = (a: WatchedTask, b: WatchedTask): number => (a.task_id < b.task_id ? -1 : 1);
  switch (sort) {
    case 'task':
      return byId;
    case 'node':
      // What has no node comes last.
      return (a, b) =>
        Number(a.node_id === null) - Number(b.node_id === null) ||
        (a.node_id ?? '').localeCompare(b.node_id ?? '') ||
        byId(a, b);
    case 'time':
      return (a, b) => (a.sinceMs ?? Number.POSITIVE_INFINITY) - (b.sinceMs ?? Number.POSITIVE_INFINITY) || byId(a, b);
  }
}

/** Where the mark is; -1 without rows. */
export function selectedIndex(state: TopState, pane: TopState['pane'] = state.pane): number {
  const rows = rowsOf(state, pane);
  const { id, index } = state.selected[pane];
  if (id !== null && rows[index]?.task_id === id) return index;
  const found = id === null ? -1 : rows.findIndex(({ task_id: other }) => other === id);
  return found >= 0 ? found : Math.min(index, rows.length - 1);
}

export function selectedTask(state: TopState): TaskId | null {
  return rowsOf(state)[selectedIndex(state)]?.task_id ?? null;
}

/** How much there is to move in. */
export interface Extent {
  /** Rows of a page. */
  page: number;
  /** Of the detail, or of the help: how far it can be scrolled. */
  lastScroll: number;
}

export function press(state: TopState, key: Key, extent: Extent): { state: TopState; action: Action | null } {
  const next = (change: Partial<TopState>, action: Action | null = null) => ({
    state: { ...state, message: null, ...change },
    action,
  });
  if (key.name === 'interrupt') return next({}, { kind: 'quit' });
  if (key.name === 'suspend') return next({}, { kind: 'suspend' });
  if (key.name === 'redraw') return next({}, { kind: 'redraw' });
  if (state.asked !== null) {
    const id = state.asked;
    return key.text === 'y'
      ? next({ asked: null }, { kind: 'cancel', id })
      : next({ asked: null, message: 'not cancelled' });
  }
  if (state.isTyping) return { state: typed(state, key), action: null };
  if (key.text === 'q') return state.view === 'list' ? next({}, { kind: 'quit' }) : next(toList);
  if (key.name === 'escape') return next(state.view === 'list' ? { filter: '' } : toList);
  if (key.text === '?') return next({ view: state.view === 'help' ? 'list' : 'help', scroll: 0 });
  if (key.text === 'p') return next({ paused: !state.paused });
  const step = steps(key, extent.page);
  if (state.view !== 'list') return next(step === null ? {} : { scroll: scrolled(state.scroll, step, extent) });
  if (step !== null) return { state: moved(state, step), action: null };
  if (key.name === 'tab') return next({ pane: state.pane === 'tasks' ? 'results' : 'tasks' });
  if (key.text === '/') return next({ isTyping: true });
  if (key.text === 's') return next({ sort: SORTS[(SORTS.indexOf(state.sort) + 1) % SORTS.length] ?? 'turn' });
  const id = selectedTask(state);
  if (key.name === 'enter' && id !== null)
    return next(
      { view: 'task', detail: { task_id: id, facts: [], output: null, isOver: false }, scroll: 0 },
      { kind: 'open', id },
    );
  if (key.text === 'c' && id !== null)
    return next(state.pane === 'tasks' ? { asked: id } : { message: `${id} has its result already` });
  return next({});
}

const toList = { view: 'list', detail: null, scroll: 0 } as const;

function scrolled(from: number, step: number, { lastScroll }: Extent): number {
  const to = Math.max(0, Math.min(from, lastScroll) + step);
  return step > 0 && to >= lastScroll ? Number.POSITIVE_INFINITY : to;
}

function steps(key: Key, page: number): number | null {
  if (key.name === 'up' || key.text === 'k') return -1;
  if (key.name === 'down' || key.text === 'j') return 1;
  if (key.name === 'page-up') return -page;
  if (key.name === 'page-down' || key.text === ' ') return page;
  if (key.name === 'home' || key.text === 'g') return Number.NEGATIVE_INFINITY;
  return key.name === 'end' || key.text === 'G' ? Number.POSITIVE_INFINITY : null;
}

function moved(state: TopState, step: number): TopState {
  const rows = rowsOf(state);
  const index = Math.max(0, Math.min(selectedIndex(state) + step, rows.length - 1));
  const selected = { ...state.selected, [state.pane]: { id: rows[index]?.task_id ?? null, index } };
  return { ...state, selected, message: null };
}

function typed(state: TopState, key: Key): TopState {
  if (key.name === 'enter') return { ...state, isTyping: false };
  if (key.name === 'escape') return { ...state, isTyping: false, filter: '' };
  if (key.name === 'backspace') return { ...state, filter: state.filter.replace(/.$/su, '') };
  if (key.text === null || state.filter.length >= MAX_FILTER_CHARACTERS) return state;
  return { ...state, filter: state.filter + key.text };
}
