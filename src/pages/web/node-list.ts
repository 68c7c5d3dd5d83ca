/** The workers, one card each. */
import type { NodeRow } from '../model.ts';
import { ticking } from './ages.ts';
import { type Child, h, quoted, type VNode } from './dom.ts';
import { counted, duration, figure } from './format.ts';
import { labelList, loadBar, mark, panel, reasonText, taskLink } from './parts.ts';
import { hashOf } from './route.ts';
import { nodeWord } from './words.ts';

const FIRST_CARDS = 24;
/** What somebody should look after comes first. */
const ORDER: readonly NodeRow['state'][] = ['silent', 'fenced', 'unreadable', 'alive', 'stopped'];

export interface NodeListView {
  nodes: readonly NodeRow[];
  /** Nodes that the document has no room for. */
  leftOut: number;
  /** When the document was made: signs of life are told as ages. */
  generatedMs: number;
  /** Whether somebody asked for all cards. */
  isWhole: boolean;
  showAll: () => void;
}

export function nodeList({ nodes, leftOut, generatedMs, isWhole, showAll }: NodeListView): VNode {
  const sorted = nodes.toSorted((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state));
  const cards = isWhole ? sorted : sorted.slice(0, FIRST_CARDS);
  return panel(
    'nodes',
    'Nodes',
    nodes.length === 0
      ? h('p', { class: 'quiet' }, 'No worker has registered yet.')
      : h('ul', { class: 'node-cards', 'data-rows': true }, ...cards.map((node) => card(node, generatedMs))),
    cards.length < nodes.length
      ? h('button', { type: 'button', class: 'more', onclick: showAll }, `Show all ${counted(nodes.length, 'node')}`)
      : null,
    leftOut > 0 ? h('p', { class: 'quiet' }, `${counted(leftOut, 'more node')} not listed.`) : null,
  );
}

function card(node: NodeRow, generatedMs: number): VNode {
  const isHere = node.state === 'alive' || node.state === 'silent';
  return h(
    'li',
    { class: `node-card ${node.state}`, key: node.node_id },
    h(
      'div',
      { class: 'node-head' },
      h(
        'h3',
        {},
        h(
          'a',
          {
            href: hashOf({ view: 'node', id: node.node_id }),
            'data-row-link': true,
            'data-focus': `card node ${node.node_id}`,
          },
          quoted(node.node_id),
        ),
      ),
      mark(nodeWord(node)),
    ),
    h(
      'p',
      { class: 'node-line' },
      h('span', {}, slotsOf(node)),
      h('span', { class: 'muted' }, node.seen_ms_ago === null ? 'not seen yet' : 'seen ', lastSign(node, generatedMs)),
    ),
    isHere && hasLoads(node) ? loads(node) : null,
    node.paused.length > 0 ? pauses(node) : null,
    labelList(node.labels),
  );
}

function hasLoads({ cpu_percent, memory_percent, disk_percent }: NodeRow): boolean {
  return [cpu_percent, memory_percent, disk_percent].some((value) => value !== null);
}

export function loads(node: NodeRow): VNode {
  return h(
    'div',
    { class: 'loads' },
    loadBar('CPU', node.cpu_percent),
    loadBar('Memory', node.memory_percent),
    loadBar('Disk', node.disk_percent),
  );
}

export function slotsOf(node: NodeRow): string {
  if (node.slots === null) return counted(node.running.length, 'task');
  return `${figure(node.running.length)} of ${counted(node.slots, 'slot')} in use`;
}

export function lastSign(node: NodeRow, generatedMs: number): Child {
  return node.seen_ms_ago === null ? null : ticking(generatedMs - node.seen_ms_ago, ' ago');
}

function pauses(node: NodeRow): VNode {
  return h(
    'ul',
    { class: 'pauses', 'aria-label': 'Why it claims nothing' },
    ...node.paused.map(({ reason, text }) => h('li', { key: reason }, reasonText(reason, text))),
  );
}

/** A node by itself. */
export function nodeFacts(node: NodeRow, generatedMs: number): (readonly [string, Child])[] {
  return [
    ['Name', node.name === null ? null : quoted(node.name)],
    ['Version', node.version === null ? null : quoted(node.version)],
    ['Slots', slotsOf(node)],
    ['Starts left in this hour', node.quota_left === null ? null : figure(node.quota_left)],
    ['Last sign of life', lastSign(node, generatedMs)],
    ['By its own clock', node.last_beat === null ? null : h('time', { datetime: node.last_beat }, node.last_beat)],
    ['Heartbeat', node.heartbeat_ms === null ? null : `every ${duration(node.heartbeat_ms)}`],
    ['Counts as dead after', node.ttl_ms === null ? null : duration(node.ttl_ms)],
    ['Labels', labelList(node.labels)],
    [
      'Running',
      node.running.length === 0
        ? null
        : h('ul', { class: 'inline-list' }, ...node.running.map((id) => h('li', { key: id }, taskLink(id, 'node')))),
    ],
  ];
}
