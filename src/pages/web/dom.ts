/**
 * What a part of the page should look like, as plain values: `reconcile.ts` brings the document there. There is no way to
 * give markup as text, so nothing that stands in a repository can become an element.
 */
export type Child = VNode | Element | string | number | null | undefined | false;

/** `true` stands for an attribute without a value; null, undefined and false for one that is not there. */
export type Value = string | number | boolean | null | undefined | ((event: Event) => void);

export interface VNode {
  tag: string;
  /** Tells siblings apart, so that an element stays the same one wherever it moves to. */
  key: string | null;
  props: Readonly<Record<string, Value>>;
  /** null: what is inside is somebody else's (an age that ticks, a chart). */
  children: readonly Child[] | null;
}

/**
 * @param props attributes by their names; `onclick` and the like are listeners, `--name` a custom property of style.
 *   Three are not attributes: `key`; `opaque`, which leaves what is inside alone; `value` and `checked`, which are set as properties.
 */
export function h(tag: string, props: Readonly<Record<string, Value>> = {}, ...children: readonly Child[]): VNode {
  const { key, opaque, ...rest } = props;
  return { tag, key: key === undefined ? null : String(key), props: rest, children: opaque === true ? null : children };
}

/** Text from the repository: its direction is its own, and characters that would change that of others are made visible. */
export function quoted(text: string): VNode {
  return h('bdi', {}, shown(text));
}

/** Control characters, and those that turn the direction of writing round. */
const INVISIBLE = /(?![\t\n])[\p{Cc}\p{Cf}]/gu;

/** One line of text in which nothing hides. */
export function shown(text: string): string {
  return text.replace(INVISIBLE, (hidden) => `\\u${(hidden.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`);
}
