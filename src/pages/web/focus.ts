/**
 * Keeps the focus where it is while the document changes under it. An element that moves is focused again; one that went
 * is looked for by its name (`data-focus`), since a task that ends goes from one table to another; else its section has it.
 */

export function keepingFocus(change: () => void): void {
  const focused = document.activeElement;
  if (!(focused instanceof HTMLElement) || focused === document.body) {
    change();
    return;
  }
  const name = focused.dataset['focus'];
  const ancestors = ancestorsOf(focused);
  change();
  if (document.activeElement === focused) return;
  const same = focused.isConnected ? focused : name === undefined ? null : named(name);
  const next = same ?? ancestors.find((ancestor) => ancestor.isConnected && isFocusable(ancestor));
  next?.focus({ preventScroll: true });
}

function ancestorsOf(element: HTMLElement): HTMLElement[] {
  const ancestors: HTMLElement[] = [];
  for (let next = element.parentElement; next !== null; next = next.parentElement) ancestors.push(next);
  return ancestors;
}

function isFocusable(element: HTMLElement): boolean {
  return element.hasAttribute('tabindex');
}

export function named(name: string): HTMLElement | null {
  return document.querySelector<HTMLElement>(`[data-focus="${CSS.escape(name)}"]`);
}

/** Where one was on each view, to be there again on the way back. */
export class Places {
  readonly #places = new Map<string, { scrollY: number; focus: string | undefined }>();

  leave(hash: string): void {
    const { activeElement } = document;
    const focus = activeElement instanceof HTMLElement ? activeElement.dataset['focus'] : undefined;
    // The last to be left is the last in the map.
    this.#places.delete(hash);
    this.#places.set(hash, { scrollY, focus });
  }

  /** In the order in which they were left. */
  hashes(): string[] {
    return [...this.#places.keys()];
  }

  /** @returns whether one was there before, and had something focused that is still there. */
  enter(hash: string): boolean {
    const place = this.#places.get(hash);
    scrollTo({ top: place?.scrollY ?? 0, behavior: 'instant' });
    const element = place?.focus === undefined ? null : named(place.focus);
    element?.focus({ preventScroll: true });
    return element !== null;
  }
}
