/** Takes one known line off the beginning of a stream, where it is there, and passes everything else on. */
export class PrefixFilter {
  readonly #prefix: Buffer;
  readonly #sink: (bytes: Uint8Array) => void;
  /** How much of the prefix has come so far; null once that is decided. */
  #matchedBytes: number | null = 0;
  #found = false;

  constructor(prefix: Buffer, sink: (bytes: Uint8Array) => void) {
    this.#prefix = prefix;
    this.#sink = sink;
  }

  get found(): boolean {
    return this.#found;
  }

  write(chunk: Uint8Array): void {
    if (this.#matchedBytes === null) {
      this.#sink(chunk);
      return;
    }
    const at = this.#matchedBytes;
    const expected = this.#prefix.subarray(at, at + chunk.length);
    if (!expected.equals(chunk.subarray(0, expected.length))) {
      this.flush();
      this.#sink(chunk);
      return;
    }
    this.#matchedBytes = at + expected.length;
    if (this.#matchedBytes < this.#prefix.length) return;
    this.#found = true;
    this.#matchedBytes = null;
    if (chunk.length > expected.length) this.#sink(chunk.subarray(expected.length));
  }

  /** At the end of the stream: what looked like the beginning of the line was not. */
  flush(): void {
    const held = this.#matchedBytes ?? 0;
    this.#matchedBytes = null;
    if (held > 0) this.#sink(this.#prefix.subarray(0, held));
  }
}
