/**
 * The calls that the worker makes of an engine, and no others: each with its method, its path and exactly its parameters.
 * Pure. A call says what has to be checked beside that (whose container, which image, what body) before it may go on.
 */
import { BUILT_IMAGE_CHANGES } from '../busybox-image.ts';
import { formatImageName, parseImageName } from '../image-name.ts';
import { LABEL } from '../labels.ts';
import { isNetworkName } from '../network-list.ts';
import { readTarget, type Target } from './target.ts';

/** What is asked of one container, in the order: method, path behind its id, parameters. */
export type ContainerVerb = 'start' | 'attach' | 'logs' | 'stats' | 'wait' | 'inspect' | 'kill' | 'remove';

export type Call =
  | { kind: 'version' }
  | { kind: 'info' }
  | { kind: 'create'; name: string }
  | { kind: 'container'; verb: ContainerVerb; reference: string; query: Query }
  | { kind: 'list'; labels: string[] }
  | { kind: 'events'; id: string; since: string; until: string }
  | { kind: 'image'; reference: string }
  | { kind: 'images' }
  | { kind: 'history'; id: string }
  /** Of which image each container is, whosever it is. */
  | { kind: 'images-in-use' }
  | { kind: 'networks'; name: string }
  | { kind: 'pull'; image: string; query: Query }
  /** What a registry has under that name, without bringing it. */
  | { kind: 'distribution'; image: string }
  | { kind: 'import'; image: string }
  | { kind: 'dangling' }
  | { kind: 'remove-image'; reference: string }
  | { kind: 'prune-build-cache' };

/** As it is sent on. */
export type Query = readonly (readonly [name: string, value: string])[];

const ID = /^[0-9a-f]{64}$/;
/** Of containers that the worker makes: for a task, or ahead of one. */
const NAME = /^dgrid-[a-z0-9][a-z0-9_-]{0,120}$/;
const IMAGE_ID = /^sha256(?::|%3A)[0-9a-f]{64}$/;
const TIME = /^[0-9]{1,12}(\.[0-9]{1,9})?$/;
const MAX_LABELS = 8;
const LABEL_FILTER = /^(io\.dgrid\.[a-z]+)(=[A-Za-z0-9_-]{0,128})?$/;
const KNOWN_LABELS: ReadonlySet<string> = new Set(Object.values(LABEL));

/** The values that each parameter may have; all of them have to be there, once. */
type Parameters = Readonly<Record<string, readonly string[] | RegExp>>;

interface VerbRow {
  verb: ContainerVerb;
  method: string;
  /** Behind the container's id. */
  path: string;
  parameters: Parameters;
  /** Where the answer to an earlier call may have been lost, so that the worker knows a name alone. */
  byName?: true;
}

const BIT = ['0', '1'];
const VERBS: readonly VerbRow[] = [
  { verb: 'start', method: 'POST', path: '/start', parameters: {} },
  {
    verb: 'attach',
    method: 'POST',
    path: '/attach',
    parameters: { stream: ['1'], stdout: ['1'], stderr: ['1'], stdin: BIT },
  },
  {
    verb: 'logs',
    method: 'GET',
    path: '/logs',
    parameters: { stdout: ['1'], stderr: ['1'], follow: BIT, tail: ['all'] },
  },
  { verb: 'stats', method: 'GET', path: '/stats', parameters: { stream: ['true'] } },
  { verb: 'wait', method: 'POST', path: '/wait', parameters: { condition: ['next-exit', 'not-running'] } },
  { verb: 'inspect', method: 'GET', path: '/json', parameters: {}, byName: true },
  { verb: 'kill', method: 'POST', path: '/kill', parameters: { signal: ['TERM', 'KILL'] } },
  { verb: 'remove', method: 'DELETE', path: '', parameters: { force: ['true'], v: ['true'] }, byName: true },
];

/** @returns null for what the worker never asks: whoever asks is not the worker. */
export function readCall(method: string, raw: string): Call | null {
  const target = readTarget(raw);
  if (target === null) return null;
  const { path } = target;
  if (path.startsWith('/containers/')) return containerCall(method, target);
  if (path.startsWith('/images/')) return imageCall(method, target);
  if (path.startsWith('/distribution/')) return distributionCall(method, target);
  switch (`${method} ${path}`) {
    case 'GET /version':
      return exact(target, {}) && { kind: 'version' };
    case 'GET /info':
      return exact(target, {}) && { kind: 'info' };
    case 'GET /events':
      return eventsCall(target);
    case 'GET /networks':
      return networksCall(target);
    case 'POST /build/prune':
      return exact(target, {}) && { kind: 'prune-build-cache' };
    default:
      return null;
  }
}

function containerCall(method: string, target: Target): Call | null {
  const [reference = '', ...rest] = target.path.slice('/containers/'.length).split('/');
  if (rest.length === 0 && reference === 'create') {
    const query = method === 'POST' ? exact(target, { name: NAME }) : null;
    return query && { kind: 'create', name: query[0]?.[1] ?? '' };
  }
  if (rest.length === 0 && reference === 'json') return method === 'GET' ? listCall(target) : null;
  const suffix = rest.map((part) => `/${part}`).join('');
  const row = VERBS.find((one) => one.method === method && one.path === suffix);
  if (row === undefined || !(ID.test(reference) || (row.byName && NAME.test(reference)))) return null;
  const query = exact(target, row.parameters);
  return query && { kind: 'container', verb: row.verb, reference, query };
}

function networksCall(target: Target): Call | null {
  const query = exact(target, { filters: /^/ });
  const names = query === null ? undefined : only(filtersOf(query), ['name'])?.['name'];
  const [name] = isTexts(names) && names.length === 1 ? names : [];
  return name !== undefined && isNetworkName(name) ? { kind: 'networks', name } : null;
}

function listCall(target: Target): Call | null {
  if (exact(target, { all: ['true'] }) !== null) return { kind: 'images-in-use' };
  const query = exact(target, { all: ['true'], filters: /^/ });
  const filters = query && filtersOf(query);
  const labels = filters === null ? undefined : only(filters, ['label'])?.['label'];
  if (!isTexts(labels) || labels.length > MAX_LABELS) return null;
  const areOurs = labels.every((label) => KNOWN_LABELS.has(LABEL_FILTER.exec(label)?.[1] ?? ''));
  return areOurs ? { kind: 'list', labels: [...labels] } : null;
}

/** Of one container, and of a time that is over: nothing that could be listened to for ever. */
function eventsCall(target: Target): Call | null {
  const query = exact(target, { since: TIME, until: TIME, filters: /^/ });
  const filters = query && filtersOf(query);
  const given = filters === null ? null : only(filters, ['container', 'event']);
  const ids = given?.['container'];
  if (query === null || !isTexts(ids) || ids.length !== 1 || !ID.test(ids[0] ?? '')) return null;
  if (JSON.stringify(given?.['event']) !== JSON.stringify(['start', 'die'])) return null;
  const value = (name: string) => query.find(([one]) => one === name)?.[1] ?? '';
  return { kind: 'events', id: ids[0] ?? '', since: value('since'), until: value('until') };
}

function imageCall(method: string, target: Target): Call | null {
  const rest = target.path.slice('/images/'.length);
  if (method === 'POST' && rest === 'create') return pullOrImport(target);
  if (method === 'GET' && rest === 'json') {
    if (exact(target, {}) !== null) return { kind: 'images' };
    const query = exact(target, { filters: /^/ });
    return query && JSON.stringify(filtersOf(query)) === '{"dangling":["true"]}' ? { kind: 'dangling' } : null;
  }
  if (method === 'GET' && rest.endsWith('/json')) {
    const reference = imageReference(rest.slice(0, -'/json'.length));
    return exact(target, {}) && reference !== null ? { kind: 'image', reference } : null;
  }
  if (method === 'GET' && rest.endsWith('/history')) {
    const reference = imageReference(rest.slice(0, -'/history'.length));
    const id = reference !== null && IMAGE_ID.test(reference) ? reference : null;
    return exact(target, {}) && id !== null ? { kind: 'history', id } : null;
  }
  if (method === 'DELETE') {
    const reference = imageReference(rest);
    const query = exact(target, { force: ['false'], noprune: ['true'] });
    return query && reference !== null ? { kind: 'remove-image', reference } : null;
  }
  return null;
}

function distributionCall(method: string, target: Target): Call | null {
  const [, image = ''] = /^\/distribution\/(.+)\/json$/.exec(target.path) ?? [];
  const isName = imageReference(image) === image && !IMAGE_ID.test(image);
  return method === 'GET' && isName && exact(target, {}) ? { kind: 'distribution', image } : null;
}

/** A name in its full form, which can be taken for nothing else, or a whole id. */
function imageReference(text: string): string | null {
  if (IMAGE_ID.test(text)) return text.replace('%3A', ':');
  const name = parseImageName(text);
  return name !== null && formatImageName(name) === text ? text : null;
}

function pullOrImport(target: Target): Call | null {
  if (target.query.has('fromSrc')) {
    const { changes, ...rest } = Object.fromEntries(target.query);
    const query = exact({ ...target, query: new Map(Object.entries(rest)) }, { fromSrc: ['-'], repo: /^/ });
    const image = query?.[1]?.[1];
    if (image === undefined || imageReference(image) !== image) return null;
    return JSON.stringify(changes) === JSON.stringify(BUILT_IMAGE_CHANGES) ? { kind: 'import', image } : null;
  }
  const query = exact(target, { fromImage: /^/, tag: /^/ });
  if (query === null) return null;
  const [[, repository] = ['', ''], [, tag] = ['', '']] = query;
  const image = `${repository}${tag.startsWith('sha256:') ? '@' : ':'}${tag}`;
  return imageReference(image) === image ? { kind: 'pull', image, query } : null;
}

/** The parameters in the table's order, or null when one is missing, given twice, unknown, or has another value. */
function exact(target: Target, parameters: Parameters): Query | null {
  const names = Object.keys(parameters);
  if (target.query.size !== names.length) return null;
  const query: [string, string][] = [];
  for (const name of names) {
    const [value, ...more] = target.query.get(name) ?? [];
    const allowed = parameters[name] ?? [];
    if (value === undefined || more.length > 0) return null;
    if (!(allowed instanceof RegExp ? allowed.test(value) : allowed.includes(value))) return null;
    query.push([name, value]);
  }
  return query;
}

/** Written as the worker writes it: no name twice, nothing that another parser could read otherwise. */
function filtersOf(query: Query): unknown {
  const text = query.find(([name]) => name === 'filters')?.[1] ?? '';
  try {
    const value: unknown = JSON.parse(text);
    return JSON.stringify(value) === text ? value : null;
  } catch {
    return null;
  }
}

function only(value: unknown, names: readonly string[]): Record<string, unknown> | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  return JSON.stringify(Object.keys(value).toSorted()) === JSON.stringify(names)
    ? (value as Record<string, unknown>)
    : null;
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}
