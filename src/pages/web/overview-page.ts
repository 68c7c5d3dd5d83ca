/** The whole grid at a glance: figures, charts, nodes, and the tables of tasks. */
import type { NodeRow, Overview, TaskRow } from '../model.ts';
import type { Charts } from './charts.ts';
import { instantOf } from './clock.ts';
import { type Child, h, type VNode } from './dom.ts';
import { filterBar, isFiltered, matches } from './filters.ts';
import { firstSteps } from './first-steps.ts';
import { nodeList } from './node-list.ts';
import { problemsPanel, queuePanel } from './queue-panel.ts';
import type { Filters, Route, Sort } from './route.ts';
import { COLUMNS, TABLES, type TableName } from './task-columns.ts';
import { FIRST_ROWS, taskTable } from './task-table.ts';
import { tiles } from './tiles.ts';

export interface OverviewActions {
  setFilters: (filters: Filters) => void;
  setSort: (table: TableName, sort: Sort | null) => void;
  showMore: (list: string) => void;
  /** How many entries of a list somebody asked for; undefined: nobody did. */
  shownOf: (list: string) => number | undefined;
}

export function overviewPage(
  overview: Overview,
  route: Extract<Route, { view: 'overview' }>,
  charts: Charts,
  actions: OverviewActions,
): VNode {
  const generatedMs = instantOf(overview.generated_at) ?? 0;
  return h(
    'div',
    { key: 'overview', class: 'page' },
    h('h1', { class: 'hidden', tabindex: -1 }, 'The grid at a glance'),
    tiles(overview),
    isEmpty(overview) ? firstSteps(overview) : null,
    isEmpty(overview) && overview.series.points.length === 0
      ? null
      : h('div', { class: 'charts', key: 'charts' }, ...charts.elements(overview)),
    h(
      'div',
      { class: 'middle', key: 'middle' },
      queuePanel(overview),
      problemsPanel(overview),
      nodeList({
        nodes: sortedNodes(overview),
        leftOut: leftOutOf(overview),
        generatedMs,
        isWhole: actions.shownOf('nodes') !== undefined,
        showAll: () => actions.showMore('nodes'),
      }),
    ),
    filterBar(route.filters, overview, actions.setFilters),
    h('div', { key: 'tables', class: 'tables' }, ...tables(overview, route, actions)),
  );
}

function tables(
  overview: Overview,
  { filters, sorts }: Extract<Route, { view: 'overview' }>,
  actions: OverviewActions,
): Child[] {
  const rows = allRows(overview);
  return TABLES.map(({ name, title, has }) => {
    const all = rows.filter(has);
    const matching = isFiltered(filters) ? all.filter((row) => matches(row, filters)) : all;
    if (name === 'unreadable' && all.length === 0) return null;
    // A filter says what one wants to see; tables where nothing can match only push it down.
    if (matching.length === 0 && isFiltered(filters) && rows.some((row) => matches(row, filters))) return null;
    return taskTable({
      name,
      title,
      columns: COLUMNS[name],
      rows: matching,
      total: all.length,
      leftOut: name === 'queued' ? overview.tasks_left_out : 0,
      generatedMs: instantOf(overview.generated_at) ?? 0,
      sort: sorts.get(name) ?? null,
      shown: actions.shownOf(name) ?? FIRST_ROWS,
      onSort: (sort) => actions.setSort(name, sort),
      onMore: () => actions.showMore(name),
    });
  });
}

/** Each task once: between two looks it may stand in both lists. */
export function allRows({ tasks, recent }: Overview): TaskRow[] {
  const known = new Set(recent.map(({ task_id }) => task_id));
  return [...tasks.filter(({ task_id }) => !known.has(task_id)), ...recent];
}

/** Not every source tells: those that list all nodes leave it away. */
function leftOutOf({ nodes_left_out = 0 }: Overview & { nodes_left_out?: number | undefined }): number {
  return nodes_left_out;
}

function sortedNodes({ nodes, this_node }: Overview): NodeRow[] {
  return nodes.toSorted((a, b) => Number(b.node_id === this_node) - Number(a.node_id === this_node));
}

function isEmpty({ tasks, recent, recorded }: Overview): boolean {
  return tasks.length === 0 && recent.length === 0 && recorded.completed + recorded.failed === 0;
}
