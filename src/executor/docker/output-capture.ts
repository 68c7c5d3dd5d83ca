/**
 * Keeps one output stream of a task within a fixed amount of memory: the beginning, the end, and a mark that says how
 * much is missing in between. Counts every byte and takes any amount without ever pushing back, because an output that
 * nobody drains stops the container.
 *
 * Invariant: `snapshot().bytes.length <= maxBytes`.
 */
import type { CapturedOutput } from '../../task/result.ts';
import type { WrittenStream } from '../executor.ts';

/** Room for the mark, digits included. */
const MARK_RESERVE_BYTES = 64;

export class OutputCapture {
  readonly #maxBytes: number;
  readonly #headLimitBytes: number;
  readonly #tailLimitBytes: number;
  /** Grows by doubling up to maxBytes: most tasks write little. */
  #head: Buffer = Buffer.alloc(0);
  #headBytes = 0;
  /** A ring, made only once the stream is longer than maxBytes. */
  #tail: Buffer | null = null;
  #tailWritten = 0;
  #totalBytes = 0;

  /** @param maxBytes how much of the stream is kept at most, the mark included */
  constructor(maxBytes: number) {
    this.#maxBytes = Math.max(0, Math.floor(maxBytes));
    const kept = Math.max(0, this.#maxBytes - MARK_RESERVE_BYTES);
    this.#tailLimitBytes = Math.floor(kept / 2);
    this.#headLimitBytes = kept - this.#tailLimitBytes;
  }

  get totalBytes(): number {
    return this.#totalBytes;
  }

  write(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#totalBytes += chunk.length;
    if (this.#tail === null) {
      const room = this.#maxBytes - this.#headBytes;
      this.#appendHead(chunk.subarray(0, room));
      if (chunk.length <= room) return;
      this.#overflow();
      this.#appendTail(chunk.subarray(room));
      return;
    }
    this.#appendTail(chunk);
  }

  /** Never more than what stays when the stream turns out longer than maxBytes. */
  beginning(maxBytes: number): WrittenStream {
    const bytes = Uint8Array.from(this.#head.subarray(0, Math.min(this.#headBytes, this.#headLimitBytes, maxBytes)));
    return { bytes, isWhole: bytes.length === this.#totalBytes };
  }

  snapshot(): CapturedOutput {
    if (this.#tail === null) {
      return {
        bytes: Uint8Array.from(this.#head.subarray(0, this.#headBytes)),
        totalBytes: this.#totalBytes,
        truncated: false,
      };
    }
    const tail = this.#tailInOrder(this.#tail);
    const leftOut = this.#totalBytes - this.#headBytes - tail.length;
    const mark = Buffer.from(`\n[... ${leftOut} bytes left out ...]\n`).subarray(0, this.#maxBytes);
    return {
      bytes: Uint8Array.from(Buffer.concat([this.#head.subarray(0, this.#headBytes), mark, tail])),
      totalBytes: this.#totalBytes,
      truncated: true,
    };
  }

  #appendHead(bytes: Uint8Array): void {
    const needed = this.#headBytes + bytes.length;
    if (needed > this.#head.length) {
      const grown = Buffer.alloc(Math.min(this.#maxBytes, Math.max(needed, this.#head.length * 2, 4096)));
      this.#head.copy(grown, 0, 0, this.#headBytes);
      this.#head = grown;
    }
    this.#head.set(bytes, this.#headBytes);
    this.#headBytes = needed;
  }

  /** The stream turned out longer than maxBytes: what stands past the head's share becomes the start of the tail. */
  #overflow(): void {
    this.#tail = Buffer.alloc(this.#tailLimitBytes);
    const behindHead = this.#head.subarray(this.#headLimitBytes, this.#headBytes);
    this.#appendTail(behindHead);
    this.#head = Buffer.from(this.#head.subarray(0, this.#headLimitBytes));
    this.#headBytes = this.#headLimitBytes;
  }

  #appendTail(bytes: Uint8Array): void {
    const ring = this.#tail;
    if (ring === null || ring.length === 0) return;
    const last = bytes.length > ring.length ? bytes.subarray(bytes.length - ring.length) : bytes;
    const at = (this.#tailWritten + bytes.length - last.length) % ring.length;
    const first = last.subarray(0, ring.length - at);
    ring.set(first, at);
    ring.set(last.subarray(first.length), 0);
    this.#tailWritten += bytes.length;
  }

  #tailInOrder(ring: Buffer): Buffer {
    if (this.#tailWritten <= ring.length) return ring.subarray(0, this.#tailWritten);
    const start = this.#tailWritten % ring.length;
    return Buffer.concat([ring.subarray(start), ring.subarray(0, start)]);
  }
}
