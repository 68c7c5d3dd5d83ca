/**
 * One pull of an image, with everything that can go wrong on the way to a registry: it ends by a deadline, and when nothing
 * is heard for too long; what may pass is tried again; credentials are looked up for each try.
 */
import type { Emit } from '../../observe/events.ts';
import { withRetry } from '../../retry.ts';
import type { Clock, RandomFraction } from '../../runtime.ts';
import { ExecutorError } from '../executor.ts';
import { DeadlineError, withDeadline } from './deadline.ts';
import type { Engine } from './engine.ts';
import { type ImageName, parseImageName } from './image-name.ts';
import { explainPull, judgePull, PullFailure, RETRYABLE_PULLS } from './pull-failure.ts';
import { followPull } from './pull-progress.ts';
import type { RegistryCredentials } from './registry-credentials.ts';

const RETRY_BASE_MS = 2_000;

export interface PullParts {
  engine: Engine;
  credentials: RegistryCredentials;
  /** For all tries together. */
  timeoutMs: number;
  /** Without a word of the engine, a try is given up. */
  stallMs: number;
  random: RandomFraction;
  emit: Emit;
}

/**
 * @param attempts tries in all
 * @returns the digest that the registry gave, where the engine told it.
 * @throws ExecutorError of kind `image-unavailable`, or of the engine's own when that failed; the signal's reason.
 */
export async function pullImage(
  full: string,
  attempts: number,
  parts: PullParts,
  signal: AbortSignal,
): Promise<string | null> {
  const name = parseImageName(full);
  if (name === null) throw unavailable(full, 'it is no image name');
  const { emit, engine, random, timeoutMs } = parts;
  const { clock } = engine;
  let lastFailure: PullFailure | null = null;
  try {
    return await withDeadline(clock, timeoutMs, [signal], (ending) =>
      withRetry(
        async () => {
          try {
            return await pullOnce(name, full, parts, ending);
          } catch (error) {
            if (error instanceof PullFailure) lastFailure = error;
            throw error;
          }
        },
        { attempts, baseMs: RETRY_BASE_MS, retryable: RETRYABLE_PULLS },
        {
          clock,
          emit,
          random,
          operation: full,
          event: 'image.retry',
          signal: ending,
          aborted: (cause) => cause as Error,
        },
      ),
    );
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof DeadlineError) {
      const why = lastFailure === null ? '' : `; the last try: ${(lastFailure as PullFailure).message}`;
      throw unavailable(full, `pulling it took longer than ${timeoutMs} ms (IMAGE_PULL_TIMEOUT)${why}`, cause);
    }
    if (cause instanceof PullFailure) throw unavailable(full, cause.message, cause);
    throw cause;
  }
}

export function unavailable(image: string, why: string, cause?: unknown): ExecutorError {
  return new ExecutorError('image-unavailable', `image ${image} can't be had: ${why}`, { cause });
}

async function pullOnce(name: ImageName, full: string, parts: PullParts, signal: AbortSignal): Promise<string | null> {
  const { credentials, emit, engine, stallMs } = parts;
  const registry = name.repository.split('/', 1)[0] ?? '';
  const registryAuth = await credentials.headerFor(registry, signal);
  const watch = new StallWatch(engine.clock, stallMs);
  const either = AbortSignal.any([signal, watch.stalled]);
  try {
    const query = { fromImage: name.repository, tag: name.digest ?? name.tag ?? 'latest' };
    const answer = await engine.stream({
      method: 'POST',
      path: '/images/create',
      query,
      timeoutMs: stallMs,
      signal: either,
      ...(registryAuth === null ? {} : { registryAuth }),
    });
    return await followPull(answer, full, engine.clock, emit, () => watch.heard());
  } catch (cause) {
    signal.throwIfAborted();
    // The answer begins with the first word of the registry, so an engine that keeps silent waits for that.
    if (watch.stalled.aborted || (cause instanceof ExecutorError && cause.kind === 'engine-timeout')) {
      const message = `pulling it made no progress for ${stallMs} ms (IMAGE_PULL_STALL_SECONDS)`;
      throw new PullFailure('stalled', message, { cause });
    }
    const isEngines =
      cause instanceof ExecutorError && (cause.kind === 'engine-unavailable' || cause.kind === 'engine-full');
    if (isEngines) throw cause;
    const words = cause instanceof Error ? cause.message : String(cause);
    const kind = judgePull(words, name);
    throw new PullFailure(kind, explainPull(kind, words, registry, registryAuth !== null), { cause });
  } finally {
    await watch.end();
  }
}

/** Aborts `stalled` when `heard` was not called for some time. */
class StallWatch {
  readonly #clock: Clock;
  readonly #stallMs: number;
  readonly #stalled = new AbortController();
  readonly #over = new AbortController();
  readonly #watching: Promise<void>;
  #heardMs: number;

  constructor(clock: Clock, stallMs: number) {
    this.#clock = clock;
    this.#stallMs = stallMs;
    this.#heardMs = clock.monotonicMs();
    this.#watching = this.#watch();
  }

  get stalled(): AbortSignal {
    return this.#stalled.signal;
  }

  heard(): void {
    this.#heardMs = this.#clock.monotonicMs();
  }

  async end(): Promise<void> {
    this.#over.abort();
    await this.#watching;
  }

  async #watch(): Promise<void> {
    while (!this.#over.signal.aborted) {
      const leftMs = this.#heardMs + this.#stallMs - this.#clock.monotonicMs();
      if (leftMs <= 0) return this.#stalled.abort(new DeadlineError(this.#stallMs));
      await this.#clock.sleep(leftMs, this.#over.signal);
    }
  }
}
