/** Reads a task's two outputs from one stream of frames until it ends, without ever making the container wait. */
import type { Readable } from 'node:stream';
import type { Clock } from '../../runtime.ts';
import { type MaskTable, StreamMask } from '../../secrets/stream-mask.ts';
import type { CapturedOutput } from '../../task/result.ts';
import type { WrittenStream } from '../executor.ts';
import { FrameDecoder } from './frame-decoder.ts';
import { OutputCapture } from './output-capture.ts';
import { PrefixFilter } from './prefix-filter.ts';

export class TaskOutput {
  readonly #stdout: OutputCapture;
  readonly #stderr: OutputCapture;
  readonly #stream: Readable;
  readonly #fromBootstrap: PrefixFilter;
  /** Resolves when the stream is over, in whatever way. */
  readonly over: Promise<void>;
  /** On the clock that never jumps; null while the stream is open. */
  overAtMs: number | null = null;
  /** The stream ended in the right place and without an error. It may still have ended before the task did. */
  endedWell = false;
  #heard = false;
  /** One for each of the two; null: there is nothing to mask. */
  #masks: { stdout: StreamMask; stderr: StreamMask } | null = null;

  /**
   * @param readyLine what the bootstrap says first on standard error, which is not the task's
   * @param table secrets of the task; a container that waits has none yet, see `hide`
   */
  constructor(
    stream: Readable,
    readyLine: Buffer,
    maxOutputBytes: number,
    clock: Clock,
    table: MaskTable | null = null,
  ) {
    this.#stdout = new OutputCapture(maxOutputBytes);
    this.#stderr = new OutputCapture(maxOutputBytes);
    this.#stream = stream;
    this.#fromBootstrap = new PrefixFilter(readyLine, (bytes) => (this.#masks?.stderr ?? this.#stderr).write(bytes));
    const decoder = new FrameDecoder((name, payload) => {
      (name === 'stdout' ? (this.#masks?.stdout ?? this.#stdout) : this.#fromBootstrap).write(payload);
    });
    this.hide(table);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.over = promise;
    const finish = (well: boolean) => {
      if (this.overAtMs !== null) return;
      this.overAtMs = clock.monotonicMs();
      this.endedWell = well && decoder.atBoundary;
      this.#fromBootstrap.flush();
      this.#flush();
      resolve();
      stream.destroy();
    };
    stream.on('data', (chunk: Buffer) => {
      this.#heard = true;
      try {
        decoder.write(chunk);
      } catch {
        finish(false); // no frames: the stored output has to do
      }
    });
    stream.on('end', () => finish(true));
    stream.on('error', () => finish(false));
    stream.on('close', () => finish(false));
  }

  /** From now on these are masked in all that comes. Before the task can print anything. */
  hide(table: MaskTable | null): void {
    if (table === null) return;
    const maskOf = (capture: OutputCapture) => new StreamMask(table, (bytes) => capture.write(bytes));
    this.#masks = { stdout: maskOf(this.#stdout), stderr: maskOf(this.#stderr) };
  }

  #flush(): void {
    this.#masks?.stdout.flush();
    this.#masks?.stderr.flush();
  }

  /** Nothing was heard yet, and the stream is open. */
  get isSilent(): boolean {
    return this.overAtMs === null && !this.#heard;
  }

  /** The bootstrap has said its last word: all that follows is the task's, in whose name ever it speaks. */
  get bootstrapIsOver(): boolean {
    return this.#fromBootstrap.found;
  }

  /** The script was handed over: the bootstrap said so, or there is output, which only the script can have written. */
  get scriptStarted(): boolean {
    return this.#fromBootstrap.found || this.#stdout.totalBytes > 0 || this.#stderr.totalBytes > 0;
  }

  /** While the task runs. What a mask holds back is left out: to flush it would tell the beginning of a secret. */
  written(maxBytes: number): { stdout: WrittenStream; stderr: WrittenStream } {
    return { stdout: this.#stdout.beginning(maxBytes), stderr: this.#stderr.beginning(maxBytes) };
  }

  stdout(): CapturedOutput {
    this.#flush();
    return this.#stdout.snapshot();
  }

  stderr(): CapturedOutput {
    this.#flush();
    return this.#stderr.snapshot();
  }

  close(): void {
    this.#stream.destroy();
  }
}

/** Of two views of the same output, the one that saw more. */
export function fuller(a: CapturedOutput, b: CapturedOutput): CapturedOutput {
  return b.totalBytes > a.totalBytes ? b : a;
}

/**
 * The whole of what one view saw until the engine went away, and another has from the engine's store: that lacks the line
 * that was not at its end when the engine died.
 */
export function joined(live: CapturedOutput, stored: CapturedOutput): CapturedOutput {
  if (live.truncated || stored.truncated) return fuller(live, stored);
  let same = 0;
  const most = Math.min(live.bytes.length, stored.bytes.length);
  while (same < most && live.bytes[same] === stored.bytes[same]) same += 1;
  const bytes = Uint8Array.from(Buffer.concat([live.bytes, stored.bytes.subarray(same)]));
  return { bytes, totalBytes: bytes.length, truncated: false };
}
