/** What each table of tasks shows, and in which order its columns sort. */
import type { TaskRow } from '../model.ts';
import { ticking } from './ages.ts';
import { instantOf } from './clock.ts';
import { type Child, h, quoted } from './dom.ts';
import { duration } from './format.ts';
import { labelList, mark, nodeLink, reasonText } from './parts.ts';
import { PRIORITIES, wordOf } from './words.ts';

export interface Column {
  /** As it stands in the address. */
  name: string;
  title: string;
  /** @param generatedMs when the document was made */
  cell: (row: TaskRow, generatedMs: number) => Child;
  /** null sorts last. */
  order: (row: TaskRow) => string | number | null;
  /** Of the cell: `number` stands on the right, `wide` may take what room is left. */
  kind?: 'number' | 'wide';
}

export type TableName = 'running' | 'waiting' | 'queued' | 'unreadable' | 'recent';

const none = (): Child => h('span', { class: 'muted' }, '–');

const task: Column = { name: 'task', title: 'Task', cell: () => null, order: (row) => row.task_id };
const node: Column = {
  name: 'node',
  title: 'Node',
  cell: (row) => nodeLink(row.node_id, row.task_id),
  order: (row) => row.node_id,
};
const priority: Column = {
  name: 'priority',
  title: 'Priority',
  cell: (row) => (row.priority === null ? none() : h('span', { class: `priority ${row.priority}` }, row.priority)),
  order: (row) => (row.priority === null ? null : PRIORITIES.indexOf(row.priority)),
};
const attempt: Column = {
  name: 'attempt',
  title: 'Attempt',
  cell: (row) => row.attempt,
  order: (row) => row.attempt,
  kind: 'number',
};
const image: Column = {
  name: 'image',
  title: 'Image',
  cell: (row) => (row.image === null ? h('span', { class: 'muted' }, 'default') : h('code', {}, quoted(row.image))),
  order: (row) => row.image,
};
const labels: Column = {
  name: 'needs',
  title: 'Needs',
  cell: (row) => labelList(row.labels) ?? none(),
  order: (row) => row.labels.join(' ') || null,
};
const note: Column = {
  name: 'note',
  title: 'Note',
  cell: (row) => (row.note === null ? none() : h('span', { class: 'note warn' }, quoted(row.note))),
  order: (row) => row.note,
  kind: 'wide',
};
const since: Column = {
  name: 'since',
  title: 'Claimed',
  cell: (row) => ticking(instantOf(row.claimed_at), ' ago'),
  order: (row) => instantOf(row.claimed_at),
  kind: 'number',
};
const running: Column = {
  name: 'ran',
  title: 'Runs for',
  // What the worker measured on its own clock is better than the difference of two.
  cell: (row, generatedMs) => ticking(row.run_ms === null ? instantOf(row.started_at) : generatedMs - row.run_ms),
  order: (row) => instantOf(row.started_at),
  kind: 'number',
};
const ran: Column = {
  name: 'ran',
  title: 'Ran for',
  cell: (row) => duration(row.run_ms),
  order: (row) => row.run_ms,
  kind: 'number',
};
const ended: Column = {
  name: 'ended',
  title: 'Ended',
  cell: (row) => ticking(instantOf(row.finished_at), ' ago'),
  order: (row) => instantOf(row.finished_at),
  kind: 'number',
};
const status: Column = {
  name: 'status',
  title: 'Status',
  cell: (row) => mark(wordOf(row)),
  order: (row) => wordOf(row).text,
};
const why: Column = {
  name: 'reason',
  title: 'Why',
  cell: (row) =>
    row.reason === null && row.message === null
      ? none()
      : h('span', { class: 'clamp' }, reasonText(row.reason, row.message)),
  order: (row) => row.reason ?? row.message,
  kind: 'wide',
};
const outcome: Column = {
  name: 'reason',
  title: 'Outcome',
  // What became of a good one is said by its status.
  cell: (row) =>
    row.reason === null && row.note === null
      ? none()
      : h('span', { class: 'clamp' }, row.reason === null ? null : reasonText(row.reason, row.message), noteOf(row)),
  order: (row) => row.reason,
  kind: 'wide',
};

function noteOf(row: TaskRow): Child {
  return row.note === null ? null : h('span', { class: 'note warn' }, ' ', quoted(row.note));
}

export const COLUMNS: Readonly<Record<TableName, readonly [Column, ...Column[]]>> = {
  running: [task, node, priority, running, since, attempt, image, note],
  waiting: [task, why, priority, attempt, labels, image],
  queued: [task, priority, labels, image, note],
  unreadable: [task, why, note],
  recent: [task, status, node, outcome, ran, ended, attempt],
};

export const TABLES: readonly { name: TableName; title: string; has: (row: TaskRow) => boolean }[] = [
  { name: 'unreadable', title: 'Cannot be read', has: (row) => row.state === 'unreadable' },
  { name: 'running', title: 'Running', has: (row) => row.state === 'running' },
  { name: 'waiting', title: 'Waiting', has: (row) => row.state === 'waiting' },
  { name: 'queued', title: 'Queued', has: (row) => row.state === 'queued' },
  { name: 'recent', title: 'Recent results', has: (row) => row.state === 'finished' || row.state === 'recorded' },
];
