/** What this browser remembers of how somebody likes the page. Where it may not remember, it forgets with the page. */

export type Theme = 'system' | 'light' | 'dark';

export interface Preferences {
  theme: Theme;
  wrapOutput: boolean;
  /** Whether keys without a modifier do things: they get in the way of some who speak or use switches. */
  singleKeys: boolean;
}

const PREFIX = 'dgrid.';

export class PreferenceStore {
  #now: Preferences;

  constructor() {
    const theme = read('theme');
    this.#now = {
      theme: theme === 'light' || theme === 'dark' ? theme : 'system',
      wrapOutput: read('wrapOutput') !== 'false',
      singleKeys: read('singleKeys') !== 'false',
    };
  }

  get now(): Readonly<Preferences> {
    return this.#now;
  }

  set<K extends keyof Preferences>(name: K, value: Preferences[K]): void {
    this.#now = { ...this.#now, [name]: value };
    try {
      localStorage.setItem(PREFIX + name, String(value));
    } catch {
      // Full, or not allowed.
    }
  }
}

function read(name: keyof Preferences): string | null {
  try {
    return localStorage.getItem(PREFIX + name);
  } catch {
    return null;
  }
}

/** `system` leaves the choice to the style sheet, which knows what the system wants. */
export function applyTheme(theme: Theme): void {
  if (theme === 'system') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = theme;
}

export function nextTheme(theme: Theme): Theme {
  if (theme === 'system') return 'light';
  return theme === 'light' ? 'dark' : 'system';
}
