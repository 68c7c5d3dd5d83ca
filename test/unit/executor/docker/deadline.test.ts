import { describe, expect, it } from 'vitest';
import { DeadlineError, orAborted, withDeadline } from '../../../../src/executor/docker/deadline.ts';
import type { Clock } from '../../../../src/runtime.ts';

/** A clock whose sleepers wake when told, or when their signal aborts. */
function handClock(): Clock & { wake(): void; sleepers: number } {
  const waking = new Set<() => void>();
  return {
    get sleepers() {
      return waking.size;
    },
    monotonicMs: () => 0,
    wallMs: () => 0,
    async sleep(_ms, signal) {
      if (signal?.aborted) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      waking.add(resolve);
      signal?.addEventListener('abort', () => resolve(), { once: true });
      await promise;
      waking.delete(resolve);
    },
    wake() {
      for (const resolve of waking) resolve();
    },
  };
}

const never = new Promise<never>(() => {});

describe('withDeadline', () => {
  it('answers, and leaves no sleeper behind', async () => {
    const clock = handClock();
    let seen: AbortSignal | null = null;
    const answer = await withDeadline(clock, 10, [], async (signal) => {
      seen = signal;
      return 42;
    });
    expect(answer).toBe(42);
    expect(clock.sleepers).toBe(0);
    expect(seen).toMatchObject({ aborted: false });
  });

  it('ends work that does not', async () => {
    const clock = handClock();
    let seen: AbortSignal | null = null;
    const work = withDeadline(clock, 10, [], (signal) => {
      seen = signal;
      return never;
    });
    clock.wake();
    await expect(work).rejects.toBeInstanceOf(DeadlineError);
    expect(seen).toMatchObject({ aborted: true });
  });

  it('passes on failures and signals', async () => {
    const clock = handClock();
    await expect(withDeadline(clock, 10, [], () => Promise.reject(new Error('own')))).rejects.toThrow('own');
    const giveUp = new AbortController();
    const work = withDeadline(clock, 10, [giveUp.signal], () => never);
    giveUp.abort(new Error('gave up'));
    await expect(work).rejects.toThrow('gave up');
    expect(clock.sleepers).toBe(0);
  });
});

describe('orAborted', () => {
  it('settles like the work, or with the signal', async () => {
    const { signal } = new AbortController();
    expect(await orAborted(Promise.resolve(1), signal)).toBe(1);
    await expect(orAborted(never, AbortSignal.abort(new Error('done')))).rejects.toThrow('done');
  });
});
