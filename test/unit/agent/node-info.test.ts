import { expect, it } from 'vitest';
import { machineLoad, nodeInfoOf } from '../../../src/agent/node-info.ts';
import { NO_PRESSURE } from '../../../src/host/pressure.ts';
import type { MachineReading } from '../../../src/host/reading.ts';
import { readNodeInfo } from '../../../src/pages/node-facts.ts';
import { taskId } from '../../../src/task/id.ts';

const disk = (usedPercent: number) => ({
  deviceId: 1,
  totalBytes: 1,
  freeBytes: 1,
  usedPercent,
  inodesUsedPercent: null,
  freeInodes: null,
});

const READING: MachineReading = {
  cpuPercent: 12.6,
  memory: { totalBytes: 4, availableBytes: 2, usedPercent: 50.4 },
  pressure: NO_PRESSURE,
  loadPerCpu: 0.1,
  disks: [
    { path: '/', disk: disk(30.2) },
    { path: '/data', disk: disk(71.9) },
    { path: '/gone', disk: null },
  ],
  failures: [],
};

it('is read by the pages as it was told', () => {
  const told = nodeInfoOf({
    settings: { nodeName: 'a box', nodeLabels: ['gpu'], maxParallelTasks: 3, followOutput: 'asked' },
    version: '1.2.3',
    running: [{ task: taskId('t1'), attempt: 1 }],
    paused: [{ reason: 'cpu', text: 'busy' }],
    refuses: [{ reason: 'memory', text: 't2 is too large' }],
    quotaLeft: 7,
    reading: READING,
    description: { os: 'linux' },
  });
  expect(readNodeInfo(JSON.parse(JSON.stringify(told)) as Record<string, unknown>)).toEqual({
    name: 'a box',
    version: '1.2.3',
    labels: ['gpu'],
    slots: 3,
    running: ['t1'],
    paused: [{ reason: 'cpu', text: 'busy' }],
    refuses: [{ reason: 'memory', text: 't2 is too large' }],
    cpuPercent: 13,
    memoryPercent: 50,
    diskPercent: 72,
    quotaLeft: 7,
  });
});

it('says nothing of what was not measured', () => {
  const nothing = { cpuPercent: null, memoryPercent: null, diskPercent: null };
  expect(machineLoad(null)).toEqual(nothing);
  expect(machineLoad({ ...READING, cpuPercent: null, memory: null, disks: [{ path: '/', disk: null }] })).toEqual(
    nothing,
  );
});
