/**
 * Reads the machine. In a container too the figures are the host's: memory and CPU come from /proc, which is not
 * divided, and the worker's own limit says nothing about the room that tasks have.
 *
 * A sensor that fails or does not answer in time gives null and a reason, never a guess.
 */
import { readFile, stat, statfs } from 'node:fs/promises';
import { cpus, loadavg, release } from 'node:os';
import { currentLoad, mem } from 'systeminformation';
import type { Clock } from '../runtime.ts';
import { NO_PRESSURE, readPressure } from './pressure.ts';
import type { DiskReading, DiskReadings, MachineDescription, MachineReading, MemoryReading } from './reading.ts';
import { Sensing } from './sensing.ts';

export interface SensorsOptions {
  clock: Clock;
  /** The longest that one sensor may take. */
  deadlineMs?: number;
}

const DEFAULT_DEADLINE_MS = 5_000;
/** The shortest stretch whose CPU load means anything; below 200 ms the library repeats its last answer. */
const CPU_INTERVAL_MS = 250;

export class Sensors {
  readonly #clock: Clock;
  readonly #sensing: Sensing;
  #cpuSampledMs: number | null = null;

  constructor(options: SensorsOptions) {
    this.#clock = options.clock;
    this.#sensing = new Sensing(options.clock, options.deadlineMs ?? DEFAULT_DEADLINE_MS);
  }

  /** Everything at once. The first reading takes a moment longer, to have a stretch of time to measure the CPU over. */
  async read(diskPaths: readonly string[]): Promise<MachineReading> {
    const [cpu, memory, pressure, disks] = await Promise.all([
      this.#sensing.sense('cpu', () => this.#readCpuPercent()),
      this.#sensing.sense('memory', readMemory),
      this.#sensing.sense('pressure', () => readPressure()),
      this.readDisks(diskPaths),
    ]);
    const failures = [cpu.failure, memory.failure, pressure.failure].filter((failure) => failure !== null);
    return {
      cpuPercent: cpu.value,
      memory: memory.value,
      pressure: pressure.value ?? NO_PRESSURE,
      loadPerCpu: loadPerCpu(),
      disks: disks.disks,
      failures: [...failures, ...disks.failures],
    };
  }

  async readDisks(paths: readonly string[]): Promise<DiskReadings> {
    const sensed = await Promise.all(
      paths.map(async (path) => ({ path, ...(await this.#sensing.sense(`disk:${path}`, () => readDisk(path))) })),
    );
    return {
      disks: sensed.map(({ path, value }) => ({ path, disk: value })),
      failures: sensed.map(({ failure }) => failure).filter((failure) => failure !== null),
    };
  }

  async describe(): Promise<MachineDescription> {
    const memory = await this.#sensing.sense('memory', readMemory);
    return {
      os: process.platform,
      arch: process.arch,
      distribution: await readDistribution(),
      // The library starts programs to find out what else it knows of a system, and everything stands still meanwhile.
      kernel: release(),
      cores: cpus().length,
      memoryBytes: memory.value?.totalBytes ?? null,
    };
  }

  async #readCpuPercent(): Promise<number> {
    // The library counts from the sample before; the first time it takes two, half a second apart.
    if (this.#cpuSampledMs !== null) {
      const sinceMs = this.#clock.monotonicMs() - this.#cpuSampledMs;
      await this.#clock.sleep(CPU_INTERVAL_MS - sinceMs);
    }
    const percent = (await currentLoad()).currentLoad;
    this.#cpuSampledMs = this.#clock.monotonicMs();
    if (!Number.isFinite(percent) || percent < 0) throw new Error(`implausible CPU load ${percent}`);
    return Math.min(100, percent);
  }
}

/** null on systems that do not count it, which say 0 for ever. */
function loadPerCpu(): number | null {
  return process.platform === 'win32' ? null : (loadavg()[0] ?? 0) / Math.max(1, cpus().length);
}

/** Name and version, as systemd's os-release tells them; empty where there is none. */
async function readDistribution(): Promise<string> {
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '');
  const value = (key: string): string => new RegExp(`^${key}="?([^"\\n]*)"?$`, 'm').exec(text)?.[1] ?? '';
  return `${value('NAME')} ${value('VERSION_ID')}`.trim();
}

async function readMemory(): Promise<MemoryReading> {
  const { total, available, writeback } = await mem();
  // The library covers up an unreadable /proc/meminfo with figures that count the page cache as used.
  if (process.platform === 'linux' && writeback === null) throw new Error('/proc/meminfo cannot be read');
  if (!(total > 0 && available >= 0 && available <= total)) {
    throw new Error(`implausible memory figures: ${available} of ${total} bytes`);
  }
  return { totalBytes: total, availableBytes: available, usedPercent: percentOf(total - available, total) };
}

async function readDisk(path: string): Promise<DiskReading> {
  const fs = await statfs(path);
  const { dev } = await stat(path);
  // Blocks are counted in the fundamental size; Node before 26 does not tell it apart from the preferred one.
  const blockBytes = (fs as { frsize?: number }).frsize || fs.bsize;
  const used = fs.blocks - fs.bfree;
  if (fs.blocks <= 0) throw new Error('the file system does not say how big it is');
  return {
    deviceId: dev,
    totalBytes: fs.blocks * blockBytes,
    freeBytes: fs.bavail * blockBytes,
    // As `df` does: of what an ordinary user could ever have, so that 100 % is what a write really fails at.
    usedPercent: percentOf(used, used + fs.bavail),
    inodesUsedPercent: fs.files > 0 ? percentOf(fs.files - fs.ffree, fs.files) : null,
    freeInodes: fs.files > 0 ? fs.ffree : null,
  };
}

function percentOf(part: number, total: number): number {
  return total > 0 ? Math.min(100, Math.max(0, (part / total) * 100)) : 100;
}
