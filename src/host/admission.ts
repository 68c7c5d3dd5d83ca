/**
 * May this machine take a task now? Pure: a state and a reading in, a new state and its reasons out.
 *
 * Each resource is open or exceeded. It becomes exceeded above its maximum and opens again at the resume line below
 * that, so that a figure which hovers about the maximum does not make the worker flap. A resource whose sensor is silent
 * keeps its state: silence is neither relief nor alarm.
 */
import type { EventFields, EventName } from '../observe/events.ts';
import { formatMemorySize } from '../task/memory-size.ts';
import type { MachineReading } from './reading.ts';

export interface Thresholds {
  maxCpuPercent: number;
  maxMemoryPercent: number;
  maxDiskPercent: number;
  /** Of the three pressures and the load 0 means that they hold nobody up. */
  maxCpuPressure: number;
  maxMemoryPressure: number;
  maxIoPressure: number;
  maxLoadPerCpu: number;
}

/** `load` is counted in percent too: one process that runs or waits for each processor is 100. */
export type Resource =
  | 'cpu'
  | 'memory'
  | 'disk'
  | 'inodes'
  | 'cpu-pressure'
  | 'memory-pressure'
  | 'io-pressure'
  | 'load';

export interface ExceededLimit {
  resource: Resource;
  /** The path for disk and inodes. */
  path: string | null;
  /** As last read. */
  usedPercent: number;
  maxPercent: number;
  resumePercent: number;
}

export interface AdmissionState {
  readonly exceeded: readonly ExceededLimit[];
}

export interface Transition {
  to: 'exceeded' | 'cleared';
  limit: ExceededLimit;
}

export interface AdmissionDecision {
  state: AdmissionState;
  open: boolean;
  /** Why not, for people; empty when open. */
  reasons: string[];
  transitions: Transition[];
}

export const NOTHING_EXCEEDED: AdmissionState = { exceeded: [] };

const HYSTERESIS_POINTS = 10;

/** Where a resource that was exceeded opens again. For a low maximum it is half of that: ten points less would be never. */
export function resumePercentOf(maxPercent: number): number {
  return Math.max(0, maxPercent - HYSTERESIS_POINTS, maxPercent / 2);
}

export function decideAdmission(
  state: AdmissionState,
  reading: MachineReading,
  thresholds: Thresholds,
): AdmissionDecision {
  const exceeded: ExceededLimit[] = [];
  const transitions: Transition[] = [];
  const gauges = gaugesOf(reading, thresholds);
  for (const gauge of gauges) {
    const before = state.exceeded.find((limit) => isSame(limit, gauge));
    if (gauge.usedPercent === null) {
      if (before) exceeded.push(before);
      continue;
    }
    const limit = { ...gauge, usedPercent: gauge.usedPercent, resumePercent: resumePercentOf(gauge.maxPercent) };
    const isExceeded = limit.usedPercent > (before ? limit.resumePercent : limit.maxPercent);
    if (isExceeded) exceeded.push(limit);
    if (isExceeded !== (before !== undefined)) transitions.push({ to: isExceeded ? 'exceeded' : 'cleared', limit });
  }
  // A path that is no longer watched can hold nobody up.
  for (const limit of state.exceeded) {
    if (!gauges.some((gauge) => isSame(limit, gauge))) transitions.push({ to: 'cleared', limit });
  }
  return { state: { exceeded }, open: exceeded.length === 0, reasons: exceeded.map(explainLimit), transitions };
}

/** The event that tells a transition. */
export function eventOfTransition({ to, limit }: Transition): [name: EventName, fields: EventFields] {
  return [
    to === 'exceeded' ? 'limit.resources' : 'limit.resources-cleared',
    {
      resource: limit.resource,
      ...(limit.path === null ? {} : { path: limit.path }),
      used_percent: oneDecimal(limit.usedPercent),
      max_percent: limit.maxPercent,
      resume_percent: limit.resumePercent,
    },
  ];
}

export interface MemoryRoom {
  /** null: not known. */
  totalBytes: number | null;
  availableBytes: number | null;
  /** Stays free beside what a task may use: for the engine's own processes, the worker, and whatever else runs here. */
  reserveBytes: number;
  /** Limits of tasks whose memory the reading cannot show yet: claimed, or just started. */
  promisedBytes: number;
}

export type MemoryVerdict =
  | { kind: 'fits' }
  /** Not now. */
  | { kind: 'wait'; reason: string }
  /** Not on this machine. */
  | { kind: 'never'; reason: string };

/** Is there memory for a task that may use up to `neededBytes`? */
export function admitMemory(neededBytes: number, room: MemoryRoom): MemoryVerdict {
  const wanted = neededBytes + room.reserveBytes;
  if (room.totalBytes !== null && wanted > room.totalBytes) {
    return {
      kind: 'never',
      reason: `needs ${inMegabytes(neededBytes)}, the whole machine has ${inMegabytes(room.totalBytes)} (${inMegabytes(room.reserveBytes)} stay reserved)`,
    };
  }
  // Two tasks that each fit alone would together drive the machine out of memory; so not knowing means waiting.
  if (room.availableBytes === null) return { kind: 'wait', reason: 'the available memory cannot be read' };
  const free = room.availableBytes - room.promisedBytes;
  if (wanted > free) {
    return {
      kind: 'wait',
      reason: `needs ${inMegabytes(neededBytes)}, ${inMegabytes(Math.max(0, free - room.reserveBytes))} are free now`,
    };
  }
  return { kind: 'fits' };
}

interface Gauge {
  resource: Resource;
  path: string | null;
  usedPercent: number | null;
  maxPercent: number;
}

function gaugesOf(reading: MachineReading, thresholds: Thresholds): Gauge[] {
  return [
    { resource: 'cpu', path: null, usedPercent: reading.cpuPercent, maxPercent: thresholds.maxCpuPercent },
    {
      resource: 'memory',
      path: null,
      usedPercent: reading.memory?.usedPercent ?? null,
      maxPercent: thresholds.maxMemoryPercent,
    },
    ...pressureGauges(reading, thresholds),
    ...reading.disks.flatMap(({ path, disk }): Gauge[] => [
      { resource: 'disk', path, usedPercent: disk?.usedPercent ?? null, maxPercent: thresholds.maxDiskPercent },
      { resource: 'inodes', path, usedPercent: disk?.inodesUsedPercent ?? null, maxPercent: thresholds.maxDiskPercent },
    ]),
  ];
}

/** What is switched off is no gauge at all. */
function pressureGauges({ pressure, loadPerCpu }: MachineReading, thresholds: Thresholds): Gauge[] {
  const percentPerCpu = (load: number): number => load * 100;
  const gauges: [Resource, usedPercent: number | null, maxPercent: number][] = [
    ['cpu-pressure', pressure.cpu, thresholds.maxCpuPressure],
    ['memory-pressure', pressure.memory, thresholds.maxMemoryPressure],
    ['io-pressure', pressure.io, thresholds.maxIoPressure],
    ['load', loadPerCpu === null ? null : percentPerCpu(loadPerCpu), percentPerCpu(thresholds.maxLoadPerCpu)],
  ];
  return gauges
    .filter(([, , maxPercent]) => maxPercent > 0)
    .map(([resource, usedPercent, maxPercent]) => ({ resource, path: null, usedPercent, maxPercent }));
}

function isSame(
  a: { resource: Resource; path: string | null },
  b: { resource: Resource; path: string | null },
): boolean {
  return a.resource === b.resource && a.path === b.path;
}

/** For people, with figures. */
export function explainLimit(limit: ExceededLimit): string {
  const where = limit.path === null ? '' : ` of ${limit.path}`;
  if (limit.resource === 'load') {
    const [used, max, resume] = [limit.usedPercent, limit.maxPercent, limit.resumePercent].map((percent) =>
      (percent / 100).toFixed(2),
    );
    return `load at ${used} a processor, above ${max}, resuming at ${resume}`;
  }
  return `${limit.resource}${where} at ${oneDecimal(limit.usedPercent)} %, above ${limit.maxPercent} %, resuming at ${limit.resumePercent} %`;
}

function oneDecimal(value: number): number {
  return Math.round(value * 10) / 10;
}

function inMegabytes(bytes: number): string {
  return formatMemorySize(Math.floor(bytes / 1024 ** 2) * 1024 ** 2);
}
