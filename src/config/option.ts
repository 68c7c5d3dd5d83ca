/** One row of the table of settings. */
import type { Machine } from './machine.ts';
import type { ValueKind } from './value-kind.ts';

export const OPTION_GROUPS = {
  repository: 'Task repository',
  node: 'This node',
  git: 'Git',
  polling: 'Polling, heartbeat and shutdown',
  limits: 'Limits and health',
  docker: 'Containers',
  recording: 'Recording and retries',
  admission: 'Admission',
  observing: 'Logs and HTTP',
} as const;
export type OptionGroup = keyof typeof OPTION_GROUPS;

/** What a computed default may look at: this machine, and the settings that stand before it in the table. */
export interface Basis {
  machine: Machine;
  /** The text in force of an earlier setting; empty when it has none. */
  readonly text: (name: string) => string;
}

export type Default =
  /** Unset means absent. */
  | { how: 'none' }
  /** Unset is a problem; the remedy says what to do. */
  | { how: 'required'; remedy: string }
  | { how: 'fixed'; text: string }
  /** `of` answers null when nothing can be made of the basis; the remedy says what to do then. */
  | { how: 'computed'; shown: string; of: (basis: Basis) => string | null; remedy: string };

export interface Option<T> {
  readonly kind: ValueKind<T>;
  readonly default: Default;
  readonly group: OptionGroup;
  /** Who reads it: both programs, or the worker alone. */
  readonly scope: 'both' | 'worker';
  /** The command line's name for it, in commander's syntax; null: environment only. */
  readonly flag: string | null;
  /** Never shown, neither in problems nor by `dgrid-worker config`. */
  readonly secret: boolean;
  /** A value for the example file where the default says little. */
  readonly example: string | null;
  readonly description: string;
}

type Details<T> = Pick<Option<T>, 'kind' | 'group' | 'description'> &
  Partial<Pick<Option<T>, 'scope' | 'flag' | 'secret' | 'example'>>;

function option<T>(details: Details<T>, fallback: Default): Option<T> {
  return { scope: 'worker', flag: null, secret: false, example: null, ...details, default: fallback };
}

/** A setting with a default, given as it would be written in the environment. */
export function setting<T>(fallback: string, details: Details<T>): Option<T> {
  return option(details, { how: 'fixed', text: fallback });
}

/** Its kind never sees null: what is absent is neither parsed nor formatted. */
export function optionalSetting<T>(details: Details<T>): Option<T | null> {
  return option<T | null>(details, { how: 'none' });
}

export function requiredSetting<T>(remedy: string, details: Details<T>): Option<T> {
  return option(details, { how: 'required', remedy });
}

export function computedSetting<T>(
  computed: { shown: string; of: (basis: Basis) => string | null; remedy?: string },
  details: Details<T>,
): Option<T> {
  return option(details, { how: 'computed', remedy: 'has no default on this machine: set it', ...computed });
}

/** The default for people, as they would write it or in words; empty when there is none. */
export function defaultText(fallback: Default): string {
  if (fallback.how === 'fixed') return fallback.text;
  return fallback.how === 'computed' ? fallback.shown : '';
}
