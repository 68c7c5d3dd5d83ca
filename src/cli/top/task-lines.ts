/** Tasks and results as rows in a frame of `dgrid top`. Pure. */
import type { WatchedTask } from '../../client/grid-watch.ts';
import { duration } from '../figures.ts';
import type { Style } from '../output.ts';
import { cell, fitted, type Paint } from './line.ts';

const STYLES: Readonly<Record<WatchedTask['state'], Style>> = {
  running: 'cyan',
  waiting: 'yellow',
  queued: 'dim',
  success: 'green',
  failed: 'red',
  unreadable: 'red',
};

function widths(columns: number): { id: number; node: number } {
  // State, priority, try and time take 38, with the gaps and the mark.
  const rest = Math.max(16, columns - 38);
  const id = Math.max(10, Math.min(40, Math.floor(rest * 0.5)));
  return { id, node: Math.max(6, Math.min(24, Math.floor(rest * 0.25))) };
}

export function taskTitles(pane: 'tasks' | 'results', count: string, columns: number): string {
  const { id, node } = widths(columns);
  const name = pane === 'tasks' ? `TASKS (${count})` : `RESULTS (${count})`;
  const time = pane === 'tasks' ? 'FOR' : 'RAN';
  return `  ${cell(name, id)} ${cell('STATE', 8)} ${cell('PRIORITY', 8)} ${cell('NODE', node)} ${cell('TRY', 3, 'right')} ${cell(time, 11, 'right')} `;
}

export function taskRow(task: WatchedTask, columns: number, isMarked: boolean, paint: Paint, nowMs: number): string {
  const { id, node } = widths(columns);
  const line = [
    { text: `${isMarked ? '>' : ' '} ${cell(task.task_id, id)}`, style: isMarked ? ('bold' as const) : null },
    ' ',
    { text: cell(task.state, 8), style: STYLES[task.state] },
    ` ${cell(task.priority ?? '', 8)} ${cell(task.node_id ?? '', node)} `,
    `${cell(task.attempt > 0 ? String(task.attempt) : '', 3, 'right')} ${cell(timeOf(task, nowMs), 11, 'right')}`,
    { text: task.note === '' ? '' : `  ${task.note}`, style: 'dim' as const },
  ];
  if (!isMarked) return fitted(line, columns, paint);
  // The whole row in one style: a colour in it would end the marking.
  return paint('inverse', cell(line.map((part) => (typeof part === 'string' ? part : part.text)).join(''), columns));
}

/** A lower bound for what was so before the watching began. */
function timeOf({ run_ms: runMs, seen, sinceMs, state }: WatchedTask, nowMs: number): string {
  if (state === 'success' || state === 'failed') return runMs === null ? '' : duration(runMs);
  return sinceMs === null ? '' : `${seen ? '' : '≥ '}${duration(nowMs - sinceMs)}`;
}
