/** Waiting that ends: with an answer, with a signal, or when the time is up. */
import type { Clock } from '../../runtime.ts';

export class DeadlineError extends Error {
  override readonly name = 'DeadlineError';
  readonly limitMs: number;
  constructor(limitMs: number, options: { cause?: unknown } = {}) {
    super(`not done within ${limitMs} ms`, options);
    this.limitMs = limitMs;
  }
}

/** Settles like `work`, or rejects with the signal's reason as soon as that aborts. `work` itself is not stopped. */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/**
 * Gives `work` a signal that aborts with any of `signals`, or after `limitMs`. What `work` opened may live on with that
 * signal: once `work` has resolved, only `signals` can abort it.
 * @throws DeadlineError when the time was up, else whatever `work` threw or a signal's reason
 */
export async function withDeadline<T>(
  clock: Clock,
  limitMs: number,
  signals: readonly AbortSignal[],
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const deadline = new AbortController();
  const done = new AbortController();
  const expire = async () => {
    await clock.sleep(limitMs, done.signal);
    if (!done.signal.aborted) deadline.abort(new DeadlineError(limitMs));
  };
  const expiry = expire();
  const signal = AbortSignal.any([...signals, deadline.signal]);
  try {
    return await orAborted(work(signal), signal);
  } catch (cause) {
    if (deadline.signal.aborted && !signals.some((one) => one.aborted)) throw new DeadlineError(limitMs, { cause });
    throw cause;
  } finally {
    done.abort();
    await expiry;
  }
}
