/** Ages that grow by themselves: their text is brought up to date each second, without a request and without a new layout of the rest. */
import { every, type SourceClock } from './clock.ts';
import { h, type VNode } from './dom.ts';
import { age, fullTime, NOTHING } from './format.ts';

const TICK_MS = 1000;

/** @param sinceMs null: not told. @param suffix after the age, as in "3 s ago". */
export function ticking(sinceMs: number | null, suffix = ''): VNode {
  if (sinceMs === null) return h('span', { class: 'muted' }, NOTHING);
  const instant = new Date(sinceMs);
  return h('time', {
    opaque: true,
    class: 'age',
    datetime: instant.toISOString(),
    title: fullTime(sinceMs),
    'data-since': sinceMs,
    'data-suffix': suffix,
  });
}

export class Ages {
  readonly #root: Element;
  readonly #clock: SourceClock;

  constructor(root: Element, clock: SourceClock) {
    this.#root = root;
    this.#clock = clock;
  }

  start(): void {
    every(TICK_MS, () => {
      if (!document.hidden) this.update();
    });
  }

  /** Called too whenever something was rendered: a new age has no text yet. */
  update(): void {
    const now = this.#clock.nowMs();
    for (const element of this.#root.querySelectorAll<HTMLElement>('time.age')) {
      const text = `${age(now - Number(element.dataset['since']))}${element.dataset['suffix'] ?? ''}`;
      if (element.textContent !== text) element.textContent = text;
    }
  }
}
