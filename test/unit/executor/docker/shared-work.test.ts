import { describe, expect, it } from 'vitest';
import { SharedWork } from '../../../../src/executor/docker/shared-work.ts';

function setUp() {
  const begun: { key: string; signal: AbortSignal; done: PromiseWithResolvers<string> }[] = [];
  const shared = new SharedWork<string>((key, signal) => {
    const done = Promise.withResolvers<string>();
    begun.push({ key, signal, done });
    return done.promise;
  });
  return { begun, shared };
}

describe('work that is shared', () => {
  it('is done once for all that want the same', async () => {
    const { begun, shared } = setUp();
    const all = Promise.all([shared.join('a'), shared.join('a'), shared.join('b')]);
    expect(begun.map(({ key }) => key)).toEqual(['a', 'b']);
    begun[0]?.done.resolve('of a');
    begun[1]?.done.resolve('of b');
    expect(await all).toEqual(['of a', 'of a', 'of b']);
  });

  it('goes on while anybody waits, and is given up with the last', async () => {
    const { begun, shared } = setUp();
    const leaving = [new AbortController(), new AbortController()];
    const waiting = leaving.map(({ signal }) => shared.join('a', signal));
    leaving[0]?.abort(new Error('first'));
    await expect(waiting[0]).rejects.toThrow('first');
    expect(begun[0]?.signal.aborted).toBe(false);
    leaving[1]?.abort(new Error('second'));
    await expect(waiting[1]).rejects.toThrow('second');
    expect(begun[0]?.signal.aborted).toBe(true);
  });

  it('is begun anew after it was given up, failed or done', async () => {
    const { begun, shared } = setUp();
    const leaving = new AbortController();
    const first = shared.join('a', leaving.signal);
    leaving.abort(new Error('gone'));
    await expect(first).rejects.toThrow('gone');
    const second = shared.join('a');
    begun[1]?.done.reject(new Error('failed'));
    await expect(second).rejects.toThrow('failed');
    const third = shared.join('a');
    begun[2]?.done.resolve('done');
    expect(await third).toBe('done');
    // What was given up ends later, and says nothing to those that came after.
    begun[0]?.done.reject(new Error('late'));
    expect(begun).toHaveLength(3);
  });
});
