/**
 * A table of tasks: sorted by its headings, walked through with the arrow keys, as cards where the screen is narrow.
 *
 * Only so many rows are in the document until somebody asks for more: what nobody looks at costs time with each change.
 */
import type { TaskRow } from '../model.ts';
import { type Child, h, quoted, type VNode } from './dom.ts';
import { counted } from './format.ts';
import { hashOf, type Sort } from './route.ts';
import type { Column, TableName } from './task-columns.ts';

export interface TableView {
  name: TableName;
  title: string;
  columns: readonly [Column, ...Column[]];
  rows: readonly TaskRow[];
  /** How many there are when nothing is filtered. */
  total: number;
  /** Rows of the grid that the document has no room for. */
  leftOut: number;
  generatedMs: number;
  sort: Sort | null;
  shown: number;
  /** null: the order is what it is. */
  onSort: ((sort: Sort | null) => void) | null;
  onMore: () => void;
}

export const FIRST_ROWS = 50;
export const MORE_ROWS = 150;

export function taskTable(view: TableView): VNode {
  const { name, title, rows, total } = view;
  // Most grids have no notes at all, and the room is needed.
  const columns = view.columns.filter((column) => column.name !== 'note' || rows.some((row) => row.note !== null));
  const sorted = view.sort === null ? rows : sortedRows(rows, view.columns, view.sort);
  const count = rows.length === total ? String(total) : `${rows.length} of ${total}`;
  const id = `table-${name}`;
  return h(
    'section',
    { class: 'panel table-panel', key: name, 'aria-labelledby': id, tabindex: -1 },
    h('h2', { id }, title, ' ', h('span', { class: 'count' }, count)),
    rows.length === 0
      ? h('p', { class: 'quiet' }, total === 0 ? EMPTY[name] : 'No task here matches the filters.')
      : h(
          'div',
          { class: 'table-scroll' },
          h(
            'table',
            { role: 'table', class: name },
            h('caption', { class: 'hidden' }, `${title}: ${count}`),
            h(
              'thead',
              { role: 'rowgroup' },
              h('tr', { role: 'row' }, ...columns.map((column) => heading(column, view))),
            ),
            h(
              'tbody',
              { role: 'rowgroup', 'data-rows': true },
              ...sorted.slice(0, view.shown).map((row) => tableRow(row, columns, view)),
            ),
          ),
        ),
    more(view),
  );
}

const EMPTY: Readonly<Record<TableName, string>> = {
  running: 'Nothing runs at the moment.',
  waiting: 'No task waits for another try.',
  queued: 'The queue is empty.',
  unreadable: 'All can be read.',
  recent: 'No task has a result yet.',
};

function more({ name, rows, shown, leftOut, onMore }: TableView): Child {
  const hidden = rows.length - shown;
  const rest =
    leftOut > 0
      ? h(
          'p',
          { class: 'quiet' },
          `${counted(leftOut, 'more task')} of the grid ${leftOut === 1 ? 'is' : 'are'} not listed.`,
        )
      : null;
  if (hidden <= 0) return rest;
  const next = Math.min(hidden, MORE_ROWS);
  return h(
    'div',
    {},
    h(
      'button',
      { type: 'button', class: 'more', 'data-focus': `more ${name}`, onclick: onMore },
      `Show ${next} more of ${hidden}`,
    ),
    rest,
  );
}

function heading(column: Column, { name, sort, onSort }: TableView): VNode {
  const attributes = { key: column.name, role: 'columnheader', scope: 'col', class: column.kind };
  if (onSort === null) return h('th', attributes, column.title);
  const isSorted = sort?.column === column.name;
  const direction = isSorted ? (sort.descending ? 'descending' : 'ascending') : null;
  // Up, down, and back to the order in which they came.
  const next = (): Sort | null => {
    if (!isSorted) return { column: column.name, descending: false };
    return sort.descending ? null : { column: column.name, descending: true };
  };
  return h(
    'th',
    { ...attributes, 'aria-sort': direction },
    h(
      'button',
      { type: 'button', class: 'sort', 'data-focus': `sort ${name} ${column.name}`, onclick: () => onSort(next()) },
      column.title,
      h('span', { class: 'arrow', 'aria-hidden': 'true' }, isSorted ? (sort.descending ? '▼' : '▲') : ''),
    ),
  );
}

function tableRow(row: TaskRow, columns: readonly Column[], { name, generatedMs }: TableView): VNode {
  return h(
    'tr',
    { key: row.task_id, role: 'row' },
    h(
      'th',
      { role: 'rowheader', scope: 'row', class: 'task-cell' },
      h(
        'a',
        {
          class: 'id',
          href: hashOf({ view: 'task', id: row.task_id }),
          'data-row-link': true,
          // The same in each table, so that the focus goes with a task from one to another.
          'data-focus': `row ${row.task_id}`,
        },
        quoted(row.task_id),
      ),
    ),
    ...columns
      .slice(1)
      .map((column) =>
        h(
          'td',
          { key: `${name} ${column.name}`, role: 'cell', class: column.kind, 'data-label': column.title },
          column.cell(row, generatedMs),
        ),
      ),
  );
}

/** What has no value comes last in both directions. */
export function sortedRows(rows: readonly TaskRow[], columns: readonly Column[], sort: Sort): readonly TaskRow[] {
  const column = columns.find(({ name }) => name === sort.column);
  if (!column) return rows;
  return rows.toSorted((left, right) => {
    const [a, b] = [column.order(left), column.order(right)];
    if (a === null || b === null) return Number(a === null) - Number(b === null);
    const order = a < b ? -1 : Number(a > b);
    return sort.descending ? -order : order;
  });
}
