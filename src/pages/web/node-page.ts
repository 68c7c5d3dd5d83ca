/** One worker, with its tasks. */
import type { NodeRow, Overview, TaskRow } from '../model.ts';
import { instantOf } from './clock.ts';
import { h, quoted, type VNode } from './dom.ts';
import { loads, nodeFacts } from './node-list.ts';
import { allRows, type OverviewActions } from './overview-page.ts';
import { facts, mark, panel, reasonText } from './parts.ts';
import { COLUMNS, type TableName } from './task-columns.ts';
import { back } from './task-page.ts';
import { FIRST_ROWS, taskTable } from './task-table.ts';
import { meaningOf, nodeWord } from './words.ts';

export interface NodePageActions extends Pick<OverviewActions, 'showMore' | 'shownOf'> {
  backHref: string;
}

export function nodePage(id: string, overview: Overview, actions: NodePageActions): VNode {
  const node = overview.nodes.find(({ node_id }) => node_id === id) ?? null;
  const generatedMs = instantOf(overview.generated_at) ?? 0;
  const rows = allRows(overview).filter(({ node_id }) => node_id === id);
  return h(
    'div',
    { key: `node ${id}`, class: 'page' },
    back(actions.backHref),
    h(
      'div',
      { class: 'page-head' },
      h('h1', { tabindex: -1 }, h('span', { class: 'kind' }, 'Node '), quoted(id)),
      node === null ? null : mark(nodeWord(node)),
      id === overview.this_node ? h('span', { class: 'label' }, 'serves this page') : null,
    ),
    node === null
      ? h('p', { class: 'quiet' }, 'No worker of this name is registered.')
      : h(
          'div',
          { class: 'columns' },
          panel('about', 'About', facts(nodeFacts(node, generatedMs))),
          panel('machine', 'Machine', loads(node)),
        ),
    node === null || node.paused.length === 0 ? null : reasons('paused', 'Why it claims nothing', node.paused),
    node === null || node.refuses.length === 0 ? null : reasons('refuses', 'What it leaves to others', node.refuses),
    table('running', 'Running here', rows, ({ state }) => state === 'running', generatedMs, actions),
    table('recent', 'Recent results of it', rows, ({ status }) => status !== null, generatedMs, actions),
  );
}

function reasons(id: string, title: string, entries: NodeRow['paused']): VNode {
  return panel(
    id,
    title,
    h(
      'ul',
      { class: 'reasons' },
      ...entries.map(({ reason, text }, index) =>
        h('li', { key: `${reason} ${index}` }, reasonText(reason, text), h('p', { class: 'muted' }, meaningOf(reason))),
      ),
    ),
  );
}

function table(
  name: TableName,
  title: string,
  rows: readonly TaskRow[],
  has: (row: TaskRow) => boolean,
  generatedMs: number,
  { showMore, shownOf }: NodePageActions,
): VNode {
  const [task, ...columns] = COLUMNS[name];
  const matching = rows.filter(has);
  return taskTable({
    name,
    title,
    columns: [task, ...columns.filter((column) => column.name !== 'node')],
    rows: matching,
    total: matching.length,
    leftOut: 0,
    generatedMs,
    sort: null,
    shown: shownOf(name) ?? FIRST_ROWS,
    onSort: null,
    onMore: () => showMore(name),
  });
}
