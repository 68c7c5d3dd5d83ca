import { describe, expect, it } from 'vitest';
import { SetAside } from '../../../src/ledger/set-aside.ts';
import { taskId } from '../../../src/task/id.ts';

const A = taskId('a');

describe('tasks set aside', () => {
  it('come back, later each time, and at once when their ref has moved', () => {
    const aside = new SetAside();
    expect(aside.has(A, 0)).toBe(false);
    aside.add(A, 0);
    expect([aside.has(A, 4_999), aside.has(A, 5_000)]).toEqual([true, false]);
    aside.add(A, 5_000);
    expect([aside.has(A, 14_999), aside.has(A, 15_000)]).toEqual([true, false]);
    for (let times = 0; times < 20; times += 1) aside.add(A, 0);
    expect([aside.has(A, 299_999), aside.has(A, 300_000)]).toEqual([true, false]);
    aside.forget(A);
    expect(aside.has(A, 0)).toBe(false);
    aside.add(A, 0);
    expect(aside.has(A, 5_000)).toBe(false);
  });

  it('are bounded: the oldest are tried again sooner', () => {
    const aside = new SetAside();
    for (let at = 0; at < 1_100; at += 1) aside.add(taskId(`t${at}`), 0);
    expect(aside.has(taskId('t0'), 1)).toBe(false);
    expect(aside.has(taskId('t1099'), 1)).toBe(true);
  });
});
