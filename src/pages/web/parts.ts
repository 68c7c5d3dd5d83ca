/** Small parts that many views are made of. */
import { type Child, h, quoted, type VNode } from './dom.ts';
import { percent } from './format.ts';
import { hashOf } from './route.ts';
import { meaningOf, type Word } from './words.ts';

/** A state: its sign and its word, so that colour only underlines it. */
export function mark(word: Word): VNode {
  return h(
    'span',
    { class: `mark ${word.tone}` },
    h('span', { class: 'sign', 'aria-hidden': 'true' }, word.sign),
    word.text,
  );
}

/** @param place tells links to the same task apart: each is named for the focus to find it again. */
export function taskLink(id: string, place: string): VNode {
  return h('a', { href: hashOf({ view: 'task', id }), class: 'id', 'data-focus': `${place} task ${id}` }, shownId(id));
}

export function nodeLink(id: string | null, place: string): Child {
  if (id === null) return h('span', { class: 'muted' }, '–');
  return h('a', { href: hashOf({ view: 'node', id }), class: 'id', 'data-focus': `${place} node ${id}` }, shownId(id));
}

function shownId(id: string): VNode {
  return quoted(id);
}

export function labelList(labels: readonly string[]): Child {
  if (labels.length === 0) return null;
  return h('ul', { class: 'labels' }, ...labels.map((label) => h('li', { class: 'label' }, quoted(label))));
}

/** A word that stays the same, with what it means. */
export function reasonText(reason: string | null, text: string | null): Child {
  if (reason === null) return text === null ? null : quoted(text);
  const meaning = meaningOf(reason);
  return h(
    'span',
    { class: 'reason', title: meaning },
    h('code', {}, quoted(reason)),
    text ? ' ' : null,
    text ? quoted(text) : null,
  );
}

/** A part of a whole as a bar and as a number. */
export function loadBar(label: string, value: number | null): VNode {
  const part = Math.min(100, value ?? 0);
  const tone = value === null ? 'none' : part >= 90 ? 'bad' : part >= 75 ? 'warn' : 'good';
  return h(
    'div',
    { class: 'load' },
    h('span', { class: 'load-name' }, label),
    h('span', { class: 'track', 'aria-hidden': 'true' }, h('span', { class: `fill ${tone}`, '--part': `${part}%` })),
    h('span', { class: 'load-figure' }, percent(value)),
  );
}

export function panel(id: string, title: Child, ...children: readonly Child[]): VNode {
  return h(
    'section',
    { class: 'panel', key: id, id, 'aria-labelledby': `${id}-title`, tabindex: -1 },
    h('h2', { id: `${id}-title` }, title),
    ...children,
  );
}

/** Pairs of a name and a value. What has no value is left out. */
export function facts(pairs: readonly (readonly [string, Child])[]): VNode {
  return h(
    'dl',
    { class: 'facts' },
    ...pairs.flatMap(([name, value]) =>
      value === null || value === undefined || value === ''
        ? []
        : [h('div', { key: name }, h('dt', {}, name), h('dd', {}, value))],
    ),
  );
}
