import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { expect, it, onTestFinished } from 'vitest';
import { Sensors } from '../../../src/host/sensors.ts';
import { systemClock } from '../../../src/runtime.ts';
import { smallExt4 } from '../../support/small-file-system.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const run = promisify(execFile);
const sensors = () => new Sensors({ clock: systemClock });

it('reads every sensor of this machine', async () => {
  const path = await temporaryDirectory();
  const reading = await sensors().read([path]);
  expect(reading.failures).toEqual([]);
  expect(reading.cpuPercent).toBeGreaterThanOrEqual(0);
  expect(reading.cpuPercent).toBeLessThanOrEqual(100);
  expect(reading.disks).toMatchObject([{ path, disk: { totalBytes: expect.any(Number) } }]);
});

it('tells the memory that the kernel calls available', async () => {
  const { memory } = await sensors().read([]);
  const meminfo = await readFile('/proc/meminfo', 'utf8');
  const bytesOf = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(meminfo)?.[1]) * 1024;
  expect(memory?.totalBytes).toBe(bytesOf('MemTotal'));
  // Others use memory meanwhile: within a tenth of the machine.
  expect(Math.abs((memory?.availableBytes ?? 0) - bytesOf('MemAvailable'))).toBeLessThan(bytesOf('MemTotal') / 10);
});

it('tells the CPU load since the reading before, not since the machine started', async () => {
  const machine = sensors();
  await machine.read([]);
  // One thread that does nothing but count takes one core for itself.
  const busy = new Worker('for (;;) {}', { eval: true });
  onTestFinished(() => busy.terminate().then(() => undefined));
  await systemClock.sleep(1_000);
  const { cpuPercent } = await machine.read([]);
  expect(cpuPercent).toBeGreaterThan((100 / cpus().length) * 0.6);
});

it('tells how full a disk is as df does', async () => {
  const path = await smallExt4(16);
  await run('dd', ['if=/dev/zero', `of=${join(path, 'ballast')}`, 'bs=1M', 'count=6']);
  await run('sync', ['-f', path]);
  const { disks } = await sensors().readDisks([path]);
  const { stdout } = await run('df', ['--block-size=1', '--output=size,avail,used', path]);
  const [size, avail, used = 0] = stdout.trim().split('\n')[1]?.trim().split(/\s+/).map(Number) ?? [];
  expect(disks[0]?.disk).toMatchObject({ totalBytes: size, freeBytes: avail });
  expect(disks[0]?.disk?.usedPercent).toBeCloseTo((used / (used + (avail ?? 0))) * 100, 6);
  expect(disks[0]?.disk?.inodesUsedPercent).toBeGreaterThan(0);
});

it('gives null and a reason for a path that is not there, and the others all the same', async () => {
  const there = await temporaryDirectory();
  const { disks, failures } = await sensors().readDisks(['/no/such/place', there, '/proc']);
  expect(disks.map(({ disk }) => disk !== null)).toEqual([false, true, false]);
  expect(failures).toEqual([
    { sensor: 'disk:/no/such/place', reason: 'the path is not visible here' },
    { sensor: 'disk:/proc', reason: 'the file system does not say how big it is' },
  ]);
});

it('sees that two paths are on one file system', async () => {
  const path = await temporaryDirectory();
  const small = await smallExt4(8);
  const { disks } = await sensors().readDisks([path, path, small]);
  const [a, b, c] = disks.map(({ disk }) => disk?.deviceId);
  expect(a).toBe(b);
  expect(c).not.toBe(a);
});

it('describes the machine, without what identifies it', async () => {
  const description = await sensors().describe();
  expect(description).toMatchObject({ os: process.platform, arch: process.arch, cores: cpus().length });
  expect(description.kernel).toBe((await readFile('/proc/sys/kernel/osrelease', 'utf8')).trim());
  expect(Object.keys(description).toSorted()).toEqual(['arch', 'cores', 'distribution', 'kernel', 'memoryBytes', 'os']);
});
