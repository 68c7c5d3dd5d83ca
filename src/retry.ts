/**
 * The one place that waits between tries. What is worth another try is a table of the caller's; how long to wait is the
 * schedule: at once, then after the base, twice the base, and so on, a little spread so that many workers do not come
 * back in step.
 */
import pRetry from 'p-retry';
import type { Emit, EventName } from './observe/events.ts';
import type { Clock, RandomFraction } from './runtime.ts';

/** Waits are stretched by up to this share. Never shortened: an operator who set 2 s gets at least 2 s. */
const SPREAD = 0.2;
/** No host gets to put us to sleep for longer. */
export const MAX_RETRY_AFTER_MS = 5 * 60_000;
const MAX_RETRY_DELAY_MS = 5 * 60_000;

/** An error that can be judged: GitError, and others of its shape. */
export interface KindedError extends Error {
  readonly kind: string;
  /** How long the other side asked us to wait. */
  readonly retryAfterMs?: number | null;
}

export interface RetryPolicy {
  /** All tries, the first one included. */
  attempts: number;
  baseMs: number;
  /** By error kind. A kind that is not in it, and an error without a kind, is not tried again. */
  retryable: Readonly<Record<string, boolean>>;
}

export interface RetryContext {
  clock: Clock;
  emit: Emit;
  random: RandomFraction;
  /** Named in the event. */
  operation: string;
  /** Told before each wait; left out: `git.retry`. */
  event?: EventName;
  signal?: AbortSignal | undefined;
  /** The error for a wait that was cut short by the signal. */
  aborted: (cause: unknown) => Error;
}

/**
 * Calls `action` until it succeeds, fails for good, or has had its tries. Rejects with the last error as it was thrown.
 * Emits an event before each wait.
 */
export async function withRetry<T>(
  action: (attempt: number) => Promise<T>,
  policy: RetryPolicy,
  context: RetryContext,
): Promise<T> {
  const { signal } = context;
  try {
    return await pRetry(action, {
      retries: Math.max(0, policy.attempts - 1),
      minTimeout: policy.baseMs * (1 + SPREAD * context.random()),
      factor: 2,
      maxTimeout: MAX_RETRY_DELAY_MS,
      // p-retry gives up on a TypeError by itself, which is right here too: that is a bug, not a bad line.
      shouldRetry: ({ error }) => isRetryable(error, policy),
      onFailedAttempt: async ({ error, attemptNumber, retriesLeft, retryDelay }) => {
        if (retriesLeft <= 0 || !isRetryable(error, policy)) return;
        const askedMs = Math.min(error.retryAfterMs ?? 0, MAX_RETRY_AFTER_MS);
        const delayMs = Math.max(retryDelay, askedMs);
        context.emit(context.event ?? 'git.retry', {
          operation: context.operation,
          kind: error.kind,
          attempt: attemptNumber,
          attempts: policy.attempts,
          delay_ms: Math.round(delayMs),
          err: error,
        });
        // p-retry waits its own share after this.
        await context.clock.sleep(delayMs - retryDelay, signal);
      },
      ...(signal ? { signal } : {}),
    });
  } catch (error) {
    if (signal?.aborted && error === signal.reason) throw context.aborted(error);
    throw error;
  }
}

function isRetryable(error: Error, policy: RetryPolicy): error is KindedError {
  return 'kind' in error && typeof error.kind === 'string' && policy.retryable[error.kind] === true;
}
