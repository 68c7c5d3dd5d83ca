import { describe, expect, it } from 'vitest';
import { MAX_WRONG_TRIES, WrongTries } from '../../../../src/observe/http/wrong-tries.ts';
import { ManualClock } from '../../../support/manual-clock.ts';

function spend(tries: WrongTries, address: string): void {
  for (let at = 0; at < MAX_WRONG_TRIES; at += 1) tries.count(address);
}

describe('wrong tries', () => {
  it('count for each address by itself, for a minute from the first', () => {
    const clock = new ManualClock();
    const tries = new WrongTries(clock);
    tries.count('192.0.2.1');
    clock.advance(30_000);
    for (let at = 1; at < MAX_WRONG_TRIES; at += 1) {
      expect(tries.areSpent('192.0.2.1')).toBe(false);
      tries.count('192.0.2.1');
    }
    expect(tries.areSpent('192.0.2.1')).toBe(true);
    expect(tries.pauseMs('192.0.2.1')).toBe(30_000);
    expect([tries.areSpent('192.0.2.2'), tries.pauseMs('192.0.2.2')]).toEqual([false, 0]);
    clock.advance(30_000);
    expect([tries.areSpent('192.0.2.1'), tries.pauseMs('192.0.2.1')]).toEqual([false, 0]);
  });

  it('take a network of IPv6 for one address, however it is written', () => {
    const tries = new WrongTries(new ManualClock());
    spend(tries, '2001:db8:1:2::1');
    expect(tries.areSpent('2001:db8:1:2:3:4:5:6')).toBe(true);
    expect(tries.areSpent('2001:db8:1:3::1')).toBe(false);
    spend(tries, '2001:db8::7');
    expect(tries.areSpent('2001:db8::8')).toBe(true);
    expect(tries.areSpent('::1')).toBe(false);
    spend(tries, '::ffff:192.0.2.1');
    expect(tries.areSpent('::ffff:192.0.2.2')).toBe(false);
  });

  it('are remembered of so many addresses, those that began last', () => {
    const tries = new WrongTries(new ManualClock());
    spend(tries, 'first');
    for (let at = 0; at < 999; at += 1) tries.count(`address-${at}`);
    expect(tries.areSpent('first')).toBe(true);
    tries.count('one more');
    expect(tries.areSpent('first')).toBe(false);
  });
});
