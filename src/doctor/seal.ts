/**
 * What every text of a bundle goes through: secrets that are known are masked in all their shapes, what looks like one is
 * masked too, and names are replaced where the operator wants to keep them to himself.
 */
import { isIP } from 'node:net';
import { Redactor } from '../observe/redaction.ts';
import type { NameKind, Pseudonyms } from './pseudonyms.ts';

const MASK = '***';
const LOOKS_SECRET: readonly [pattern: RegExp, mask: string][] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, MASK],
  [/\b(?:gh[pousr]_|github_pat_|gl[a-z]{2,5}-|xox[a-z]-|AKIA|ATBB|ATCTT)[A-Za-z0-9_-]{12,}/g, MASK],
  [/\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*/g, MASK],
  [/\b((?:Basic|Bearer|token)\s+)[A-Za-z0-9+/=._~-]{12,}/gi, `$1${MASK}`],
  [/([a-z][a-z0-9+.-]{0,30}:\/\/)[^\s/@:]{0,1000}:[^\s/@]{0,4000}@/gi, `$1${MASK}@`],
  [/([a-z][a-z0-9+.-]{0,30}:\/\/)[A-Za-z0-9_-]{20,}@/gi, `$1${MASK}@`],
  [
    /((?:password|passwd|secret|token|api[_-]?key)["']?\s*[=:]\s*["']?)(?!\*\*\*|null\b|true\b|false\b)[^\s"',;}]{8,}/gi,
    `$1${MASK}`,
  ],
];

/** Fields of log entries and documents that hold the name of one thing, or a list of such. */
const FIELDS: Readonly<Record<string, NameKind>> = {
  task: 'task',
  tasks: 'task',
  task_id: 'task',
  node: 'node',
  node_id: 'node',
  fenced_by: 'node',
  owner: 'node',
  host: 'host',
  hostname: 'host',
  registry: 'host',
};
const ID = /^[a-z0-9][a-z0-9_-]{0,62}$/;
const HOST = /^[A-Za-z0-9][A-Za-z0-9.-]{1,252}$/;

export class Seal {
  readonly #redactor: Redactor;
  readonly #names: Pseudonyms | null;
  #secretsMasked = 0;

  /** @param names null: they stay as they are. */
  constructor(secrets: Iterable<string>, names: Pseudonyms | null) {
    this.#redactor = new Redactor(secrets);
    this.#names = names;
  }

  /** Since the last call. */
  takeCounts(): { secrets: number; names: number } {
    const counts = { secrets: this.#secretsMasked, names: this.#names?.replaced ?? 0 };
    this.#secretsMasked = 0;
    if (this.#names) this.#names.replaced = 0;
    return counts;
  }

  text(value: string): string {
    let clean = this.#redactor.text(value);
    for (const [pattern, mask] of LOOKS_SECRET) clean = clean.replace(pattern, mask);
    this.#secretsMasked += Math.max(0, count(clean) - count(value));
    return this.#names?.text(clean) ?? clean;
  }

  json(value: unknown): unknown {
    return this.#value(value, null);
  }

  /** Of a log: JSON documents and other lines, in any order. */
  lines(text: string): string {
    return text
      .split('\n')
      .map((line) => {
        const parsed = line.startsWith('{') ? tryParse(line) : undefined;
        return parsed === undefined ? this.text(line) : JSON.stringify(this.#value(parsed, null));
      })
      .join('\n');
  }

  #value(value: unknown, kind: NameKind | null): unknown {
    if (typeof value === 'string') {
      // Even a name may be a secret, or hold one.
      const isName = kind !== null && (kind === 'host' ? HOST : ID).test(value);
      return isName && this.#names && this.#redactor.text(value) === value && !isIP(value)
        ? this.#names.of(kind, value)
        : this.text(value);
    }
    if (Array.isArray(value)) return value.map((item) => this.#value(item, kind));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, item]) => [this.#redactor.text(name), this.#value(item, FIELDS[name] ?? null)]),
    );
  }
}

function count(text: string): number {
  return text.split(MASK).length - 1;
}

function tryParse(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    return undefined;
  }
}
