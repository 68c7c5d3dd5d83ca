/** Keys that work everywhere on the page. What the browser does with keys by itself stays as it is. */

export interface KeyActions {
  search: () => void;
  help: () => void;
  theme: () => void;
  /** @returns whether there was anything to go back from. */
  back: () => boolean;
  /** Whether keys without a modifier may do things. */
  singleKeys: () => boolean;
}

export const KEYS: readonly { keys: string; does: string }[] = [
  { keys: '/', does: 'search the tasks' },
  { keys: '↑ ↓ Home End', does: 'in a table: to the row above or below, the first, the last' },
  { keys: '← → Home End', does: 'on a chart: from step to step' },
  { keys: 'Enter', does: 'open what is focused' },
  { keys: 'Esc', does: 'close, clear the search, or go back to the overview' },
  { keys: 't', does: 'change between the theme of the system, light and dark' },
  { keys: '?', does: 'show these keys' },
];

export function listenToKeys(actions: KeyActions): void {
  document.addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'Escape') {
      if (document.querySelector('dialog[open]') === null && actions.back()) event.preventDefault();
      return;
    }
    if (isWriting(event.target) || document.querySelector('dialog[open]') !== null) return;
    if (moveInTable(event)) {
      event.preventDefault();
      return;
    }
    if (!actions.singleKeys()) return;
    const action = { '/': actions.search, '?': actions.help, t: actions.theme }[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

/** In a checkbox nothing is written; and one in a dialog that was closed just now still has the focus for a moment. */
function isWriting(target: EventTarget | null): boolean {
  const fields = 'input:not([type="checkbox"]), select, textarea, [contenteditable]';
  return target instanceof HTMLElement && target.matches(fields);
}

/** From the link of one row to that of another. @returns whether the key was for that. */
function moveInTable({ key, target }: KeyboardEvent): boolean {
  if (!(target instanceof HTMLElement) || !target.matches('[data-row-link]')) return false;
  const links = [...(target.closest('[data-rows]')?.querySelectorAll<HTMLElement>('[data-row-link]') ?? [])];
  const at = links.indexOf(target);
  const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: links.length - 1 }[key];
  if (next === undefined) return false;
  links[next]?.focus();
  return true;
}
