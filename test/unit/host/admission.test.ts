import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type AdmissionState,
  admitMemory,
  decideAdmission,
  eventOfTransition,
  NOTHING_EXCEEDED,
  resumePercentOf,
} from '../../../src/host/admission.ts';
import { NO_PRESSURE, type PressureReading } from '../../../src/host/pressure.ts';
import type { MachineReading } from '../../../src/host/reading.ts';

const thresholds = {
  maxCpuPercent: 80,
  maxMemoryPercent: 80,
  maxDiskPercent: 90,
  maxCpuPressure: 0,
  maxMemoryPressure: 0,
  maxIoPressure: 0,
  maxLoadPerCpu: 0,
};

function reading(figures: { cpu?: number | null; memory?: number | null; disk?: number | null; inodes?: number }) {
  const { cpu = 0, memory = 0, disk = 0, inodes } = figures;
  return {
    cpuPercent: cpu,
    memory: memory === null ? null : { totalBytes: 100, availableBytes: 100 - memory, usedPercent: memory },
    pressure: NO_PRESSURE,
    loadPerCpu: null,
    disks: [
      {
        path: '/data',
        disk:
          disk === null
            ? null
            : {
                deviceId: 1,
                totalBytes: 100,
                freeBytes: 100 - disk,
                usedPercent: disk,
                inodesUsedPercent: inodes ?? null,
                freeInodes: null,
              },
      },
    ],
    failures: [],
  } satisfies MachineReading;
}

/** Feeds readings one after the other. */
function run(readings: MachineReading[], limits = thresholds) {
  let state: AdmissionState = NOTHING_EXCEEDED;
  return readings.map((next) => {
    const decision = decideAdmission(state, next, limits);
    state = decision.state;
    return decision;
  });
}

describe('decideAdmission', () => {
  it('pauses above the maximum and resumes at the line below', () => {
    const decisions = run([80, 80.1, 79, 70.1, 70, 80, 81].map((cpu) => reading({ cpu })));
    expect(decisions.map(({ open }) => open)).toEqual([true, false, false, false, true, true, false]);
    expect(decisions.map(({ transitions }) => transitions.map(({ to }) => to).join())).toEqual([
      '',
      'exceeded',
      '',
      '',
      'cleared',
      '',
      'exceeded',
    ]);
  });

  it('names every resource that holds it up', () => {
    const [decision] = run([reading({ cpu: 95, memory: 85.25, disk: 91, inodes: 99 })]);
    expect(decision?.reasons).toEqual([
      'cpu at 95 %, above 80 %, resuming at 70 %',
      'memory at 85.3 %, above 80 %, resuming at 70 %',
      'disk of /data at 91 %, above 90 %, resuming at 80 %',
      'inodes of /data at 99 %, above 90 %, resuming at 80 %',
    ]);
    expect(decision?.transitions).toHaveLength(4);
  });

  it('keeps its state while a sensor is silent', () => {
    const decisions = run([
      reading({ cpu: null, memory: null, disk: null }),
      reading({ disk: 95 }),
      reading({ disk: null }),
      reading({ disk: 10 }),
    ]);
    expect(decisions.map(({ open }) => open)).toEqual([true, false, false, true]);
  });

  it('is not held up by a path that nobody watches any more', () => {
    const decisions = run([reading({ disk: 95 }), { ...reading({}), disks: [] }]);
    expect(decisions[1]).toMatchObject({
      open: true,
      transitions: [{ to: 'cleared', limit: { resource: 'disk', path: '/data' } }],
    });
  });

  it('never flaps within the band', () => {
    const max = fc.integer({ min: 1, max: 100 });
    fc.assert(
      fc.property(max, fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 30 }), (maxPercent, steps) => {
        const resume = resumePercentOf(maxPercent);
        const band = steps.map((step) => reading({ cpu: resume + 1e-6 + step * (maxPercent - resume - 1e-6) }));
        const limits = { ...thresholds, maxCpuPercent: maxPercent };
        for (const start of [0, 100.1]) {
          const [, ...decisions] = run([reading({ cpu: start }), ...band], limits);
          for (const { open, transitions } of decisions) {
            expect(open).toBe(start === 0);
            expect(transitions).toEqual([]);
          }
        }
      }),
    );
  });

  it('tells exceeded and cleared in turns, and exactly when the answer changes', () => {
    fc.assert(
      fc.property(fc.array(fc.option(fc.integer({ min: 0, max: 100 })), { maxLength: 60 }), (loads) => {
        let wasOpen = true;
        for (const { open, transitions } of run(loads.map((cpu) => reading({ cpu })))) {
          expect(transitions.map(({ to }) => to)).toEqual(open === wasOpen ? [] : [open ? 'cleared' : 'exceeded']);
          wasOpen = open;
        }
      }),
    );
  });

  it('always has a line to resume at, below the maximum and not below zero', () => {
    expect([90, 80, 20, 10, 5, 0].map(resumePercentOf)).toEqual([80, 70, 10, 5, 2.5, 0]);
  });

  it('makes events of transitions', () => {
    const [up, down] = run([reading({ disk: 93.456 }), reading({ disk: 79 })]);
    expect(up?.transitions.map(eventOfTransition)).toEqual([
      ['limit.resources', { resource: 'disk', path: '/data', used_percent: 93.5, max_percent: 90, resume_percent: 80 }],
    ]);
    expect(down?.transitions.map(eventOfTransition)).toEqual([
      [
        'limit.resources-cleared',
        { resource: 'disk', path: '/data', used_percent: 79, max_percent: 90, resume_percent: 80 },
      ],
    ]);
  });
});

describe('admitMemory', () => {
  const MIB = 1024 ** 2;
  const room = { totalBytes: 1024 * MIB, availableBytes: 600 * MIB, reserveBytes: 64 * MIB, promisedBytes: 0 };

  it('lets a task in up to what is free, less the reserve', () => {
    expect(admitMemory(536 * MIB, room)).toEqual({ kind: 'fits' });
    expect(admitMemory(536 * MIB + 1, room)).toMatchObject({ kind: 'wait', reason: 'needs 536m, 536m are free now' });
  });

  it('counts what was promised to tasks that are only starting', () => {
    expect(admitMemory(400 * MIB, { ...room, promisedBytes: 200 * MIB })).toMatchObject({ kind: 'wait' });
  });

  it('turns away for good only what the whole machine could not hold', () => {
    expect(admitMemory(960 * MIB, room)).toMatchObject({ kind: 'wait' });
    expect(admitMemory(961 * MIB, room)).toEqual({
      kind: 'never',
      reason: 'needs 961m, the whole machine has 1g (64m stay reserved)',
    });
  });

  it('waits rather than guess', () => {
    expect(admitMemory(1, { ...room, totalBytes: null, availableBytes: null })).toMatchObject({ kind: 'wait' });
  });

  it('never lets in more than there is, however many come', () => {
    const need = fc.integer({ min: 1, max: 700 });
    fc.assert(
      fc.property(fc.array(need, { maxLength: 20 }), fc.integer({ min: 0, max: 1024 }), (needs, availableMib) => {
        let promisedBytes = 0;
        for (const mib of needs) {
          const verdict = admitMemory(mib * MIB, { ...room, availableBytes: availableMib * MIB, promisedBytes });
          if (verdict.kind === 'fits') promisedBytes += mib * MIB;
        }
        expect(promisedBytes).toBeLessThanOrEqual(Math.max(0, availableMib - 64) * MIB);
      }),
    );
  });
});

describe('pressure and load', () => {
  const limits = { ...thresholds, maxCpuPressure: 60, maxMemoryPressure: 40, maxIoPressure: 0, maxLoadPerCpu: 1.5 };
  const pressed = (pressure: Partial<PressureReading>, loadPerCpu: number | null = null): MachineReading => {
    return { ...reading({}), pressure: { ...NO_PRESSURE, ...pressure }, loadPerCpu };
  };
  const resources = (state: AdmissionState): string[] => state.exceeded.map(({ resource }) => resource);

  it('pause above their maximum, and not where they are switched off', () => {
    const decision = decideAdmission(NOTHING_EXCEEDED, pressed({ cpu: 70, memory: 41, io: 100 }, 2), limits);
    expect(resources(decision.state)).toEqual(['cpu-pressure', 'memory-pressure', 'load']);
    expect(decision.reasons).toEqual([
      'cpu-pressure at 70 %, above 60 %, resuming at 50 %',
      'memory-pressure at 41 %, above 40 %, resuming at 30 %',
      'load at 2.00 a processor, above 1.50, resuming at 1.40',
    ]);
    expect(decideAdmission(decision.state, pressed({ cpu: 51, memory: 29 }, 1.41), limits).reasons).toHaveLength(2);
    expect(decideAdmission(decision.state, pressed({ cpu: 50, memory: 30 }, 1.4), limits).open).toBe(true);
  });

  it('pause nothing where the kernel does not count them', () => {
    expect(decideAdmission(NOTHING_EXCEEDED, pressed({}), limits)).toMatchObject({ open: true, transitions: [] });
  });
});
