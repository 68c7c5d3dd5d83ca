/**
 * Masks secrets in a stream, in whatever pieces it comes: each byte of a secret becomes `*`, so that counts stay true.
 *
 * Line breaks do not count, neither in the stream nor in a secret: programs wrap what they encode. Only so many in a row
 * are passed over, so that what is held back stays bounded.
 *
 * How: the first bytes of all shapes of all secrets are found by one automaton (Aho and Corasick), which costs one look at
 * a table for each byte. Where such a beginning is found, that shape is followed byte by byte (Knuth, Morris and Pratt)
 * until it is complete or fails. What may still become part of a secret is held back until that is decided.
 */
import { longestBreak } from './secret.ts';
import { encodedShapes } from './shapes.ts';

/** Every shape is at least as long. */
const PREFIX_BYTES = 8;
const MASK = 0x2a;
const LF = 0x0a;
const CR = 0x0d;
/** What wrapping puts in one place. */
const BREAKS_OF_A_WRAP = 2;

interface Shape {
  bytes: Uint8Array;
  /** For each length that fits so far: the next shorter one that fits as well. */
  fallback: Int32Array;
}

/** What is looked for. Never changes, so several streams can share it. */
export class MaskTable {
  readonly shapes: readonly Shape[];
  readonly longest: number;
  /** Where more line breaks follow each other, a text has ended. */
  readonly maxBreaks: number;
  /** From a node, by a byte, to a node. */
  readonly next: Int32Array;
  /** How many of the last bytes each node stands for. */
  readonly depth: Int32Array;
  /** The shapes that begin with what a node stands for. */
  readonly begun: readonly (readonly number[])[];

  /** @param secrets each long enough to be one */
  constructor(secrets: readonly Uint8Array[]) {
    const all = secrets.flatMap((secret) => [
      Buffer.from(secret),
      ...encodedShapes(secret).map((shape) => Buffer.from(shape)),
    ]);
    const distinct = new Map(all.map(withoutBreaks).map((bytes) => [bytes.toString('latin1'), bytes]));
    this.shapes = [...distinct.values()]
      .filter(({ length }) => length >= PREFIX_BYTES)
      .map((bytes) => ({ bytes, fallback: fallbackOf(bytes) }));
    this.longest = Math.max(0, ...this.shapes.map(({ bytes }) => bytes.length));
    // Before, after and between a secret's own.
    const own = Math.max(0, ...secrets.map(longestBreak));
    this.maxBreaks = own + (own + 1) * BREAKS_OF_A_WRAP;
    const trie = buildTrie(this.shapes.map(({ bytes }) => bytes.subarray(0, PREFIX_BYTES)));
    this.next = trie.next;
    this.depth = trie.depth;
    this.begun = trie.begun;
  }
}

export class StreamMask {
  readonly #table: MaskTable;
  readonly #sink: (bytes: Uint8Array) => void;
  #node = 0;
  /** How far each shape fits that has begun. */
  readonly #fits = new Map<number, number>();
  #held: Buffer = Buffer.alloc(0);
  /** Where in the stream `#held` begins. */
  #heldFrom = 0;
  /** Where in the stream the last bytes stand that are no line breaks: a ring. */
  readonly #places: Float64Array;
  #counted = 0;
  #breaks = 0;

  constructor(table: MaskTable, sink: (bytes: Uint8Array) => void) {
    this.#table = table;
    this.#sink = sink;
    this.#places = new Float64Array(table.longest + 1);
  }

  write(chunk: Uint8Array): void {
    const begin = this.#held.length;
    const buffer = Buffer.concat([this.#held, chunk]);
    for (let at = begin; at < buffer.length; at += 1) this.#take(buffer[at] ?? 0, at, buffer);
    const keepFrom = this.#openFrom(buffer.length);
    this.#held = Buffer.from(buffer.subarray(keepFrom));
    this.#heldFrom += keepFrom;
    if (keepFrom > 0) this.#sink(buffer.subarray(0, keepFrom));
  }

  /** At the end of the stream. The beginning of a secret that was cut off is masked too. */
  flush(): void {
    const rest = this.#held;
    const longest = Math.max(0, ...this.#fits.values());
    if (longest > 0) this.#cover(rest, longest, rest.length);
    this.#forget();
    this.#held = Buffer.alloc(0);
    this.#heldFrom += rest.length;
    if (rest.length > 0) this.#sink(rest);
  }

  #take(byte: number, at: number, buffer: Buffer): void {
    if (byte === LF || byte === CR) {
      this.#breaks += 1;
      if (this.#breaks > this.#table.maxBreaks) this.#forget();
      return;
    }
    this.#breaks = 0;
    this.#places[this.#counted % this.#places.length] = this.#heldFrom + at;
    this.#counted += 1;
    const { next, begun, shapes } = this.#table;
    this.#node = next[this.#node * 256 + byte] ?? 0;
    const beginning = begun[this.#node];
    // Nearly always.
    if (beginning === undefined && this.#fits.size === 0) return;
    for (const [index, fits] of this.#fits) this.#follow(index, fits, byte);
    for (const index of beginning ?? []) if (!this.#fits.has(index)) this.#fits.set(index, PREFIX_BYTES);
    for (const [index, fits] of this.#fits) {
      if (fits === shapes[index]?.bytes.length) this.#cover(buffer, fits, at + 1);
    }
  }

  #follow(index: number, fits: number, byte: number): void {
    const shape = this.#table.shapes[index];
    if (shape === undefined) return;
    const { bytes, fallback } = shape;
    let length = fits;
    while (length > 0 && (length === bytes.length || bytes[length] !== byte)) length = fallback[length - 1] ?? 0;
    if (bytes[length] === byte) length += 1;
    // The automaton knows the shorter ones.
    if (length < PREFIX_BYTES) this.#fits.delete(index);
    else this.#fits.set(index, length);
  }

  /** Masks the last `count` bytes that are no line breaks, of what stands before `end`. */
  #cover(buffer: Buffer, count: number, end: number): void {
    for (let at = this.#placeOf(count); at < end; at += 1) {
      if (buffer[at] !== LF && buffer[at] !== CR) buffer[at] = MASK;
    }
  }

  /** Where in the buffer the last `count` of such bytes begin. */
  #placeOf(count: number): number {
    const place = this.#places[(this.#counted - count) % this.#places.length] ?? 0;
    return place - this.#heldFrom;
  }

  /** From where on what is there may still turn out to be a secret. */
  #openFrom(length: number): number {
    const open = Math.max(this.#table.depth[this.#node] ?? 0, 0, ...this.#fits.values());
    return open === 0 ? length : this.#placeOf(open);
  }

  #forget(): void {
    this.#node = 0;
    this.#fits.clear();
  }
}

function withoutBreaks(bytes: Buffer): Buffer {
  return Buffer.from(bytes.filter((byte) => byte !== LF && byte !== CR));
}

function fallbackOf(bytes: Uint8Array): Int32Array {
  const fallback = new Int32Array(bytes.length);
  for (let at = 1, length = 0; at < bytes.length; at += 1) {
    while (length > 0 && bytes[at] !== bytes[length]) length = fallback[length - 1] ?? 0;
    if (bytes[at] === bytes[length]) length += 1;
    fallback[at] = length;
  }
  return fallback;
}

function buildTrie(words: readonly Uint8Array[]): { next: Int32Array; depth: Int32Array; begun: number[][] } {
  const most = 1 + words.reduce((sum, word) => sum + word.length, 0);
  const next = new Int32Array(most * 256).fill(-1);
  const depth = new Int32Array(most);
  const begun: number[][] = [];
  let nodes = 1;
  for (const [index, word] of words.entries()) {
    let node = 0;
    for (const byte of word) {
      const edge = node * 256 + byte;
      if (next[edge] === -1) {
        next[edge] = nodes;
        depth[nodes] = (depth[node] ?? 0) + 1;
        nodes += 1;
      }
      node = next[edge] ?? 0;
    }
    begun[node] = [...(begun[node] ?? []), index];
  }
  // Breadth first: where nothing goes on, the longest ending that is a beginning does.
  const fallback = new Int32Array(most);
  const queue = [0];
  for (let node = queue.shift(); node !== undefined; node = queue.shift()) {
    for (let byte = 0; byte < 256; byte += 1) {
      const edge = node * 256 + byte;
      const elsewhere = node === 0 ? 0 : (next[(fallback[node] ?? 0) * 256 + byte] ?? 0);
      const child = next[edge] ?? -1;
      if (child === -1) next[edge] = elsewhere;
      else {
        fallback[child] = elsewhere;
        queue.push(child);
      }
    }
  }
  return { next, depth, begun };
}
