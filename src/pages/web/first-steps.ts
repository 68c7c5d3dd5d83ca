/** What to do when nothing is there yet. */
import type { Overview } from '../model.ts';
import { h, type VNode } from './dom.ts';
import { panel } from './parts.ts';

export function firstSteps({ repository, nodes }: Overview): VNode {
  const repo = shellQuoted(repository);
  return panel(
    'first-steps',
    'No task has been submitted yet',
    h('p', {}, 'A task is a file on the branch. The client makes one, waits for its result, and shows it:'),
    h('pre', { class: 'command', tabindex: 0 }, `dgrid submit --repo ${repo} --script 'echo hello' --wait`),
    nodes.length > 0
      ? null
      : h('p', {}, 'No worker has registered either. On a box with Git and a container engine, one is started with:'),
    nodes.length > 0 ? null : h('pre', { class: 'command', tabindex: 0 }, `DGRID_REPO_URL=${repo} dgrid-worker start`),
    h('p', { class: 'muted' }, 'This page shows it by itself as soon as it is there.'),
  );
}

/** As one word for a shell, whatever is in it. */
function shellQuoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
