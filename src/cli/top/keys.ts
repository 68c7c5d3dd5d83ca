/** From what a terminal sends in raw mode to keys. Holds no timer: who feeds it says when nothing more came. */

export type KeyName =
  | 'up'
  | 'down'
  | 'page-up'
  | 'page-down'
  | 'home'
  | 'end'
  | 'enter'
  | 'escape'
  | 'backspace'
  | 'tab'
  | 'interrupt'
  | 'suspend'
  | 'redraw'
  | 'unknown';

export interface Key {
  /** null: a character. */
  name: KeyName | null;
  /** The character; null for keys that are none. */
  text: string | null;
}

const CONTROL: Readonly<Record<string, KeyName>> = {
  '\r': 'enter',
  '\n': 'enter',
  '\t': 'tab',
  '\u007f': 'backspace',
  '\b': 'backspace',
  '\u0003': 'interrupt',
  '\u0004': 'interrupt',
  '\u001a': 'suspend',
  '\u000c': 'redraw',
};
/** What follows ESC [ or ESC O, by terminal. */
const SEQUENCES: Readonly<Record<string, KeyName>> = {
  A: 'up',
  B: 'down',
  H: 'home',
  F: 'end',
  '1~': 'home',
  '7~': 'home',
  '4~': 'end',
  '8~': 'end',
  '5~': 'page-up',
  '6~': 'page-down',
};
const ESCAPE = '\u001b';
// oxlint-disable-next-line no-control-regex -- a terminal's sequences begin with it
const SEQUENCE = /^\u001b(?:\[([\u0020-\u003f]*[\u0040-\u007e])|O([\u0040-\u007e]))/;
// oxlint-disable-next-line no-control-regex -- the same, before it is whole
const BEGINNING = /^\u001b(?:\[[\u0020-\u003f]*|O)?$/;

export class KeyDecoder {
  #pending = '';

  /** True while a sequence has begun: when nothing follows soon, it was the key Escape. */
  get isWaiting(): boolean {
    return this.#pending !== '';
  }

  feed(text: string): Key[] {
    let rest = this.#pending + text;
    this.#pending = '';
    const keys: Key[] = [];
    while (rest !== '') {
      if (BEGINNING.test(rest)) {
        this.#pending = rest;
        break;
      }
      const [sequence, bracketed, single] = SEQUENCE.exec(rest) ?? [];
      if (sequence !== undefined) {
        keys.push({ name: SEQUENCES[bracketed ?? single ?? ''] ?? 'unknown', text: null });
        rest = rest.slice(sequence.length);
        continue;
      }
      const [character = ''] = rest;
      rest = rest.slice(character.length);
      keys.push(keyOf(character));
    }
    return keys;
  }

  /** Nothing more came. */
  flush(): Key[] {
    if (this.#pending === '') return [];
    this.#pending = '';
    return [{ name: 'escape', text: null }];
  }
}

function keyOf(character: string): Key {
  if (character === ESCAPE) return { name: 'escape', text: null };
  const name = CONTROL[character];
  if (name !== undefined) return { name, text: null };
  return character < ' ' ? { name: 'unknown', text: null } : { name: null, text: character };
}
