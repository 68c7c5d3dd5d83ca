import { mkdir, open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { CleanStep } from '../../../src/executor/executor.ts';
import { decideAdmission, NOTHING_EXCEEDED } from '../../../src/host/admission.ts';
import { Healer } from '../../../src/host/healer.ts';
import { keyOf } from '../../../src/host/healing.ts';
import { Quota } from '../../../src/host/quota.ts';
import { Sensors } from '../../../src/host/sensors.ts';
import { systemClock } from '../../../src/runtime.ts';
import { recordEvents } from '../../support/recorded-events.ts';
import { smallExt4, smallTmpfs } from '../../support/small-file-system.ts';

const MIB = 1024 ** 2;
const thresholds = {
  maxCpuPercent: 100,
  maxMemoryPercent: 100,
  maxDiskPercent: 90,
  maxCpuPressure: 0,
  maxMemoryPressure: 0,
  maxIoPressure: 0,
  maxLoadPerCpu: 0,
};
const STEPS: readonly CleanStep[] = [
  { kind: 'dangling-images' },
  { kind: 'own-image', image: 'one' },
  { kind: 'own-containers' },
];
const sensors = new Sensors({ clock: systemClock });

async function fill(path: string, bytes: number): Promise<void> {
  const file = await open(path, 'w');
  try {
    await file.writeFile(Buffer.alloc(bytes, 1));
    // Only what is allocated counts, and that may come late.
    await file.sync();
  } finally {
    await file.close();
  }
}

it('pauses on a full disk, cleans only as far as needed, and resumes', async () => {
  const disk = await smallExt4(64);
  const { freeBytes = 0 } = (await sensors.readDisks([disk])).disks[0]?.disk ?? {};
  const files: Record<string, string> = {
    'own-containers': join(disk, 'container'),
    'own-image one': join(disk, 'image'),
    'dangling-images': join(disk, 'dangling'),
  };
  await fill(files['own-containers'] ?? '', MIB);
  await fill(files['own-image one'] ?? '', 12 * MIB);
  await fill(files['dangling-images'] ?? '', 2 * MIB);
  await fill(join(disk, 'not-ours'), Math.floor(freeBytes * 0.95) - 15 * MIB);

  const full = decideAdmission(NOTHING_EXCEEDED, await sensors.read([disk]), thresholds);
  expect(full.open).toBe(false);
  expect(full.transitions).toMatchObject([{ to: 'exceeded', limit: { resource: 'disk', path: disk } }]);

  const events = recordEvents();
  const healer = new Healer({
    clock: systemClock,
    emit: events.emit,
    policy: { pruneDanglingImages: true, pruneBuildCache: true },
    maxDiskPercent: thresholds.maxDiskPercent,
    readDisks: async () => (await sensors.readDisks([disk])).disks,
    sources: [
      {
        name: 'files',
        survey: async () => STEPS.map((step) => ({ step, path: disk, bytes: null, inodes: null, isLastResort: false })),
      },
    ],
    carryOut: async (step) => {
      await rm(files[keyOf(step)] ?? '');
      return [step.kind];
    },
  });
  const report = await healer.heal();
  expect(report).toMatchObject({ outcome: 'enough-free', steps: ['own-containers', 'own-image one'] });
  expect(report.freedBytes).toBeGreaterThanOrEqual(13 * MIB);
  expect(report.freedBytes).toBeLessThan(14 * MIB);
  expect(events.all.map(({ name }) => name)).toEqual(['cleanup.completed', 'cleanup.completed', 'cleanup.ended']);

  const after = decideAdmission(full.state, await sensors.read([disk]), thresholds);
  expect(after).toMatchObject({ open: true, transitions: [{ to: 'cleared' }] });
});

it('pauses when the inodes run out, however many bytes are free', async () => {
  const disk = await smallTmpfs(64, 100);
  for (let n = 0; n < 95; n++) await writeFile(join(disk, `${n}`), '');
  const decision = decideAdmission(NOTHING_EXCEEDED, await sensors.read([disk]), thresholds);
  expect(decision.transitions).toMatchObject([{ to: 'exceeded', limit: { resource: 'inodes', path: disk } }]);
});

it('grants no task whose count a full disk does not take, and keeps the old count', async () => {
  const disk = await smallTmpfs(1, 100);
  const stateDir = join(disk, 'state');
  await mkdir(stateDir);
  const options = { path: join(stateDir, 'quota.json'), maxPerHour: 5, clock: systemClock, emit: recordEvents().emit };
  const quota = await Quota.open(options);
  expect(await quota.take(2)).toBe(2);
  await expect(fill(join(disk, 'ballast'), 2 * MIB)).rejects.toMatchObject({ code: 'ENOSPC' });
  await expect(quota.take(1)).rejects.toMatchObject({ kind: 'unwritable', cause: { code: 'ENOSPC' } });
  expect((await Quota.open(options)).left()).toBe(3);
  await rm(join(disk, 'ballast'));
  expect(await quota.take(3)).toBe(3);
});
