import { describe, expect, it } from 'vitest';
import { SharedLock } from '../../../src/git/shared-lock.ts';

describe('SharedLock', () => {
  it('lets readers in together and keeps a writer alone, in the order of arrival', async () => {
    const lock = new SharedLock();
    const log: string[] = [];
    const gates = new Map<string, () => void>();
    const hold = (name: string) => async () => {
      log.push(`+${name}`);
      await new Promise<void>((open) => gates.set(name, open));
      log.push(`-${name}`);
    };
    const open = async (name: string) => {
      gates.get(name)?.();
      await new Promise((resolve) => setImmediate(resolve));
    };
    const all = [lock.shared(hold('r1')), lock.shared(hold('r2')), lock.exclusive(hold('w')), lock.shared(hold('r3'))];
    await new Promise((resolve) => setImmediate(resolve));
    expect(log).toEqual(['+r1', '+r2']);
    await open('r2');
    expect(log).toEqual(['+r1', '+r2', '-r2']);
    await open('r1');
    expect(log.slice(3)).toEqual(['-r1', '+w']);
    await open('w');
    expect(log.slice(5)).toEqual(['-w', '+r3']);
    await open('r3');
    await Promise.all(all);
  });

  it('goes on after a failure', async () => {
    const lock = new SharedLock();
    await expect(lock.exclusive(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
    await expect(lock.shared(() => Promise.resolve(1))).resolves.toBe(1);
  });
});
