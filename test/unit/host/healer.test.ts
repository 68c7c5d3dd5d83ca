import { describe, expect, it } from 'vitest';
import { Healer, type HealerOptions } from '../../../src/host/healer.ts';
import { type HealingCandidate, type HealingStep, keyOf } from '../../../src/host/healing.ts';
import type { DiskSlot } from '../../../src/host/reading.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { recordEvents } from '../../support/recorded-events.ts';

const STEPS: readonly HealingStep[] = [
  { kind: 'own-containers' },
  { kind: 'own-image', image: 'a' },
  { kind: 'own-image', image: 'b' },
  { kind: 'build-cache' },
];

const candidate = (step: HealingStep): HealingCandidate => {
  return { step, path: '/engine', bytes: null, inodes: null, isLastResort: false };
};

/** A disk of 1000 bytes, of which each step frees some. */
function setUp(frees: Record<string, number>, over: Partial<HealerOptions> = {}) {
  const state = { used: 950 };
  const events = recordEvents();
  const clock = new ManualClock();
  const look = (path: string): DiskSlot => ({
    path,
    disk: {
      deviceId: 7,
      totalBytes: 1000,
      freeBytes: 1000 - state.used,
      usedPercent: state.used / 10,
      inodesUsedPercent: null,
      freeInodes: null,
    },
  });
  const healer = new Healer({
    clock,
    emit: events.emit,
    policy: { pruneDanglingImages: true, pruneBuildCache: true },
    maxDiskPercent: 90,
    stepTimeoutMs: 1000,
    sources: [{ name: 'the engine', survey: async () => STEPS.map(candidate) }],
    // Two paths on one file system, to be counted once.
    readDisks: async () => [look('/clone'), look('/engine')],
    carryOut: async (step) => {
      const freed = frees[keyOf(step)] ?? 0;
      state.used -= freed;
      return freed ? ['x', 'y'] : [];
    },
    ...over,
  });
  return { healer, events, clock, state };
}

describe('Healer', () => {
  it('stops as soon as enough is free, and tells what it measured', async () => {
    const { healer, events } = setUp({ 'own-image a': 200, 'build-cache': 500 });
    await expect(healer.heal()).resolves.toEqual({
      outcome: 'enough-free',
      steps: ['own-containers', 'own-image a'],
      freedBytes: 200,
    });
    expect(events.named('cleanup.completed')).toMatchObject([
      { step: 'own-containers', removed: 0, freed_bytes: 0 },
      {
        step: 'own-image',
        image: 'a',
        removed: 2,
        estimated_bytes: null,
        freed_bytes: 200,
        disks: [
          {
            path: '/clone',
            free_bytes_before: 50,
            free_bytes_after: 250,
            used_percent_before: 95,
            used_percent_after: 75,
          },
          { path: '/engine', free_bytes_before: 50, free_bytes_after: 250 },
        ],
      },
    ]);
    expect(events.named('cleanup.ended')).toMatchObject([{ outcome: 'enough-free', freed_bytes: 200 }]);
    await healer.heal();
    expect(events.named('cleanup.ended')).toHaveLength(1);
  });

  it('tells also that there is nothing to remove', async () => {
    const { healer, events } = setUp({}, { sources: [] });
    await expect(healer.heal()).resolves.toMatchObject({ outcome: 'nothing-left', steps: [] });
    expect(events.named('cleanup.ended')).toMatchObject([{ outcome: 'nothing-left', freed_bytes: 0 }]);
  });

  it('surveys nothing while there is room, and again after what may have held something else', async () => {
    let surveys = 0;
    const sources = [
      {
        name: 'the engine',
        survey: async () => {
          surveys += 1;
          // The image is free only once the containers are gone.
          return (surveys === 1 ? STEPS.slice(0, 1) : STEPS.slice(0, 2)).map(candidate);
        },
      },
    ];
    const { healer, state } = setUp({ 'own-containers': 10, 'own-image a': 200 }, { sources });
    state.used = 100;
    await expect(healer.heal()).resolves.toMatchObject({ outcome: 'enough-free', steps: [] });
    expect(surveys).toBe(0);
    state.used = 950;
    await expect(healer.heal()).resolves.toMatchObject({
      outcome: 'enough-free',
      steps: ['own-containers', 'own-image a'],
    });
    expect(surveys).toBe(2);
  });

  it('leaves what freed nothing alone for a while', async () => {
    const { healer, clock } = setUp({ 'own-image a': 20 });
    const all = STEPS.map(keyOf);
    await expect(healer.heal()).resolves.toMatchObject({ outcome: 'nothing-left', steps: all, freedBytes: 20 });
    await expect(healer.heal()).resolves.toMatchObject({ steps: ['own-image a'] });
    clock.advance(30 * 60_000);
    await expect(healer.heal()).resolves.toMatchObject({ steps: all });
  });

  it('does not fetch the clone anew again and again, however much that frees', async () => {
    const sources = [{ name: 'own files', survey: async () => [candidate({ kind: 'clone-renewal' })] }];
    const { healer, clock, events } = setUp({ 'clone-renewal': 20 }, { sources });
    await healer.heal();
    clock.advance(3_600_000);
    await expect(healer.heal()).resolves.toMatchObject({ steps: [] });
    clock.advance(5 * 3_600_000);
    await expect(healer.heal()).resolves.toMatchObject({ steps: ['clone-renewal'] });
    expect(events.named('cleanup.files-completed')).toHaveLength(2);
  });

  it('does not pack the clone anew all the time', async () => {
    const sources = [{ name: 'own files', survey: async () => [candidate({ kind: 'clone-upkeep' })] }];
    const { healer, clock } = setUp({ 'clone-upkeep': 1 }, { sources });
    await expect(healer.heal()).resolves.toMatchObject({ steps: ['clone-upkeep'], freedBytes: 1 });
    clock.advance(5 * 60_000);
    await expect(healer.heal()).resolves.toMatchObject({ steps: [] });
    clock.advance(25 * 60_000);
    await expect(healer.heal()).resolves.toMatchObject({ steps: ['clone-upkeep'] });
  });

  it('goes on when a place cannot be looked through', async () => {
    const failure = new Error('no engine');
    const sources = [
      { name: 'the engine', survey: () => Promise.reject(failure) },
      { name: 'own files', survey: async () => [candidate({ kind: 'leftovers' })] },
    ];
    const { healer, events } = setUp({ leftovers: 900 }, { sources });
    await expect(healer.heal()).resolves.toMatchObject({ outcome: 'enough-free', steps: ['leftovers'] });
    expect(events.named('cleanup.failed')).toEqual([{ source: 'the engine', err: failure }]);
  });

  it('tells a loss as a loss when others wrote meanwhile', async () => {
    const { healer, events } = setUp({ 'own-containers': -30 });
    await expect(healer.heal()).resolves.toMatchObject({ outcome: 'nothing-left', freedBytes: -30 });
    expect(events.named('cleanup.completed')[0]).toMatchObject({ freed_bytes: -30 });
  });

  it('goes on after a step that failed', async () => {
    const failure = new Error('no such engine');
    const { healer, events } = setUp({}, { carryOut: () => Promise.reject(failure) });
    await expect(healer.heal()).resolves.toMatchObject({ outcome: 'nothing-left', freedBytes: 0 });
    expect(events.named('cleanup.failed')).toHaveLength(4);
    expect(events.named('cleanup.failed')[1]).toEqual({ step: 'own-image', image: 'a', err: failure });
  });

  it('does not wait for a step that hangs', async () => {
    const started = Promise.withResolvers<AbortSignal>();
    const { healer, events, clock } = setUp(
      {},
      {
        carryOut: (step, signal) => {
          if (step.kind !== 'own-containers') return Promise.resolve([]);
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

  it('begins nothing more when its time is up', async () => {
    const { healer, clock } = setUp(
      {},
      {
        runTimeoutMs: 500,
        carryOut: async () => {
          clock.advance(300);
          return [];
        },
      },
    );
    await expect(healer.heal()).resolves.toMatchObject({
      outcome: 'interrupted',
      steps: ['own-containers', 'own-image a'],
    });
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
        carryOut: () => {
          caller.abort();
          return Promise.resolve([]);
        },
      },
    );
    await expect(healer.heal(caller.signal)).resolves.toMatchObject({
      outcome: 'interrupted',
      steps: ['own-containers'],
    });
  });

  it('runs once for calls that overlap, and again afterwards', async () => {
    const { healer, events } = setUp({ 'own-image a': 1, 'own-image b': 1 });
    const [first, second] = await Promise.all([healer.heal(), healer.heal()]);
    expect(second).toBe(first);
    expect(events.named('cleanup.ended')).toHaveLength(1);
    await healer.heal();
    expect(events.named('cleanup.ended')).toHaveLength(2);
  });
});
