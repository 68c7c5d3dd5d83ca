import { describe, expect, it } from 'vitest';
import type { CleanStep } from '../../../src/executor/executor.ts';
import { Healer, type HealerOptions } from '../../../src/host/healer.ts';
import type { DiskSlot } from '../../../src/host/reading.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { recordEvents } from '../../support/recorded-events.ts';

/** An engine that frees so many bytes of a disk of 1000 with each step. */
function setUp(frees: Partial<Record<CleanStep['kind'], number>>, over: Partial<HealerOptions> = {}) {
  let used = 950;
  const events = recordEvents();
  const clock = new ManualClock();
  const look = (path: string): DiskSlot => ({
    path,
    disk: { deviceId: 7, totalBytes: 1000, freeBytes: 1000 - used, usedPercent: used / 10, inodesUsedPercent: null },
  });
  const healer = new Healer({
    clock,
    emit: events.emit,
    policy: { pruneDanglingImages: true, pruneBuildCache: true },
    maxDiskPercent: 90,
    stepTimeoutMs: 1000,
    // Two paths on one file system, to be counted once.
    readDisks: async () => [look('/clone'), look('/engine')],
    clean: async (step) => {
      used -= frees[step.kind] ?? 0;
      return { step: step.kind, removed: frees[step.kind] ? ['a', 'b'] : [] };
    },
    ...over,
  });
  return { healer, events, clock };
}

describe('Healer', () => {
  it('stops as soon as enough is free, and tells what it measured', async () => {
    const { healer, events } = setUp({ 'own-images': 200, 'build-cache': 500 });
    await expect(healer.heal()).resolves.toEqual({
      outcome: 'enough-free',
      steps: ['own-containers', 'own-images'],
      freedBytes: 200,
    });
    expect(events.all).toHaveLength(2);
    expect(events.named('cleanup.completed')).toEqual([
      expect.objectContaining({ step: 'own-containers', removed: 0, freed_bytes: 0 }),
      {
        step: 'own-images',
        removed: 2,
        freed_bytes: 200,
        disks: [
          { path: '/clone', free_bytes_before: 50, free_bytes_after: 250 },
          { path: '/engine', free_bytes_before: 50, free_bytes_after: 250 },
        ],
      },
    ]);
  });

  it('tells a loss as a loss when others wrote meanwhile', async () => {
    const { healer, events } = setUp({ 'own-containers': -30 });
    await expect(healer.heal()).resolves.toMatchObject({ outcome: 'nothing-left', freedBytes: -30 });
    expect(events.named('cleanup.completed')[0]).toMatchObject({ freed_bytes: -30 });
  });

  it('goes on after a step that failed', async () => {
    const failure = new Error('no such engine');
    const { healer, events } = setUp({}, { clean: () => Promise.reject(failure) });
    await expect(healer.heal()).resolves.toMatchObject({ outcome: 'nothing-left', freedBytes: 0 });
    expect(events.named('cleanup.failed')).toHaveLength(4);
    expect(events.named('cleanup.failed')[0]).toEqual({ step: 'own-containers', err: failure });
  });

  it('does not wait for a step that hangs', async () => {
    const started = Promise.withResolvers<AbortSignal>();
    const { healer, events, clock } = setUp(
      {},
      {
        policy: { pruneDanglingImages: false, pruneBuildCache: false },
        clean: (step, signal) => {
          if (step.kind !== 'own-containers') return Promise.resolve({ step: step.kind, removed: [] });
          started.resolve(signal);
          return new Promise(() => undefined);
        },
      },
    );
    const healing = healer.heal();
    const signal = await started.promise;
    clock.advance(1000);
    await expect(healing).resolves.toMatchObject({ outcome: 'nothing-left' });
    expect(signal.aborted).toBe(true);
    expect(events.named('cleanup.failed')).toEqual([
      { step: 'own-containers', err: expect.objectContaining({ kind: 'deadline' }) },
    ]);
  });

  it('never throws, not even when the disk cannot be read', async () => {
    const { healer, events } = setUp({}, { readDisks: () => Promise.reject(new Error('gone')) });
    await expect(healer.heal()).resolves.toEqual({ outcome: 'interrupted', steps: [], freedBytes: null });
    expect(events.named('cleanup.failed')).toHaveLength(1);
  });

  it('stops between two steps when told to', async () => {
    const caller = new AbortController();
    const { healer } = setUp(
      {},
      {
        clean: (step) => {
          caller.abort();
          return Promise.resolve({ step: step.kind, removed: [] });
        },
      },
    );
    await expect(healer.heal(caller.signal)).resolves.toMatchObject({
      outcome: 'interrupted',
      steps: ['own-containers'],
    });
  });

  it('runs once for calls that overlap, and again afterwards', async () => {
    const { healer, events } = setUp({});
    const [first, second] = await Promise.all([healer.heal(), healer.heal()]);
    expect(second).toBe(first);
    expect(events.all).toHaveLength(4);
    await healer.heal();
    expect(events.all).toHaveLength(8);
  });
});
