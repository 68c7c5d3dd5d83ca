/** What is queued, by priority; and what a person has to look at. */
import type { Overview } from '../model.ts';
import { h, quoted, type VNode } from './dom.ts';
import { counted, figure } from './format.ts';
import { panel } from './parts.ts';
import { overviewWith } from './route.ts';
import { PRIORITIES } from './words.ts';

const FIRST_PROBLEMS = 4;

export function queuePanel({ queue }: Overview): VNode {
  const most = Math.max(1, ...Object.values(queue.by_priority));
  return panel(
    'queue',
    'Queue by priority',
    h(
      'ul',
      { class: 'priorities' },
      ...PRIORITIES.map((priority) => {
        const count = queue.by_priority[priority];
        return h(
          'li',
          { key: priority },
          h(
            'a',
            { href: overviewWith({ state: 'queued', priority }), 'data-focus': `priority ${priority}` },
            h('span', { class: 'priority-name' }, priority),
            h(
              'span',
              { class: 'track', 'aria-hidden': 'true' },
              h('span', { class: `fill ${priority}`, '--part': `${(100 * count) / most}%` }),
            ),
            h('span', { class: 'load-figure' }, figure(count)),
          ),
        );
      }),
    ),
    queue.invalid > 0
      ? h(
          'p',
          { class: 'note warn' },
          `${counted(queue.invalid, 'file')} in the queue ${queue.invalid === 1 ? 'is' : 'are'} no legal task: each will get a record that says why.`,
        )
      : null,
  );
}

export function problemsPanel({ problems }: Overview): VNode {
  const rows = problems.map(({ path, problem }, index) =>
    h(
      'li',
      { key: `${path} ${problem} ${index}` },
      h('code', { class: 'path' }, quoted(path)),
      h('span', {}, quoted(problem)),
    ),
  );
  const rest = rows.slice(FIRST_PROBLEMS);
  return panel(
    'problems',
    problems.length === 0 ? 'Problems' : `Problems (${problems.length})`,
    problems.length === 0
      ? h(
          'p',
          { class: 'quiet' },
          h('span', { class: 'all-well', 'aria-hidden': 'true' }, '✓ '),
          'Nothing needs a person.',
        )
      : h('ul', { class: 'problems' }, ...rows.slice(0, FIRST_PROBLEMS)),
    rest.length === 0
      ? null
      : h(
          'details',
          {},
          h('summary', { 'data-focus': 'more problems' }, `${rest.length} more`),
          h('ul', { class: 'problems' }, ...rest),
        ),
  );
}
