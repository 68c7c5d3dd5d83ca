/** Where in the page one is, as the part of the address behind `#`: so it can be kept, sent to others, and gone back to. */
import { PRIORITIES, ROW_STATES, STATUSES } from './words.ts';

export interface Filters {
  text: string;
  state: string;
  status: string;
  node: string;
  priority: string;
}

export interface Sort {
  column: string;
  descending: boolean;
}

export type Route =
  | { view: 'overview'; filters: Filters; sorts: ReadonlyMap<string, Sort> }
  | { view: 'task'; id: string }
  | { view: 'node'; id: string };

export const NO_FILTERS: Filters = { text: '', state: '', status: '', node: '', priority: '' };
const MAX_TEXT = 200;
/** The choices of each filter; null: any text. */
const CHOICES: Readonly<Record<keyof Filters, readonly string[] | null>> = {
  text: null,
  state: ROW_STATES,
  status: STATUSES,
  node: null,
  priority: PRIORITIES,
};
const NAMES = Object.keys(CHOICES) as (keyof Filters)[];

/** Never throws: what cannot be read is left out, and leads to the overview. */
export function parseRoute(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#/, '').split('?', 2);
  const [, kind = '', id = ''] = path.split('/', 3);
  if ((kind === 'tasks' || kind === 'nodes') && id !== '') {
    return { view: kind === 'tasks' ? 'task' : 'node', id: decoded(id) };
  }
  const given = new URLSearchParams(query);
  const filters = { ...NO_FILTERS };
  for (const name of NAMES) {
    const value = (given.get(name) ?? '').slice(0, MAX_TEXT);
    if (CHOICES[name]?.includes(value) ?? true) filters[name] = value;
  }
  const sorts = new Map<string, Sort>();
  for (const sort of (given.get('sort') ?? '').split(',')) {
    const [, table, column, down] = /^([a-z]+)\.([a-z]+)(-?)$/.exec(sort) ?? [];
    if (table !== undefined && column !== undefined) sorts.set(table, { column, descending: down === '-' });
  }
  return { view: 'overview', filters, sorts };
}

export function hashOf(route: Route): string {
  if (route.view !== 'overview') return `#/${route.view}s/${encodeURIComponent(route.id)}`;
  const query = new URLSearchParams();
  for (const name of NAMES) if (route.filters[name] !== '') query.set(name, route.filters[name]);
  const sorts = [...route.sorts].map(([table, { column, descending }]) => `${table}.${column}${descending ? '-' : ''}`);
  if (sorts.length > 0) query.set('sort', sorts.join(','));
  const text = query.toString();
  return text === '' ? '#/' : `#/?${text}`;
}

export function overviewWith(filters: Partial<Filters>): string {
  return hashOf({ view: 'overview', filters: { ...NO_FILTERS, ...filters }, sorts: new Map() });
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
