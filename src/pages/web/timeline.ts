/** The phases of a task, drawn to scale one after the other, with their figures. */
import type { TaskDetail } from '../model.ts';
import { h, type VNode } from './dom.ts';
import { duration } from './format.ts';
import { PHASE_NAMES } from './words.ts';

export function timeline(phases: TaskDetail['phases']): VNode {
  const known = phases.filter(({ ms }) => ms !== null);
  const total = known.reduce((sum, { ms }) => sum + (ms ?? 0), 0);
  if (known.length === 0) return h('p', { class: 'quiet' }, 'No phase has been measured yet.');
  return h(
    'div',
    { class: 'timeline' },
    h(
      'div',
      { class: 'timeline-bar', 'aria-hidden': 'true' },
      ...known
        .filter(({ ms }) => (ms ?? 0) > 0)
        .map(({ phase, ms }) => h('span', { key: phase, class: `phase ${phase}`, '--share': (ms ?? 0) / total })),
    ),
    h(
      'table',
      { class: 'phases' },
      h('caption', { class: 'hidden' }, 'How long each phase took'),
      h('thead', {}, h('tr', {}, ...['Phase', 'Took', 'Share'].map((name) => h('th', { scope: 'col' }, name)))),
      h(
        'tbody',
        {},
        ...phases.map(({ phase, ms }) =>
          h(
            'tr',
            { key: phase },
            h(
              'th',
              { scope: 'row' },
              h('span', { class: `swatch block ${phase}`, 'aria-hidden': 'true' }),
              PHASE_NAMES[phase] ?? phase,
            ),
            h('td', {}, duration(ms)),
            h('td', {}, ms === null || total === 0 ? '' : share(ms / total)),
          ),
        ),
        h(
          'tr',
          { key: 'total', class: 'total' },
          h('th', { scope: 'row' }, 'Together'),
          h('td', {}, duration(total)),
          h('td', {}, ''),
        ),
      ),
    ),
  );
}

function share(part: number): string {
  const rounded = Math.round(part * 100);
  return rounded === 0 && part > 0 ? '< 1 %' : `${rounded} %`;
}
