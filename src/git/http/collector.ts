/**
 * Puts the pieces of an answer together as they come. A long one stands in one piece of memory from early on, and goes back to
 * the system as one: thousands of small pieces would be copied once more at the end, and leave the memory in holes.
 */
const GATHERED_BYTES = 256 * 1024;
/** What is reserved and not used costs nothing; to be copied does. */
const GROWTH = 8;

export class Collector {
  readonly #maxBytes: number;
  #pieces: Buffer[] = [];
  #whole: Buffer | null = null;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** @returns false when it is more than the bound: then it is not kept. */
  add(piece: Buffer): boolean {
    const bytes = this.#bytes + piece.length;
    if (bytes > this.#maxBytes) return false;
    if (bytes <= GATHERED_BYTES) this.#pieces.push(piece);
    else {
      const whole = this.#roomFor(bytes);
      piece.copy(whole, this.#bytes);
    }
    this.#bytes = bytes;
    return true;
  }

  /** What came. Once only. */
  take(): Buffer {
    return this.#whole ? this.#whole.subarray(0, this.#bytes) : Buffer.concat(this.#pieces, this.#bytes);
  }

  #roomFor(bytes: number): Buffer {
    const before = this.#whole;
    if (before && bytes <= before.length) return before;
    const larger = Buffer.allocUnsafeSlow(Math.min(this.#maxBytes, Math.max(GROWTH * bytes, GROWTH * GATHERED_BYTES)));
    if (before) before.copy(larger, 0, 0, this.#bytes);
    else Buffer.concat(this.#pieces, this.#bytes).copy(larger);
    this.#pieces = [];
    this.#whole = larger;
    return larger;
  }
}
