/** The figures that one looks at first. Each leads to what it counts. */
import type { Overview } from '../model.ts';
import { type Child, h, type VNode } from './dom.ts';
import { counted, figure, NOTHING } from './format.ts';
import { overviewWith } from './route.ts';
import type { Tone } from './words.ts';

interface Tile {
  name: string;
  value: string;
  detail: Child;
  href: string;
  /** Where the answer stands on this page already: its id. */
  section?: string;
  tone: Tone | null;
}

export function tiles(overview: Overview): VNode {
  return h(
    'ul',
    { class: 'tiles', 'aria-label': 'The grid in figures' },
    ...tilesOf(overview).map(({ name, value, detail, href, section, tone }) =>
      h(
        'li',
        { key: name, class: tone ? `tile ${tone}` : 'tile' },
        h(
          'a',
          {
            href,
            'data-focus': `tile ${name}`,
            onclick: section === undefined ? null : (event) => goTo(section, event),
          },
          h('span', { class: 'tile-name' }, name),
          h('span', { class: 'tile-value' }, value),
          h('span', { class: 'tile-detail' }, detail),
        ),
      ),
    ),
  );
}

function tilesOf(overview: Overview): Tile[] {
  const { queue, tasks, recent, nodes } = overview;
  const running = tasks.filter(({ state }) => state === 'running').length;
  const waiting = tasks.filter(({ state }) => state === 'waiting').length;
  const failed = recent.filter(({ status }) => status === 'failed').length;
  const alive = nodes.filter(({ state }) => state === 'alive');
  const paused = alive.filter((node) => node.paused.length > 0).length;
  const slots = alive.reduce((sum, node) => sum + (node.slots ?? 0), 0);
  const urgent = queue.by_priority.critical;
  return [
    {
      name: 'Queued',
      value: figure(queue.pending),
      detail:
        queue.invalid > 0
          ? `${queue.invalid} of them no legal tasks`
          : urgent > 0
            ? `${figure(urgent)} critical`
            : waiting > 0
              ? `and ${waiting} waiting`
              : queue.pending === 0
                ? 'the queue is empty'
                : 'none of them critical',
      href: overviewWith({ state: 'queued' }),
      tone: queue.invalid > 0 ? 'warn' : null,
    },
    {
      name: 'Running',
      value: figure(running),
      detail: slots > 0 ? `in ${counted(slots, 'slot')}` : 'no slots yet',
      href: overviewWith({ state: 'running' }),
      tone: null,
    },
    {
      name: 'Failed lately',
      value: figure(failed),
      detail: recent.length === 0 ? 'no results yet' : `of the last ${counted(recent.length, 'result')}`,
      href: overviewWith({ status: 'failed' }),
      tone: failed > 0 ? 'bad' : null,
    },
    {
      name: 'Done per minute',
      value: figure(overview.done_per_minute),
      detail: `${figure(overview.recorded.completed + overview.recorded.failed)} recorded in all`,
      href: overviewWith({ state: 'recorded' }),
      tone: null,
    },
    {
      name: 'Nodes alive',
      value: nodes.length === 0 ? NOTHING : `${alive.length} of ${nodes.length}`,
      detail: aliveDetail(overview, paused),
      href: '#/',
      section: 'nodes',
      tone: paused > 0 || nodes.some(({ state }) => state !== 'alive' && state !== 'stopped') ? 'warn' : null,
    },
  ];
}

function aliveDetail({ nodes }: Overview, paused: number): string {
  if (nodes.length === 0) return 'no worker has registered';
  const others = (['silent', 'fenced', 'unreadable', 'stopped'] as const).flatMap((state) => {
    const count = nodes.filter((node) => node.state === state).length;
    return count > 0 ? [`${count} ${state}`] : [];
  });
  return [...(paused > 0 ? [`${paused} paused`] : []), ...others].join(', ') || 'all of them claim tasks';
}

function goTo(id: string, event: Event): void {
  event.preventDefault();
  const section = document.getElementById(id);
  section?.scrollIntoView();
  section?.focus({ preventScroll: true });
}
