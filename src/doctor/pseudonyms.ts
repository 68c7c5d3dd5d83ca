/**
 * Names in the place of names: the same one always gets the same, so that a reader can follow a host or a task through the
 * whole bundle without learning what it is called.
 */
import { isIPv6 } from 'node:net';

export type NameKind =
  | 'host'
  | 'repository'
  | 'grid'
  | 'node'
  | 'task'
  | 'user'
  | 'address'
  | 'mail'
  | 'person'
  | 'home';

/** A shorter one stands in half of all words. */
const MIN_LITERAL_LENGTH = 3;
/** Of tasks, which are many: in a text of no known shape only what is too long to be a word. */
const MIN_LOOSE_ID_LENGTH = 8;
const MAX_NAMES = 20_000;
const KEPT_HOSTS: ReadonlySet<string> = new Set([
  'localhost',
  '127.0.0.1',
  '::1',
  '0.0.0.0',
  '::',
  'docker.io',
  'unix',
]);

const SCHEME_AND_HOST =
  /\b([a-z][a-z0-9+.-]{1,20}:\/\/)([^\s/@:"'<>]{1,200}@)?(\[[0-9a-fA-F:.]+\]|[^\s/:"'<>)\]},;]{1,253})/g;
const LOOKED_UP =
  /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|Could not resolve host:?|connect to) ([A-Za-z0-9][A-Za-z0-9.-]{2,252})/g;
const MAIL = /[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+/g;
const IPV4 = /(?<![\w.-])(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}(?![\w-]|\.\d)/g;
const MAYBE_IPV6 = /(?<![\w:.])[0-9a-fA-F:]*:[0-9a-fA-F:]*:[0-9a-fA-F:.]*(?![\w])/g;
const HOME = /(\/(?:home|Users)\/)([^/\s"':,]+)/g;
const TASK_PLACE =
  /(\/tasks\/|tasks\/(?:queue|completed|failed)\/(?:[^\s"':]*\/)?)([a-z0-9][a-z0-9_-]{0,62})(?=\.json|[/\s"',;:)]|$)/g;
const TASK_CONTAINER = /\bdgrid-([a-z0-9][a-z0-9_-]{0,62})-(\d+)-([0-9a-f]{8})\b/g;
const OUTBOX_FILE = /\b([a-z0-9][a-z0-9_-]{0,62})\.([0-9a-f]{40,64}\.result)/g;
const NODE_PLACE = /(\/nodes\/)([a-z0-9][a-z0-9_-]{0,62})/g;
/** Below tasks/ in the branch: directories, and no tasks. */
const NO_TASKS: ReadonlySet<string> = new Set(['queue', 'completed', 'failed']);

export class Pseudonyms {
  readonly #names = new Map<string, { kind: NameKind; name: string }>();
  readonly #counts = new Map<NameKind, number>();
  #literals: RegExp | null = null;
  /** How often something was replaced. */
  replaced = 0;

  /** From here on `text` also replaces it where nothing around it says what it is. */
  learn(kind: NameKind, name: string | null | undefined): void {
    if (name === null || name === undefined || name.length < MIN_LITERAL_LENGTH || KEPT_HOSTS.has(name)) return;
    this.#nameOf(kind, name);
  }

  /** What takes the place of a name of this kind. */
  of(kind: NameKind, name: string): string {
    if (name === '' || KEPT_HOSTS.has(name)) return name;
    this.replaced += 1;
    return this.#nameOf(kind, name);
  }

  text(value: string): string {
    let clean = value.replace(TASK_CONTAINER, (_all, id: string, epoch: string, end: string) => {
      return id === 'warm' ? `dgrid-warm-${epoch}-${end}` : `dgrid-${this.of('task', id)}-${epoch}-${end}`;
    });
    clean = clean.replace(OUTBOX_FILE, (_all, id: string, rest: string) => `${this.of('task', id)}.${rest}`);
    clean = clean.replace(TASK_PLACE, (all, place: string, id: string) =>
      NO_TASKS.has(id) ? all : `${place}${this.of('task', id)}`,
    );
    clean = clean.replace(NODE_PLACE, (_all, place: string, id: string) => `${place}${this.of('node', id)}`);
    clean = this.#replaceLiterals(clean);
    clean = clean.replace(MAIL, (mail) => this.of('mail', mail));
    clean = clean.replace(SCHEME_AND_HOST, (all, scheme: string, user: string | undefined, host: string) => {
      if (scheme === 'unix://' || scheme === 'file://' || this.#isPseudonym(host)) return all;
      return `${scheme}${user === undefined ? '' : 'user@'}${this.of('host', host)}`;
    });
    clean = clean.replace(LOOKED_UP, (all, what: string, host: string) =>
      this.#isPseudonym(host) || /^[\d.]+$/.test(host) ? all : `${what} ${this.of('host', host)}`,
    );
    clean = clean.replace(HOME, (_all, place: string, user: string) => `${place}${this.of('user', user)}`);
    clean = clean.replace(MAYBE_IPV6, (text) => (isAddress(text) ? this.of('address', text) : text));
    return clean.replace(IPV4, (address) => this.of('address', address));
  }

  /** What stands for what: for whoever made the bundle, and for nobody else. */
  list(): { pseudonym: string; name: string }[] {
    return [...this.#names].map(([name, known]) => ({ pseudonym: known.name, name }));
  }

  #nameOf(kind: NameKind, name: string): string {
    const known = this.#names.get(name);
    if (known) return known.name;
    // Beyond that nobody can follow anything anyway.
    if (this.#names.size >= MAX_NAMES) return `${kind}-more`;
    const number = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, number);
    const made = { kind, name: kind === 'home' ? '~' : `${kind}-${number}` };
    this.#names.set(name, made);
    this.#literals = null;
    return made.name;
  }

  #isPseudonym(text: string): boolean {
    return /^(?:host|repository|grid|node|task|user|address|mail|person)-(?:\d+|more)$/.test(text);
  }

  #replaceLiterals(text: string): string {
    this.#literals ??= patternOf(
      [...this.#names]
        .filter(([name, { kind }]) => kind !== 'task' || name.length >= MIN_LOOSE_ID_LENGTH)
        .map(([name]) => name)
        .filter((name) => name.length >= MIN_LITERAL_LENGTH),
    );
    return text.replace(this.#literals, (name) => {
      this.replaced += 1;
      return this.#names.get(name)?.name ?? name;
    });
  }
}

/** Of two parts at least: what stands in front of a path in a list of control groups, `0::`, is none. */
function isAddress(text: string): boolean {
  return isIPv6(text) && text.split(':').filter((part) => part !== '').length >= 2;
}

/** The longest first, and only where no longer word has it as a part. */
function patternOf(names: readonly string[]): RegExp {
  const parts = names.toSorted((a, b) => b.length - a.length).map((name) => name.replace(/[^A-Za-z0-9]/g, '\\$&'));
  return parts.length === 0 ? /(?!)/g : new RegExp(`(?<![A-Za-z0-9_])(?:${parts.join('|')})(?![A-Za-z0-9_])`, 'g');
}
