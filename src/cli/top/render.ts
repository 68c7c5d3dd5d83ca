/** A frame of `dgrid top`: from what is known to the lines of the screen. Pure. */
import { byPriority, doneOf } from '../../client/grid-summary.ts';
import type { WatchedTask } from '../../client/grid-watch.ts';
import { duration } from '../figures.ts';
import { fitted, type Paint, sparkline } from './line.ts';
import { nodeLines } from './node-lines.ts';
import { rowsOf, selectedIndex, type TaskDetail, type TopState } from './state.ts';
import { taskRow, taskTitles } from './task-lines.ts';

export interface ScreenSize {
  columns: number;
  rows: number;
}

export const MIN_SIZE: ScreenSize = { columns: 40, rows: 8 };
/** An answer that takes longer is said to be waited for. */
const SLOW_MS = 3_000;
/** Of the screen, at most this share shows nodes, and results. */
const NODE_SHARE = 0.3;
const RESULT_SHARE = 0.25;
const SERIES_STEPS = 60;

const HELP: readonly (readonly [string, string])[] = [
  ['q', 'leave; from a task or this page, back to the list'],
  ['↑ ↓  j k', 'move; with Page Up, Page Down, Home, End (or space, g, G) further'],
  ['Tab', 'between the tasks and the results that came since this was started'],
  ['Enter', 'a task: its record, and the end of what it wrote, or has written so far'],
  ['/', 'show only what has this in its id, its node or its state; Escape shows all again'],
  ['s', 'sort: by turn, task, node, time'],
  ['p', 'stop looking at the repository, and go on'],
  ['c', 'cancel the task under the mark, after asking'],
  ['Ctrl-L', 'draw all anew'],
  ['Ctrl-Z', 'suspend'],
  ['?', 'this page'],
];

/** @returns at most `rows` lines of at most `columns` columns. */
export function render(state: TopState, size: ScreenSize, paint: Paint, nowMs: number): string[] {
  const { columns, rows } = size;
  if (columns < MIN_SIZE.columns || rows < MIN_SIZE.rows) {
    return [fitted([`too small: ${MIN_SIZE.columns}x${MIN_SIZE.rows} is needed`], columns, paint)].slice(0, rows);
  }
  const head = headLines(state, columns, paint, nowMs);
  const foot = footLine(state, columns, paint);
  const room = rows - head.length - 1;
  const body =
    state.view === 'help'
      ? scrolled(helpLines(columns, paint), state.scroll, room)
      : state.view === 'task'
        ? scrolled(detailLines(state, columns, paint), state.scroll, room)
        : listLines(state, columns, room, paint, nowMs);
  const filling = Array.from({ length: Math.max(0, room - body.length) }, () => '');
  return [...head, ...body.slice(0, room), ...filling, foot];
}

/** How many rows of tasks fit: what Page Down moves by. */
export function pageSize(state: TopState, size: ScreenSize): number {
  const room = size.rows - headHeight(state) - 1;
  return Math.max(1, state.view === 'list' ? shares(state, room).list - 1 : room - 1);
}

/** How far the detail, or the help, can be scrolled. */
export function lastScroll(state: TopState, size: ScreenSize): number {
  const room = size.rows - headHeight(state) - 1;
  const length = state.view === 'help' ? HELP.length : detailLength(state.detail);
  return Math.max(0, length - room);
}

function detailLength(detail: TaskDetail | null): number {
  if (detail === null || detail.facts.length === 0) return 1;
  return detail.facts.length + (detail.output === null ? 0 : 1 + detail.output.length);
}

function headHeight(state: TopState): number {
  return state.problem === null ? 4 : 5;
}

function headLines(state: TopState, columns: number, paint: Paint, nowMs: number): string[] {
  const { picture, problem, repository } = state;
  const waits = state.askingSinceMs === null ? 0 : nowMs - state.askingSinceMs;
  const age = picture === null ? null : nowMs - picture.atMs;
  const status = state.paused
    ? { text: 'PAUSED', style: 'yellow' as const }
    : waits > SLOW_MS
      ? { text: `no answer for ${duration(waits)}`, style: 'yellow' as const }
      : { text: age === null ? 'reading …' : `${duration(age)} old`, style: 'dim' as const };
  const title = fitted(
    [{ text: 'dgrid top', style: 'bold' }, `  ${repository}${branchOf(state)}  `, status],
    columns,
    paint,
  );
  const second = picture === null ? '' : fitted(countParts(state), columns, paint);
  const third = picture === null ? '' : fitted(rateParts(state, columns, nowMs), columns, paint);
  const lines = [title, second, third, ''];
  if (problem === null) return lines;
  return [title, fitted([{ text: `! ${problem}`, style: 'red' }], columns, paint), second, third, ''];
}

function branchOf({ picture }: TopState): string {
  if (picture === null) return '';
  const { branch, commit } = picture.summary;
  return `, ${branch}${commit === null ? ' (no commit yet)' : ` at ${commit.slice(0, 8)}`}`;
}

function countParts({ picture }: TopState) {
  if (picture === null) return [];
  const { queue, in_work: work, waiting, recorded, problems } = picture.summary;
  const kinds = byPriority(picture.summary).filter(([, count]) => count > 0);
  const detail = kinds.length > 0 ? `  (queued: ${kinds.map(([name, count]) => `${count} ${name}`).join(', ')})` : '';
  const unrecorded = doneOf(picture.summary) - recorded.completed - recorded.failed;
  return [
    { text: `${queue.pending}`, style: 'bold' as const },
    ' queued  ',
    { text: `${work.length}`, style: 'bold' as const },
    ` in work  ${waiting.length} waiting  `,
    { text: `${recorded.completed}`, style: 'green' as const },
    ' completed  ',
    { text: `${recorded.failed}`, style: recorded.failed > 0 ? ('red' as const) : null },
    ` failed${unrecorded > 0 ? `  ${unrecorded} not recorded yet` : ''}${detail}`,
    ...(queue.invalid > 0 ? [{ text: `  ${queue.invalid} no tasks`, style: 'red' as const }] : []),
    ...(problems.length > 0 ? [{ text: `  ${problems.length} to mend (dgrid status)`, style: 'yellow' as const }] : []),
  ];
}

function rateParts({ picture }: TopState, columns: number, nowMs: number) {
  if (picture === null) return [];
  const rate = picture.sightings.donePerMinute();
  const label = `${rate === null ? '–' : rate.toFixed(1)} tasks a minute  `;
  const steps = Math.max(0, Math.min(SERIES_STEPS, columns - label.length));
  return [label, { text: sparkline(picture.throughput.series(steps, nowMs)), style: 'cyan' as const }];
}

/** Heights of the parts of the list, with their headings and the empty lines between them. */
function shares({ picture }: TopState, room: number): { nodes: number; results: number; list: number } {
  const known = picture?.summary.nodes.length ?? 0;
  const nodes = Math.max(2, Math.min(known + 1, Math.floor(room * NODE_SHARE)));
  const recent = picture?.recent.length ?? 0;
  const results = recent === 0 || room < 12 ? 0 : Math.min(recent + 1, Math.max(2, Math.floor(room * RESULT_SHARE)));
  return { nodes, results, list: room - nodes - 1 - (results > 0 ? results + 1 : 0) };
}

function listLines(state: TopState, columns: number, room: number, paint: Paint, nowMs: number): string[] {
  if (state.picture === null) return [];
  const { nodes, results, list } = shares(state, room);
  const isResults = state.pane === 'results';
  // A small screen shows the one pane or the other.
  const main = isResults && results === 0 ? 'results' : 'tasks';
  return [
    ...nodeLines(state.picture, columns, nodes, paint, nowMs),
    '',
    ...paneLines(state, main, list, columns, paint, nowMs),
    ...(results > 0 ? ['', ...paneLines(state, 'results', results, columns, paint, nowMs)] : []),
  ];
}

function paneLines(
  state: TopState,
  pane: TopState['pane'],
  height: number,
  columns: number,
  paint: Paint,
  nowMs: number,
): string[] {
  const rows = rowsOf(state, pane);
  const all = (pane === 'tasks' ? state.picture?.tasks : state.picture?.recent) ?? [];
  const marked = state.pane === pane ? selectedIndex(state, pane) : -1;
  const shown = Math.max(0, height - 1);
  const from = Math.max(0, Math.min(marked - Math.floor(shown / 2), rows.length - shown));
  const count = rows.length === all.length ? `${all.length}` : `${rows.length} of ${all.length}`;
  const title = fitted([{ text: taskTitles(pane, count, columns), style: 'bold' }], columns, paint);
  const lines = rows
    .slice(from, from + shown)
    .map((task: WatchedTask, at) => taskRow(task, columns, from + at === marked, paint, nowMs));
  return [
    title,
    ...(lines.length > 0 ? lines : [fitted([{ text: '  nothing here', style: 'dim' }], columns, paint)]),
  ].slice(0, height);
}

function helpLines(columns: number, paint: Paint): string[] {
  return HELP.map(([key, text]) => fitted([{ text: `  ${key.padEnd(10)}`, style: 'bold' }, text], columns, paint));
}

function detailLines({ detail }: TopState, columns: number, paint: Paint): string[] {
  if (detail === null) return [];
  const width = Math.max(0, ...detail.facts.map(([name]) => name.length));
  const facts = detail.facts.map(([name, value]) =>
    fitted([{ text: `${name.padEnd(width)}  `, style: 'bold' }, value], columns, paint),
  );
  if (detail.facts.length === 0) return [fitted([`${detail.task_id}: reading …`], columns, paint)];
  return [
    ...facts,
    ...(detail.output === null ? [] : ['', ...detail.output.map((line) => fitted([line], columns, paint))]),
  ];
}

function scrolled(lines: readonly string[], scroll: number, room: number): string[] {
  const from = Math.max(0, Math.min(scroll, lines.length - room));
  return lines.slice(from, from + room);
}

function footLine(state: TopState, columns: number, paint: Paint): string {
  if (state.asked !== null)
    return fitted([{ text: `cancel ${state.asked}? y: yes, any other key: no`, style: 'yellow' }], columns, paint);
  if (state.message !== null) return fitted([{ text: state.message, style: 'yellow' }], columns, paint);
  if (state.isTyping) return fitted([{ text: `/${state.filter}`, style: 'bold' }, '█'], columns, paint);
  const facts = [
    ...(state.filter === '' ? [] : [`/${state.filter}`]),
    ...(state.sort === 'turn' ? [] : [`by ${state.sort}`]),
  ];
  const keys =
    state.view === 'list'
      ? 'q quit  ? help  / search  s sort  p pause  Enter show  c cancel  Tab results'
      : 'q back  j k scroll  G end  ? help';
  return fitted(
    [...facts.map((text) => ({ text: `${text}  `, style: 'cyan' as const })), { text: keys, style: 'dim' }],
    columns,
    paint,
  );
}
