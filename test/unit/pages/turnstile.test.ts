import { describe, expect, it } from 'vitest';
import { BusyError, Turnstile } from '../../../src/pages/turnstile.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const never = new AbortController().signal;

describe('the turnstile', () => {
  it('lets so many in at a time, keeps so many waiting, and sends the rest away', async () => {
    const turnstile = new Turnstile({ atATime: 2, waiting: 1, deadlineMs: 1_000 }, new ManualClock());
    const leave: (() => void)[] = [];
    let most = 0;
    let inside = 0;
    const read = async (): Promise<string> => {
      most = Math.max(most, (inside += 1));
      await new Promise<void>((resolve) => leave.push(resolve));
      inside -= 1;
      return 'read';
    };
    const readings = [turnstile.pass(never, read), turnstile.pass(never, read), turnstile.pass(never, read)];
    await expect(turnstile.pass(never, read)).rejects.toThrow(BusyError);
    for (let left = 0; left < 3; left += 1) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      leave[left]?.();
    }
    expect(await Promise.all(readings)).toEqual(['read', 'read', 'read']);
    expect(most).toBe(2);
    const failing = turnstile.pass(never, () => Promise.reject(new Error('no')));
    await expect(failing).rejects.toThrow('no');
    expect(await turnstile.pass(never, async () => 'still open')).toBe('still open');
  });

  it('gives up a reading whose time is over, and tells it so', async () => {
    const clock = new ManualClock();
    const turnstile = new Turnstile({ atATime: 1, waiting: 0, deadlineMs: 1_000 }, clock);
    let told: AbortSignal | null = null;
    const late = turnstile.pass(never, (signal) => {
      told = signal;
      return new Promise<string>(() => undefined);
    });
    const refused = expect(late).rejects.toThrow(/did not answer in time/);
    clock.advance(1_001);
    await refused;
    expect((told as AbortSignal | null)?.aborted).toBe(true);
    expect(await turnstile.pass(never, async () => 'next')).toBe('next');
  });
});
