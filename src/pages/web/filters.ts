/** Which tasks are shown: a search, and choices; and the form to set them. */
import type { NodeRow, Overview, TaskRow } from '../model.ts';
import { type Child, h, type VNode } from './dom.ts';
import { type Filters, NO_FILTERS } from './route.ts';
import { PRIORITIES, ROW_STATES, STATUSES } from './words.ts';

/** Where the `/` key leads. */
export const SEARCH_FOCUS = 'search';

export function matches(row: TaskRow, filters: Filters): boolean {
  if (filters.state !== '' && row.state !== filters.state) return false;
  if (filters.status !== '' && row.status !== filters.status) return false;
  if (filters.node !== '' && row.node_id !== filters.node) return false;
  if (filters.priority !== '' && row.priority !== filters.priority) return false;
  const words = filters.text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const text = [row.task_id, row.node_id, row.reason, row.message, row.image, row.note, ...row.labels]
    .join('\n')
    .toLowerCase();
  return words.every((word) => text.includes(word));
}

export function isFiltered(filters: Filters): boolean {
  return Object.values(filters).some((value) => value !== '');
}

export function filterBar(filters: Filters, overview: Overview, set: (filters: Filters) => void): VNode {
  const choice = (name: keyof Filters, title: string, values: readonly string[]): VNode =>
    h(
      'label',
      { class: 'filter', key: name },
      h('span', {}, title),
      h(
        'select',
        {
          name,
          'data-focus': `filter ${name}`,
          value: filters[name],
          onchange: (event) => set({ ...filters, [name]: valueOf(event) }),
        },
        h('option', { value: '', key: '' }, 'any'),
        ...values.map((value) => h('option', { value, key: value }, value)),
      ),
    );
  return h(
    'search',
    { class: 'filters', key: 'filters', 'aria-label': 'Which tasks are shown' },
    h(
      'label',
      { class: 'filter search', key: 'text' },
      h('span', {}, 'Search tasks ', h('kbd', { 'aria-hidden': 'true' }, '/')),
      h('input', {
        type: 'search',
        name: 'text',
        'data-focus': SEARCH_FOCUS,
        autocomplete: 'off',
        spellcheck: 'false',
        maxlength: 200,
        placeholder: 'id, node, image, message',
        value: filters.text,
        oninput: (event) => set({ ...filters, text: valueOf(event) }),
      }),
    ),
    choice('state', 'State', ROW_STATES),
    choice('status', 'Status', STATUSES),
    choice('node', 'Node', nodeIds(overview, filters.node)),
    choice('priority', 'Priority', PRIORITIES),
    clearButton(filters, set),
  );
}

function clearButton(filters: Filters, set: (filters: Filters) => void): Child {
  if (!isFiltered(filters)) return null;
  return h(
    'button',
    { type: 'button', key: 'clear', class: 'clear', 'data-focus': 'clear filters', onclick: () => set(NO_FILTERS) },
    'Clear filters',
  );
}

/** The one that is chosen stays among them though no row names it any more. */
function nodeIds({ nodes, tasks, recent }: Overview, chosen: string): string[] {
  const ids = new Set<string>(nodes.map(({ node_id }: NodeRow) => node_id));
  for (const { node_id } of [...tasks, ...recent]) if (node_id !== null) ids.add(node_id);
  if (chosen !== '') ids.add(chosen);
  return [...ids].toSorted();
}

function valueOf(event: Event): string {
  const { target } = event;
  return target instanceof HTMLInputElement || target instanceof HTMLSelectElement ? target.value : '';
}
