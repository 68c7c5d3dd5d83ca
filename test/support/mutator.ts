/**
 * Makes hostile documents from good ones, the same ones for the same seed: JSON that is damaged in its bytes, its text or its
 * values, and messages of states that are damaged in their lines.
 */
import { seeded } from './seeded.ts';

type Below = (below: number) => number;

export interface Mutant {
  bytes: Buffer;
  /** What was done, for figures and failures. */
  kind: string;
}

const ODD_NUMBERS = [
  '1e999', '-1e999', '1e-999', '-0', '0.1e1', '9007199254740993', '99999999999999999999999', '2147483648', '-1', '1.5',
] as const; // biome-ignore format: a list
const ODD_TEXTS = [
  '', ' ', '\0', '\ud800', '\udc00\ud800', '\u202egnp.exe', '\u200f', '\ufeff', '\u001b[2J\u001b]0;x\u0007', '\u009b31m',
  '__proto__', 'constructor', 'toString', '../../etc/passwd', '-v', '--privileged', '$(reboot)', 'a\nb', 'a\r\nb', '\u2028',
  '𝕏', 'e\u0301'.repeat(50), 'ﷺ', 'NaN', 'null', '\\', '"', '%s%n', 'x'.repeat(70_000),
] as const; // biome-ignore format: a list
const ODD_VALUES: readonly unknown[] = [null, true, false, [], {}, [[]], { a: {} }, [null], ...ODD_TEXTS];
const ODD_NAMES = [
  '__proto__',
  'constructor',
  'hasOwnProperty',
  'then',
  'toJSON',
  '',
  ' ',
  '\0',
  'ta\u0440k_id',
  '0',
] as const;
const ODD_BYTES = [0x00, 0x0d, 0x1b, 0x7f, 0x80, 0xc0, 0xed, 0xf5, 0xff] as const;

function pick<T>(below: Below, from: readonly T[]): T {
  return from[below(from.length)] as T;
}

type Mutation = (document: unknown, below: Below) => string | Buffer;

/** In a name or a value somewhere. */
function altered(
  document: unknown,
  below: Below,
  change: (parent: Record<string, unknown>, name: string) => void,
): string {
  const copy = structuredClone(document) as Record<string, unknown>;
  const places: [Record<string, unknown>, string][] = [];
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const name of Object.keys(value)) {
      places.push([value as Record<string, unknown>, name]);
      walk((value as Record<string, unknown>)[name]);
    }
  };
  walk(copy);
  if (places.length > 0) change(...pick(below, places));
  return JSON.stringify(copy);
}

function cutIn(text: string, below: Below, insert: string): string {
  const at = below(text.length + 1);
  return text.slice(0, at) + insert + text.slice(at);
}

const MUTATIONS: Readonly<Record<string, Mutation>> = {
  'bytes flipped': (document, below) => {
    const bytes = Buffer.from(JSON.stringify(document));
    for (let times = 1 + below(4); times > 0; times -= 1) bytes[below(bytes.length)] = below(256);
    return bytes;
  },
  'bits flipped': (document, below) => {
    const bytes = Buffer.from(JSON.stringify(document));
    const at = below(bytes.length);
    bytes[at] = (bytes[at] as number) ^ (1 << below(8));
    return bytes;
  },
  truncated: (document, below) => {
    const text = JSON.stringify(document);
    return text.slice(0, below(text.length));
  },
  'odd byte': (document, below) => {
    const bytes = Buffer.from(JSON.stringify(document));
    const at = below(bytes.length + 1);
    return Buffer.concat([bytes.subarray(0, at), Buffer.from([pick(below, ODD_BYTES)]), bytes.subarray(at)]);
  },
  'name twice': (document, below) => {
    const text = JSON.stringify(document);
    const names = Object.keys(document as object);
    const name = pick(below, names);
    return `{${JSON.stringify(name)}:${JSON.stringify(pick(below, ODD_VALUES))},${text.slice(1)}`;
  },
  'nested deep': (document, below) => {
    const depth = 1 + below(20_000);
    const [open, close] = pick(below, [
      ['[', ']'],
      ['{"a":', '}'],
    ] as const);
    return altered(document, below, (parent, name) => (parent[name] = '@')).replace(
      '"@"',
      () => open.repeat(depth) + (open === '[' ? '' : '1') + close.repeat(depth),
    );
  },
  'odd number': (document, below) =>
    altered(document, below, (parent, name) => (parent[name] = '@')).replace('"@"', pick(below, ODD_NUMBERS)),
  'odd value': (document, below) =>
    altered(document, below, (parent, name) => (parent[name] = pick(below, ODD_VALUES))),
  'odd text': (document, below) =>
    altered(document, below, (parent, name) => {
      const value = parent[name];
      const odd = pick(below, ODD_TEXTS);
      parent[name] = typeof value === 'string' ? cutIn(value, below, odd) : odd;
    }),
  'odd name': (document, below) => {
    const value = JSON.stringify(pick(below, ODD_VALUES));
    return `{${JSON.stringify(pick(below, ODD_NAMES))}:${value},${JSON.stringify(document).slice(1)}`;
  },
  'left out': (document, below) => altered(document, below, (parent, name) => delete parent[name]),
  'very long': (document, below) => {
    const text = 'a'.repeat(10 ** (3 + below(3)) * (1 + below(9)));
    return altered(
      document,
      below,
      (parent, name) => (parent[name] = below(2) === 0 ? text : Array.from({ length: 5_000 }, () => 'a')),
    );
  },
  'line ends': (document) => JSON.stringify(document, null, 2).replaceAll('\n', '\r\n'),
  comment: (document, below) =>
    cutIn(JSON.stringify(document, null, 1), below, pick(below, ['// x\n', '/* x */', '# x\n'])),
  'trailing comma': (document) => JSON.stringify(document).replace(/\}$/, ',}'),
  'byte order mark': (document, below) =>
    Buffer.concat([
      Buffer.from(
        pick(below, [
          [0xef, 0xbb, 0xbf],
          [0xff, 0xfe],
          [0xfe, 0xff],
        ]),
      ),
      Buffer.from(JSON.stringify(document)),
    ]),
  'in UTF-16': (document) => Buffer.from(JSON.stringify(document), 'utf16le'),
  'several documents': (document, below) => {
    const text = JSON.stringify(document);
    return text + pick(below, ['', '\n', ',', '\u001e']) + text;
  },
  'not an object': (document, below) =>
    pick(below, [JSON.stringify([document]), 'null', '1', '""', '[]', 'true', '', ' ', '{}']),
  'half a character': (document, below) =>
    cutIn(JSON.stringify(document), below, pick(below, ['\\ud800', '\\u0000', '\\u202e'])),
};

export const MUTATION_KINDS: readonly string[] = Object.keys(MUTATIONS);

/** @param documents good ones to begin with */
export function* mutants(documents: readonly unknown[], count: number, seed: number): Generator<Mutant> {
  const below = seeded(seed);
  for (let at = 0; at < count; at += 1) {
    const kind = MUTATION_KINDS[at % MUTATION_KINDS.length] as string;
    const made = (MUTATIONS[kind] as Mutation)(pick(below, documents), below);
    yield { kind, bytes: Buffer.isBuffer(made) ? made : Buffer.from(made) };
  }
}

const ODD_TRAILERS = [
  '9007199254740992', '9007199254740993', '-1', 'NaN', 'Infinity', '1e3', '0x10', '١', '', ' ', '1 ', '999999999999999',
  '1000000000000000', '../x', '__proto__', 'UPPER', 'a/b', '\u202e', '\u001b[31m', '\0', '2', '99', 'task', 'node', 'x'.repeat(70_000),
] as const; // biome-ignore format: a list

/** Damages messages of states, line by line. @param messages good ones to begin with */
export function* messageMutants(messages: readonly string[], count: number, seed: number): Generator<Mutant> {
  const below = seeded(seed);
  const others = ['Reason', 'Status', 'Wait-Reason', 'Delay-Ms', 'Fenced-By', 'Info', 'Format', 'Unknown'];
  const mutations: Readonly<Record<string, (message: string) => string | Buffer>> = {
    'odd trailer': (message) =>
      changed(message, (line) => line.replace(/: .*/s, () => `: ${pick(below, ODD_TRAILERS)}`)),
    'trailer left out': (message) => changed(message, () => null),
    'trailer twice': (message) => changed(message, (line) => `${line}\n${line}`),
    'other trailer': (message) => `${message}DGrid-${pick(below, others)}: ${pick(below, ODD_TRAILERS)}\n`,
    'newer format': (message) => message.replace(/DGrid-Format: .*/, `DGrid-Format: ${2 + below(1_000)}`),
    truncated: (message) => message.slice(0, below(message.length)),
    'bytes flipped': (message) => {
      const bytes = Buffer.from(message);
      for (let times = 1 + below(4); times > 0; times -= 1) bytes[below(bytes.length)] = below(256);
      return bytes;
    },
    'line ends': (message) => message.replaceAll('\n', '\r\n'),
    'far too long': (message) => 'x'.repeat(65_536 + below(200_000)) + message,
    'lines without number': (message) => '\n'.repeat(below(60_000)) + message,
    'another task': (message) => message.replace(/DGrid-(?:Task|Node): \S+/, (found) => `${found}-x`),
    empty: () => pick(below, ['', '\n', '\0', 'DGrid-', 'DGrid-: ']),
    'odd info': (message) =>
      message.replace(
        /DGrid-Info: .*|$/,
        () => `DGrid-Info: ${pick(below, ['[', '[]', '1', '{"labels":1}', '{"__proto__":{"x":1}}'])}`,
      ),
  };
  const kinds = Object.keys(mutations);
  const changed = (message: string, change: (line: string) => string | null): string => {
    const lines = message.split('\n');
    const at =
      lines.findIndex((line) => line.startsWith('DGrid-')) +
      below(Math.max(1, lines.filter((line) => line.startsWith('DGrid-')).length));
    return lines.flatMap((line, index) => (index === at ? (change(line) ?? []) : line)).join('\n');
  };
  for (let at = 0; at < count; at += 1) {
    const kind = kinds[at % kinds.length] as string;
    const made = (mutations[kind] as (message: string) => string | Buffer)(pick(below, messages));
    yield { kind, bytes: Buffer.isBuffer(made) ? made : Buffer.from(made) };
  }
}
