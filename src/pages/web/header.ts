/** The head of the page: which grid this is, who looks at it, and how old what one sees may be. */
import type { Overview } from '../model.ts';
import { ticking } from './ages.ts';
import { instantOf } from './clock.ts';
import { type Child, h, quoted, type VNode } from './dom.ts';
import type { Link } from './feed.ts';
import type { Theme } from './preferences.ts';

const SHORT_COMMIT = 10;
const THEME_NAMES: Readonly<Record<Theme, string>> = { system: 'Auto', light: 'Light', dark: 'Dark' };

export interface HeaderActions {
  changeTheme: () => void;
  showKeys: () => void;
}

/** @param aheadMs how far the clock of the source is ahead of this browser's. */
export function header(parts: {
  overview: Overview | null;
  link: Link;
  theme: Theme;
  aheadMs: number;
  actions: HeaderActions;
}): Child[] {
  const { overview, link, theme, aheadMs, actions } = parts;
  return [
    h(
      'div',
      { class: 'head-grid', key: 'grid' },
      h(
        'a',
        { class: 'brand', href: '#/', 'data-focus': 'brand' },
        h('span', { 'aria-hidden': 'true', class: 'brand-sign' }, '▦'),
        ' D-GRID',
      ),
      overview === null ? null : where(overview),
    ),
    h(
      'div',
      { class: 'head-tools', key: 'tools' },
      connection(link, overview, aheadMs),
      h(
        'button',
        {
          type: 'button',
          class: 'tool',
          'data-focus': 'theme',
          'aria-label': `Theme: ${THEME_NAMES[theme].toLowerCase()}. Change it`,
          onclick: actions.changeTheme,
        },
        h('span', { 'aria-hidden': 'true' }, '◐ '),
        THEME_NAMES[theme],
      ),
      h(
        'button',
        { type: 'button', class: 'tool', 'data-focus': 'keys', onclick: actions.showKeys, 'aria-label': 'Keys' },
        '?',
      ),
    ),
  ];
}

function where({ repository, branch, commit, source, this_node, version }: Overview): VNode {
  return h(
    'ul',
    { class: 'where' },
    h('li', { class: 'repository' }, h('span', { class: 'hidden' }, 'Repository '), quoted(repository)),
    h('li', {}, h('span', { class: 'muted' }, 'branch '), quoted(branch)),
    commit === null
      ? h('li', { class: 'muted' }, 'no commit yet')
      : h(
          'li',
          {},
          h('span', { class: 'muted' }, 'at '),
          h('code', { title: commit }, quoted(commit.slice(0, SHORT_COMMIT))),
        ),
    h(
      'li',
      {},
      h('span', { class: 'muted' }, 'seen by '),
      this_node === null ? SEEN_BY[source] : quoted(this_node),
      h('span', { class: 'muted' }, ' ', quoted(version)),
    ),
  );
}

const SEEN_BY: Readonly<Record<Overview['source'], string>> = {
  worker: 'a worker',
  client: 'dgrid dashboard',
  static: 'a picture that was kept',
};

function connection(link: Link, overview: Overview | null, aheadMs: number): VNode {
  switch (link.kind) {
    case 'connecting':
      return state('calm', '◌', 'connecting');
    case 'live':
      return state('good', '●', 'live');
    case 'polling':
      return state('calm', '◔', 'asking now and then');
    case 'static':
      return state('calm', '▣', 'picture of ', ticking(instantOf(overview?.generated_at ?? null), ' ago'));
    case 'unauthorised':
      return state('bad', '✕', 'not signed in');
    case 'reconnecting':
      return link.sinceMs === null
        ? state('warn', '◌', 'no connection')
        : state('warn', '◌', 'reconnecting, ', ticking(link.sinceMs + aheadMs, ' old'));
  }
}

function state(tone: string, sign: string, ...text: readonly Child[]): VNode {
  return h(
    'span',
    { class: `mark ${tone} connection` },
    h('span', { class: 'sign', 'aria-hidden': 'true' }, sign),
    h('span', {}, ...text),
  );
}
