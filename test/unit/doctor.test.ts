import { describe, expect, it } from 'vitest';
import { judgeCapabilities } from '../../src/doctor/capabilities.ts';
import { checkLimits, judgeSockets } from '../../src/doctor/engine.ts';
import { checkHours, checkWeight, judgePressure } from '../../src/doctor/governance.ts';
import { judgeListing, judgeNodes } from '../../src/doctor/repository.ts';
import { judgeBranch, judgeIndependence, judgeRepeated, judgeSteps } from '../../src/doctor/swaps.ts';
import type { EngineInfo } from '../../src/executor/executor.ts';
import type { FetchCapabilities } from '../../src/git/capabilities.ts';
import { oid, refName } from '../../src/git/oid.ts';
import { NO_PRESSURE } from '../../src/host/pressure.ts';
import { systemClock } from '../../src/runtime.ts';
import { testSettings } from '../support/memory-grid.ts';

const FETCH: FetchCapabilities = { protocol: 2, format: 'sha1', shallow: true, filter: true, agent: 'git/2.39.5' };
const PUSH = new Set(['report-status', 'report-status-v2', 'delete-refs', 'atomic']);
const capabilities = (fetch: Partial<FetchCapabilities> | null, push: ReadonlySet<string> | null = PUSH) => [
  ...judgeCapabilities({ fetch: fetch && { ...FETCH, ...fetch }, push }, { useShallowClone: true }),
];
const outcomes = (results: readonly { check: string; outcome: string }[]): Record<string, string> =>
  Object.fromEntries(results.map(({ check, outcome }) => [check, outcome]));

describe('what a server offers', () => {
  it('is all well with git as it comes', () => {
    expect(new Set(Object.values(outcomes(capabilities({}))))).toEqual(new Set(['ok']));
  });

  it('is less with an old protocol, without shallow clones, without filters', () => {
    expect(outcomes(capabilities({ protocol: 0 }))).toMatchObject({ protocol: 'warning', pushes: 'ok' });
    expect(outcomes(capabilities({ shallow: false }))['shallow clones']).toBe('warning');
    // Nothing needs them.
    expect(outcomes(capabilities({ filter: false }))['partial clones']).toBe('ok');
  });

  it('is too little when pushes are not answered, ref by ref, or cannot delete', () => {
    expect(outcomes(capabilities({}, null))['pushes']).toBe('broken');
    expect(outcomes(capabilities({}, new Set(['report-status'])))['pushes']).toBe('broken');
    expect(outcomes(capabilities({}, new Set(['report-status-v2', 'delete-refs'])))['pushes']).toBe('ok');
    expect(outcomes(capabilities(null))['protocol']).toBe('warning');
  });

  it('has a remedy wherever it is not well', () => {
    const bad = [...capabilities({ protocol: 1, shallow: false }, null), ...capabilities(null, new Set())];
    for (const { check, outcome, remedy } of bad) if (outcome !== 'ok') expect(remedy, check).not.toBeNull();
  });
});

describe('an engine', () => {
  const engine = {
    name: 'Engine',
    version: '1',
    cgroupVersion: '2',
    weighsCpus: true,
    missingLimits: [],
    dataRoot: null,
    cpus: 1,
    memoryBytes: 1,
  } as const;

  it.each([
    ['1.41', 'warning'],
    ['1.42', 'ok'],
    ['1.100', 'ok'],
    ['2.0', 'ok'],
    ['unknown', 'warning'],
  ] as const)('of API version %s: sockets that lead past the network are a %s', (apiVersion, outcome) => {
    const result = judgeSockets({ ...engine, apiVersion });
    expect(result.outcome).toBe(outcome);
    if (outcome === 'warning') expect(result.remedy).toContain('AF_VSOCK');
  });
});

describe('a listing', () => {
  const refs = (count: number) =>
    new Map(
      Array.from({ length: count }, (_, at) => [refName(`refs/dgrid/nodes/n${at}`), oid('1'.repeat(40))] as const),
    );

  it('is told with what it costs, and warned of when that is much', () => {
    expect(judgeListing(refs(100), 10_000)).toMatchObject({
      outcome: 'ok',
      finding: expect.stringContaining('100 refs'),
    });
    const many = judgeListing(refs(5_000), 10_000);
    expect(many.outcome).toBe('warning');
    expect(many.remedy).toContain('5000 of them are below refs/dgrid/nodes');
  });

  it('of nodes counts those that will not come back', () => {
    expect(judgeNodes({ alive: 3, gone: 4, unreadable: [] }, 'refs/dgrid').outcome).toBe('ok');
    expect(judgeNodes({ alive: 3, gone: 60, unreadable: [] }, 'refs/dgrid')).toMatchObject({ outcome: 'warning' });
    const strange = judgeNodes({ alive: 3, gone: 0, unreadable: ['x'] }, 'refs/dgrid');
    expect(strange).toMatchObject({ outcome: 'warning', remedy: expect.stringContaining('refs/dgrid/nodes/x') });
  });
});

describe('swaps', () => {
  const applied = { kind: 'applied' } as const;
  const rejected = { kind: 'rejected', reason: 'stale info' } as const;
  const refused = { kind: 'refused', reason: 'deletion prohibited' } as const;

  it('are right only when each step ends as it must', () => {
    const good = { name: 'create', got: applied, expected: 'applied' } as const;
    expect(judgeSteps([good], 'refs/dgrid').outcome).toBe('ok');
    const lax = judgeSteps([good, { name: 'create what exists', got: applied, expected: 'rejected' }], 'refs/dgrid');
    expect(lax).toMatchObject({ outcome: 'broken', finding: expect.stringContaining('create what exists: applied') });
    const kept = judgeSteps([good, { name: 'delete', got: refused, expected: 'applied' }], 'refs/heads/dgrid');
    expect(kept.remedy).toContain('receive.denyDeletes');
  });

  it('must not believe a repeated push, and are best answered one by one', () => {
    expect(judgeRepeated({ kind: 'unclear', reason: '' }).outcome).toBe('ok');
    expect(judgeRepeated(rejected).outcome).toBe('ok');
    expect(judgeRepeated(applied).outcome).toBe('broken');
    expect(judgeIndependence({ conflict: 'rejected', other: 'applied' }).outcome).toBe('ok');
    expect(judgeIndependence({ conflict: 'refused', other: 'refused' }).outcome).toBe('warning');
    expect(judgeIndependence({ conflict: 'applied', other: 'applied' }).outcome).toBe('broken');
  });

  it('of the branch say what they cannot know', () => {
    expect(judgeBranch(rejected, refName('refs/heads/main'))).toMatchObject({
      outcome: 'ok',
      finding: expect.stringContaining('shows with the first result'),
    });
    expect(judgeBranch(refused, refName('refs/heads/main')).outcome).toBe('warning');
  });
});

describe('what the machine has to keep itself well', () => {
  const settings = testSettings('/state', 'box', { maxMemoryPressure: 40 });
  const info: EngineInfo = {
    name: 'engine',
    version: '1',
    apiVersion: '1',
    cgroupVersion: '2',
    weighsCpus: true,
    missingLimits: [],
    dataRoot: null,
    cpus: 2,
    memoryBytes: 1,
  };

  it('tells pressure, and that a kernel does not count it', () => {
    expect(judgePressure(NO_PRESSURE, settings)).toMatchObject({
      outcome: 'ok',
      finding: expect.stringContaining('not counted'),
    });
    expect(judgePressure({ cpu: 90, memory: 5, io: null }, settings)).toMatchObject({
      outcome: 'ok',
      finding: 'processors 90.0 % (not looked at), memory 5.0 % (pauses above 40 %), disks not counted',
    });
    expect(judgePressure({ cpu: 0, memory: 41, io: 0 }, settings)).toMatchObject({ outcome: 'warning' });
  });

  it('tells whether weights take effect', () => {
    expect(checkWeight(settings, info)).toMatchObject({
      outcome: 'ok',
      finding: expect.stringMatching(/^512 shares.*cpu\.weight/),
    });
    expect(checkWeight(settings, { ...info, cgroupVersion: '1', weighsCpus: null }).finding).toContain('cpu.shares');
    expect(checkWeight(settings, { ...info, weighsCpus: false })).toMatchObject({ outcome: 'warning' });
  });

  it('tells the hours, where there are any', () => {
    const at = (hour: number) => () => ({ day: 2, minute: hour * 60 });
    expect(checkHours(settings, systemClock)).toBeNull();
    const hours = { ...settings, activeHours: [{ days: null, from: 22 * 60, until: 6 * 60 }] };
    expect(checkHours(hours, systemClock, at(23))).toMatchObject({
      outcome: 'ok',
      finding: '22:00-06:00: at Tue 23:00 the worker takes tasks',
    });
    expect(checkHours(hours, systemClock, at(12))).toMatchObject({ outcome: 'warning' });
  });
});

describe('what an engine can limit', () => {
  const settings = testSettings('/nowhere', 'a');
  const engine: EngineInfo = {
    name: 'Engine',
    version: '1',
    apiVersion: '1',
    cgroupVersion: '1',
    dataRoot: null,
    cpus: 64,
    memoryBytes: 2 ** 40,
    missingLimits: [],
    weighsCpus: true,
  };
  const judged = (missingLimits: EngineInfo['missingLimits'], allowUnlimitedTasks = false) => [
    ...checkLimits({ ...settings, docker: { ...settings.docker, allowUnlimitedTasks } }, { ...engine, missingLimits }),
  ];

  it('is everything, or nothing is claimed, unless the operator accepts that', () => {
    expect(judged([])).toMatchObject([{ check: 'limits', outcome: 'ok' }]);
    const [refused, ...more] = judged(['memory', 'pids']);
    expect(more).toEqual([]);
    expect(refused).toMatchObject({ outcome: 'broken', finding: expect.stringContaining('memory, pids') });
    expect(refused?.remedy).toContain('ALLOW_UNLIMITED_TASKS=true');
    expect(judged(['memory'], true)).toMatchObject([{ outcome: 'warning' }]);
  });
});
