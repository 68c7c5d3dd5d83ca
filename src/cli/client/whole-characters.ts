/**
 * Passes on a stream that comes in pieces so that no piece ends within a character of UTF-8: a terminal gets each piece as
 * text, where half a character would be a replacement mark. What is no UTF-8 passes as it is.
 */
export class WholeCharacters {
  readonly #sink: (bytes: Uint8Array) => void;
  /** At most three bytes. */
  #held: Buffer = Buffer.alloc(0);

  constructor(sink: (bytes: Uint8Array) => void) {
    this.#sink = sink;
  }

  write(bytes: Uint8Array): void {
    const all = Buffer.concat([this.#held, bytes]);
    const end = endOfCharacters(all);
    this.#held = Buffer.from(all.subarray(end));
    if (end > 0) this.#sink(all.subarray(0, end));
  }

  /** Nothing more comes, or something else is to be printed between. */
  flush(): void {
    const held = this.#held;
    this.#held = Buffer.alloc(0);
    if (held.length > 0) this.#sink(held);
  }
}

/** Where the last character ends that may not go on. */
function endOfCharacters(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back] ?? 0;
    if ((byte & 0xc0) === 0x80) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}
