import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { GitError, RETRYABLE } from '../../src/git/errors.ts';
import type { EventFields, EventName } from '../../src/observe/events.ts';
import { MAX_RETRY_AFTER_MS, type RetryContext, withRetry } from '../../src/retry.ts';

const policy = { attempts: 5, baseMs: 2_000, retryable: RETRYABLE };
let events: Array<[EventName, EventFields]>;
let context: RetryContext;
let startMs: number;

beforeEach(() => {
  vi.useFakeTimers();
  events = [];
  startMs = Date.now();
  context = {
    clock: {
      monotonicMs: () => Date.now(),
      wallMs: () => Date.now(),
      sleep: (ms, signal) =>
        new Promise((resolve) => {
          if (ms <= 0 || signal?.aborted) return resolve();
          const timer = setTimeout(resolve, ms);
          signal?.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
        }),
    },
    emit: (name, fields = {}) => events.push([name, fields]),
    random: () => 0,
    operation: 'fetch',
    aborted: (cause) => new GitError('aborted', 'fetch', 'aborted', { cause }),
  };
});
afterEach(() => vi.useRealTimers());

/** Runs an action that always throws, and answers when it was called and what came out. */
async function failing(makeError: () => Error, signal?: AbortSignal): Promise<{ atMs: number[]; error: unknown }> {
  const atMs: number[] = [];
  const action = (): Promise<never> => {
    atMs.push(Date.now() - startMs);
    return Promise.reject(makeError());
  };
  const [settled] = await Promise.all([
    Promise.allSettled([withRetry(action, policy, { ...context, signal })]),
    vi.runAllTimersAsync(),
  ]);
  return { atMs, error: settled[0].status === 'rejected' ? settled[0].reason : null };
}

describe('withRetry', () => {
  it('tries at once, then after 2, 4, 8 and 16 s, and rejects with the last error', async () => {
    let count = 0;
    const result = await failing(() => new GitError('network', 'fetch', `no ${++count}`));
    expect(result.atMs).toEqual([0, 2_000, 6_000, 14_000, 30_000]);
    expect(result.error).toMatchObject({ kind: 'network', message: 'no 5' });
    expect(events.map(([name, fields]) => [name, fields['attempt'], fields['delay_ms']])).toEqual([
      ['git.retry', 1, 2_000],
      ['git.retry', 2, 4_000],
      ['git.retry', 3, 8_000],
      ['git.retry', 4, 16_000],
    ]);
  });

  it('stretches the waits by a fifth at most', async () => {
    context.random = () => 0.999_999;
    const { atMs } = await failing(() => new GitError('network', 'fetch', 'no'));
    expect(atMs[1]).toBeCloseTo(2_400, -1);
    expect(atMs[4]).toBeCloseTo(36_000, -2);
  });

  it.each(Object.entries(RETRYABLE))('follows the table: %s is tried again: %s', async (kind, retryable) => {
    const { atMs } = await failing(() => new GitError(kind as keyof typeof RETRYABLE, 'fetch', 'no'));
    expect(atMs).toHaveLength(retryable ? 5 : 1);
    expect(events).toHaveLength(retryable ? 4 : 0);
  });

  it.each([new TypeError('a bug'), new Error('no kind')])('does not try %s again', async (error) => {
    const result = await failing(() => error);
    expect(result.atMs).toEqual([0]);
    expect(result.error).toBe(error);
  });

  it('waits for as long as the host asks, within a bound', async () => {
    const { atMs } = await failing(() => new GitError('throttled', 'fetch', 'slow down', { retryAfterMs: 3_000 }));
    expect(atMs).toEqual([0, 3_000, 7_000, 15_000, 31_000]);
    startMs = Date.now();
    const long = await failing(() => new GitError('throttled', 'fetch', 'slow down', { retryAfterMs: 86_400_000 }));
    expect(long.atMs[1]).toBe(MAX_RETRY_AFTER_MS);
  });

  it('answers the value of the first success', async () => {
    let tries = 0;
    const running = withRetry(
      (attempt) => (++tries < 3 ? Promise.reject(new GitError('network', 'fetch', 'no')) : Promise.resolve(attempt)),
      policy,
      context,
    );
    await vi.runAllTimersAsync();
    await expect(running).resolves.toBe(3);
  });

  it('stops waiting when the signal aborts', async () => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 3_000);
    const { atMs, error } = await failing(() => new GitError('network', 'fetch', 'no'), controller.signal);
    expect(atMs).toEqual([0, 2_000]);
    expect(error).toMatchObject({ kind: 'aborted' });
  });

  it('does not begin when the signal has aborted already', async () => {
    const { atMs, error } = await failing(() => new GitError('network', 'fetch', 'no'), AbortSignal.abort());
    expect(atMs).toEqual([]);
    expect(error).toMatchObject({ kind: 'aborted' });
  });
});
