import { expect, it } from 'vitest';
import { DeadlineError, withinDeadline } from '../../../src/host/deadline.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const never = (): Promise<never> => new Promise(() => undefined);

it('hands on what the work answers, and leaves no timer behind', async () => {
  const clock = new ManualClock();
  await expect(withinDeadline(clock, 100, 'it', async () => 7)).resolves.toBe(7);
  expect(clock.sleeping).toBe(0);
});

it('hands on what the work throws, at once or later', async () => {
  const clock = new ManualClock();
  const atOnce = (): Promise<never> => {
    throw new Error('broken');
  };
  await expect(withinDeadline(clock, 100, 'it', atOnce)).rejects.toThrow('broken');
  await expect(withinDeadline(clock, 100, 'it', () => Promise.reject(new Error('late')))).rejects.toThrow('late');
  expect(clock.sleeping).toBe(0);
});

it('gives up on work that hangs, and tells it so', async () => {
  const clock = new ManualClock();
  let told: AbortSignal | undefined;
  const waiting = withinDeadline(clock, 100, 'the disk', (signal) => {
    told = signal;
    return never();
  });
  clock.advance(99);
  expect(told?.aborted).toBe(false);
  clock.advance(1);
  const error: unknown = await waiting.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(DeadlineError);
  expect(error).toMatchObject({ kind: 'deadline', message: 'the disk did not answer within 100 ms' });
  expect(told?.aborted).toBe(true);
});

it('ignores work that fails after its time', async () => {
  const clock = new ManualClock();
  const work = Promise.withResolvers<never>();
  const waiting = withinDeadline(clock, 100, 'it', () => work.promise);
  clock.advance(100);
  await expect(waiting).rejects.toBeInstanceOf(DeadlineError);
  // An unhandled rejection would fail the whole run.
  work.reject(new Error('too late'));
});

it('stops when the caller does', async () => {
  const clock = new ManualClock();
  const caller = new AbortController();
  const waiting = withinDeadline(clock, 100, 'it', never, caller.signal);
  caller.abort(new Error('shutting down'));
  await expect(waiting).rejects.toThrow('shutting down');
  await expect(withinDeadline(clock, 100, 'it', never, caller.signal)).rejects.toThrow('shutting down');
  expect(clock.sleeping).toBe(0);
});
