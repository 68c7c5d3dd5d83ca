/** What somebody who looks has to know before all else: that what they see may be old, and why. */
import type { Overview } from '../model.ts';
import { type Child, h, quoted, type VNode } from './dom.ts';
import type { Link } from './feed.ts';

export function banners(overview: Overview | null, link: Link, askNow: () => void): Child[] {
  return [
    link.kind === 'unauthorised'
      ? banner(
          'bad',
          'sign-in',
          'The server wants to know who asks.',
          h(
            'p',
            {},
            'Reload the page to sign in. If it does not ask you, open the address that you were given for it.',
          ),
          h('button', { type: 'button', 'data-focus': 'reload', onclick: () => location.reload() }, 'Reload'),
        )
      : null,
    link.kind === 'reconnecting'
      ? banner(
          'warn',
          'connection',
          overview === null ? 'There is no answer yet.' : 'The connection is lost: what you see may be old.',
          h('p', {}, `${sentence(link.problem)} It is tried again by itself.`),
          h('button', { type: 'button', 'data-focus': 'ask now', onclick: askNow }, 'Try now'),
        )
      : null,
    overview === null || overview.problem === null
      ? null
      : banner(
          'warn',
          'repository',
          'The repository could not be read: what you see may be old.',
          h('p', {}, quoted(overview.problem)),
          null,
        ),
  ];
}

function banner(tone: string, key: string, title: string, text: VNode, button: Child): VNode {
  return h(
    'div',
    { class: `banner ${tone}`, key, role: 'status' },
    h('div', {}, h('p', {}, h('strong', {}, title)), text),
    button,
  );
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
