import { describe, expect, it } from 'vitest';
import { RecordingTurn } from '../../../src/agent/recording-turn.ts';
import { oid } from '../../../src/git/oid.ts';

const tip = oid('1'.repeat(40));
const turn = () =>
  new RecordingTurn({
    batchSize: 10,
    delayMs: 5_000,
    staggerMs: 1_000,
    refusedBaseMs: 60_000,
    refusedMaxMs: 200_000,
    lockedMs: 5_000,
  });
const base = { waiting: 1, oldestMs: 0, rank: 0, tip, hurry: false, nowMs: 0 };

describe('recording turn', () => {
  it('waits for a batch or for the delay', () => {
    expect(turn().isDue(base)).toBe(false);
    expect(turn().isDue({ ...base, waiting: 10 })).toBe(true);
    expect(turn().isDue({ ...base, oldestMs: 5_000 })).toBe(true);
    expect(turn().isDue({ ...base, waiting: 0, oldestMs: 9_000, hurry: true })).toBe(false);
  });

  it('waits for neither when nothing else is left to do', () => {
    expect(turn().isDue({ ...base, hurry: true })).toBe(true);
  });

  it('lets those before it go first, and begins anew on a new tip', () => {
    const second = turn();
    const due = { ...base, oldestMs: 6_000, rank: 2 };
    expect(second.isDue({ ...due, nowMs: 0 })).toBe(false);
    expect(second.isDue({ ...due, nowMs: 1_999 })).toBe(false);
    expect(second.nextLookMs(1_999)).toBe(1);
    expect(second.isDue({ ...due, nowMs: 2_000 })).toBe(true);
    expect(second.isDue({ ...due, tip: oid('2'.repeat(40)), nowMs: 2_001 })).toBe(false);
  });

  it('tells when to look again', () => {
    const t = turn();
    t.isDue({ ...base, oldestMs: 1_200, nowMs: 100 });
    expect(t.nextLookMs(100)).toBe(3_800);
  });

  it('pauses after a refusal, longer each time, up to a bound', () => {
    const t = turn();
    t.refused(0);
    expect(t.isDue({ ...base, oldestMs: 9_000, nowMs: 59_999 })).toBe(false);
    expect(t.isDue({ ...base, oldestMs: 9_000, nowMs: 60_000 })).toBe(true);
    t.refused(60_000);
    expect(t.isRefused(60_000 + 119_999)).toBe(true);
    t.refused(200_000);
    expect(t.isRefused(200_000 + 199_999)).toBe(true);
    expect(t.isRefused(200_000 + 200_000)).toBe(false);
    t.accepted();
    t.refused(1_000_000);
    expect(t.isRefused(1_060_000)).toBe(false);
  });

  it('comes back soon to a branch that is locked, and does not take it for a refusal', () => {
    const held = turn();
    held.held(1_000);
    expect(held.isRefused(1_000)).toBe(false);
    expect(held.isDue({ ...base, hurry: true, nowMs: 5_999 })).toBe(false);
    expect(held.nextLookMs(5_999)).toBe(1);
    expect(held.isDue({ ...base, hurry: true, nowMs: 6_000 })).toBe(true);
  });
});
