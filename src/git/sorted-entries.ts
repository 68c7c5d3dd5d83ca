/**
 * A directory of any size, to look names up in: the tree's own bytes, and where in them each entry begins. With a million
 * entries a map of names would cost a hundred times the memory.
 */
import type { ObjectFormat, Oid } from './oid.ts';

const SPACE = 0x20;

export class SortedEntries {
  readonly #tree: Buffer;
  readonly #idBytes: number;
  readonly #starts: Uint32Array;

  /** @param tree the content of a tree object @throws RangeError when the bytes are no tree. */
  constructor(tree: Buffer, format: ObjectFormat) {
    this.#tree = tree;
    this.#idBytes = format === 'sha1' ? 20 : 32;
    this.#starts = this.#index();
  }

  /** The id of the file of this name, or null. */
  idOf(name: string): Oid | null {
    const starts = this.#starts;
    const key = Buffer.from(name, 'utf8');
    // Trees are sorted by name, byte by byte; directories as if their names ended in a slash, but none is looked for here.
    let low = 0;
    let high = starts.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const { from, to } = this.#nameAt(starts[middle] as number);
      const order = this.#compare(from, to, key);
      if (order === 0) return this.#tree.toString('hex', to + 1, to + 1 + this.#idBytes) as Oid;
      if (order < 0) low = middle + 1;
      else high = middle - 1;
    }
    return null;
  }

  /** How many names end like this. */
  countFiles(suffix: string): number {
    const end = Buffer.from(`${suffix}\0`);
    let count = 0;
    for (const start of this.#starts) {
      const { to } = this.#nameAt(start);
      if (this.#tree.compare(end, 0, end.length, Math.max(0, to + 1 - end.length), to + 1) === 0) count += 1;
    }
    return count;
  }

  /** Names of files that end like this, without that end, in order. */
  *files(suffix: string): Generator<string> {
    for (const start of this.#starts) {
      const name = this.#fileAt(start, suffix);
      if (name) yield this.#tree.toString('utf8', name.from, name.to - Buffer.byteLength(suffix));
    }
  }

  /** Those of them that were not there before: both directories are walked once, side by side. */
  *addedSince(before: SortedEntries, suffix: string): Generator<string> {
    let at = 0;
    for (const start of this.#starts) {
      const name = this.#fileAt(start, suffix);
      if (!name) continue;
      let order = -1;
      while (order < 0 && at < before.#starts.length) {
        const other = before.#fileAt(before.#starts[at] as number, suffix);
        order = other ? before.#tree.compare(this.#tree, name.from, name.to, other.from, other.to) : -1;
        if (order <= 0) at += 1;
      }
      if (order !== 0) yield this.#tree.toString('utf8', name.from, name.to - Buffer.byteLength(suffix));
    }
  }

  #fileAt(start: number, suffix: string): { from: number; to: number } | null {
    const name = this.#nameAt(start);
    const end = Buffer.byteLength(suffix);
    if (name.to - name.from < end || this.#isDirectory(name.from)) return null;
    return this.#tree.toString('latin1', name.to - end, name.to) === suffix ? name : null;
  }

  /** The last names that end like this, the last one first. */
  lastNames(suffix: string, max: number): string[] {
    const names: string[] = [];
    for (let at = this.#starts.length - 1; at >= 0 && names.length < max; at -= 1) {
      const { from, to } = this.#nameAt(this.#starts[at] as number);
      const name = this.#tree.toString('utf8', from, to);
      if (name.endsWith(suffix)) names.push(name);
    }
    return names;
  }

  #index(): Uint32Array {
    const starts: number[] = [];
    let inOrder = true;
    for (let at = 0; at < this.#tree.length; ) {
      const space = this.#tree.indexOf(SPACE, at);
      const nul = space < 0 ? -1 : this.#tree.indexOf(0, at);
      const end = nul + 1 + this.#idBytes;
      if (nul < space || end > this.#tree.length) throw new RangeError(`malformed tree at byte ${at}`);
      inOrder &&= at === 0 || this.#order(starts.at(-1) as number, at) <= 0;
      starts.push(at);
      at = end;
    }
    // Git writes none out of order; but somebody may, and what stands in it must be found all the same.
    if (!inOrder) starts.sort((a, b) => this.#order(a, b));
    return Uint32Array.from(starts);
  }

  #order(a: number, b: number): number {
    return Buffer.compare(this.#keyAt(a), this.#keyAt(b));
  }

  /** The name as trees are sorted by it. */
  #keyAt(start: number): Buffer {
    const { from, to } = this.#nameAt(start);
    const name = this.#tree.subarray(from, to);
    return this.#isDirectory(from) ? Buffer.concat([name, Buffer.from('/')]) : name;
  }

  /** Of the entry whose name begins there: "40000 ". */
  #isDirectory(from: number): boolean {
    return this.#tree[from - 2] === 0x30 && this.#tree[from - 6] === 0x34;
  }

  #nameAt(start: number): { from: number; to: number } {
    const from = this.#tree.indexOf(SPACE, start) + 1;
    return { from, to: this.#tree.indexOf(0, from) };
  }

  #compare(from: number, to: number, key: Buffer): number {
    const order = this.#tree.compare(key, 0, key.length, from, to);
    if (!this.#isDirectory(from)) return order;
    // "a" as a directory stands where "a/" would: behind "a.b", before "a0".
    const length = to - from;
    const common = this.#tree.compare(key, 0, Math.min(key.length, length), from, to);
    if (common !== 0 || key.length < length) return common === 0 ? 1 : common;
    if (key.length === length) return 1;
    return 0x2f - (key[length] as number) || 1;
  }
}
