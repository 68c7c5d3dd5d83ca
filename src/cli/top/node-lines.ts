/** The nodes in a frame of `dgrid top`. Pure. */
import type { NodeSummary } from '../../client/grid-summary.ts';
import type { GridPicture } from '../../client/grid-watch.ts';
import { duration } from '../figures.ts';
import type { Style } from '../output.ts';
import { bar, cell, fitted, type Paint } from './line.ts';

const STYLES: Readonly<Record<NodeSummary['state'] | 'silent', Style>> = {
  alive: 'green',
  stopped: 'dim',
  fenced: 'red',
  unreadable: 'yellow',
  silent: 'yellow',
};
/** From this many columns on there is room for the machine's own load. */
const WIDE_COLUMNS = 100;

/** @param height with the heading */
export function nodeLines(
  picture: GridPicture,
  columns: number,
  height: number,
  paint: Paint,
  nowMs: number,
): string[] {
  const { nodes } = picture.summary;
  const wide = columns >= WIDE_COLUMNS;
  const nameWidth = wide ? 24 : Math.max(10, Math.min(20, columns - 46));
  const barWidth = wide ? 10 : 6;
  const titles = [
    `  ${cell(`NODES (${nodes.length})`, nameWidth)} ${cell('STATE', 8)} ${cell('SLOTS', barWidth + 6)}`,
    ...(wide ? [` ${cell('CPU', 6)} ${cell('MEMORY', 6)}`] : []),
    ' LAST SIGN, AND WHAT HOLDS IT UP',
  ].join('');
  const shown = nodes.length > height - 1 ? Math.max(0, height - 2) : nodes.length;
  const lines = inOrder(nodes)
    .slice(0, shown)
    .map((node) => {
      const state = isSilent(node, picture, nowMs) ? 'silent' : node.state;
      const load = node.state === 'alive' && node.slots ? node.running.length / node.slots : null;
      const slots = node.state === 'alive' ? `${node.running.length}/${node.slots ?? '?'}` : '';
      return fitted(
        [
          `  ${cell(node.node_id, nameWidth)} `,
          { text: cell(state, 8), style: STYLES[state] },
          ' ',
          { text: bar(load, barWidth), style: 'cyan' },
          ` ${cell(slots, 5)}`,
          ...(wide ? [` ${percent(node, 'cpu_percent')} ${percent(node, 'memory_percent')}`] : []),
          ` ${lastSign(node, picture, nowMs)}`,
          { text: why(node), style: 'yellow' },
        ],
        columns,
        paint,
      );
    });
  const title = fitted([{ text: titles, style: 'bold' }], columns, paint);
  if (nodes.length === 0)
    return [title, fitted([{ text: '  none: start one with dgrid-worker start', style: 'dim' }], columns, paint)];
  const more = nodes.length - shown;
  return [
    title,
    ...lines,
    ...(more > 0 ? [fitted([{ text: `  … and ${more} more`, style: 'dim' }], columns, paint)] : []),
  ];
}

/** Who works comes first, and who is gone last. */
function inOrder(nodes: readonly NodeSummary[]): readonly NodeSummary[] {
  const place = ({ state, running }: NodeSummary): number => (state === 'alive' ? (running.length > 0 ? 0 : 1) : 2);
  return nodes.toSorted((a, b) => place(a) - place(b));
}

/** Longer without a sign of life than the node allows itself, as seen from here. */
function isSilent(node: NodeSummary, { sightings }: GridPicture, nowMs: number): boolean {
  const beat = node.state === 'alive' ? sightings.beatOf(node.node_id, nowMs) : null;
  return beat !== null && node.ttl_seconds !== null && beat.agoMs > node.ttl_seconds * 1000;
}

function percent(node: NodeSummary, name: string): string {
  const value = node.state === 'alive' ? node.info[name] : null;
  // A node's info is written by others: anything but a share of a hundred says nothing.
  return typeof value === 'number' && value >= 0 && value <= 100
    ? cell(`${Math.round(value)} %`, 6, 'right')
    : cell('', 6);
}

function lastSign(node: NodeSummary, { sightings }: GridPicture, nowMs: number): string {
  if (node.state === 'fenced') return `declared dead by ${node.fenced_by ?? 'another node'}`;
  const beat = node.state === 'alive' ? sightings.beatOf(node.node_id, nowMs) : null;
  if (beat === null) return '';
  return beat.seen ? `${duration(beat.agoMs)} ago` : `none for ${duration(beat.agoMs)}`;
}

function why({ state, paused, refuses }: NodeSummary): string {
  if (state !== 'alive') return '';
  const reasons = [...paused.map(({ reason }) => reason), ...(refuses.length > 0 ? ['leaves some tasks alone'] : [])];
  return reasons.length > 0 ? `  ${reasons.join(', ')}` : '';
}
