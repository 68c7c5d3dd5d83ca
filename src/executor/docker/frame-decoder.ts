/**
 * Takes apart the engine's multiplexed output: frames of an 8-byte header (stream number, three zeros, length as 32-bit
 * big-endian) and a payload. Payloads are passed on in slices as they arrive, so no frame is ever held in memory.
 */

const HEADER_BYTES = 8;

export type OutputStream = 'stdout' | 'stderr';

/** 3 is what the engine itself has to say about the stream; it belongs with the errors. */
const STREAM_BY_NUMBER: Readonly<Record<number, OutputStream>> = { 0: 'stdout', 1: 'stdout', 2: 'stderr', 3: 'stderr' };

/** Thrown when the bytes are no frames: a terminal stream, or a proxy that spoke in between. */
export class FrameError extends Error {
  override readonly name = 'FrameError';
}

export class FrameDecoder {
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #headerBytes = 0;
  #payloadLeftBytes = 0;
  #stream: OutputStream = 'stdout';
  readonly #sink: (stream: OutputStream, payload: Uint8Array) => void;

  constructor(sink: (stream: OutputStream, payload: Uint8Array) => void) {
    this.#sink = sink;
  }

  /** True between two frames: the only place where a stream may end. */
  get atBoundary(): boolean {
    return this.#headerBytes === 0 && this.#payloadLeftBytes === 0;
  }

  /** @throws FrameError */
  write(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#payloadLeftBytes > 0) {
        const payload = chunk.subarray(at, at + this.#payloadLeftBytes);
        this.#payloadLeftBytes -= payload.length;
        at += payload.length;
        this.#sink(this.#stream, payload);
        continue;
      }
      const part = chunk.subarray(at, at + HEADER_BYTES - this.#headerBytes);
      this.#header.set(part, this.#headerBytes);
      this.#headerBytes += part.length;
      at += part.length;
      if (this.#headerBytes === HEADER_BYTES) this.#takeHeader();
    }
  }

  #takeHeader(): void {
    const stream = STREAM_BY_NUMBER[this.#header.readUInt8(0)];
    if (stream === undefined || this.#header.readUIntBE(1, 3) !== 0) {
      throw new FrameError('the engine sent output that is not multiplexed');
    }
    this.#stream = stream;
    this.#payloadLeftBytes = this.#header.readUInt32BE(4);
    this.#headerBytes = 0;
  }
}
