/** Work on the machine that may hang (a dead network mount, a stuck engine) must not hang the worker with it. */
import type { Clock } from '../runtime.ts';

export class DeadlineError extends Error {
  override readonly name = 'DeadlineError';
  readonly kind = 'deadline';
  constructor(what: string, deadlineMs: number) {
    super(`${what} did not answer within ${deadlineMs} ms`);
  }
}

/**
 * Starts `work` and waits `deadlineMs` for it at most. `work` is told by its signal when nobody waits any longer; what
 * it does after that is ignored.
 * @throws DeadlineError, or what `work` throws, or the reason of `signal` when that aborts first.
 */
export async function withinDeadline<T>(
  clock: Clock,
  deadlineMs: number,
  what: string,
  work: (signal: AbortSignal) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  signal?.throwIfAborted();
  const over = new AbortController();
  const stop = (): void => over.abort(signal?.reason);
  signal?.addEventListener('abort', stop, { once: true });
  const running = (async () => work(over.signal))();
  // It may fail after we have left; that must not count as an unhandled rejection.
  running.catch(() => undefined);
  try {
    return await Promise.race([
      running,
      clock.sleep(deadlineMs, over.signal).then((): never => {
        signal?.throwIfAborted();
        throw new DeadlineError(what, deadlineMs);
      }),
    ]);
  } finally {
    signal?.removeEventListener('abort', stop);
    over.abort();
  }
}
