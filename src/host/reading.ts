import type { PressureReading } from './pressure.ts';

/** What the sensors say of the machine. null always means: not known now, and `failures` says why. */
export interface MemoryReading {
  totalBytes: number;
  /** What a new process could get without swapping. */
  availableBytes: number;
  usedPercent: number;
}

export interface DiskReading {
  /** Equal for two paths on the same file system. */
  deviceId: number;
  totalBytes: number;
  /** Free for an ordinary user, without what the file system keeps for root. */
  freeBytes: number;
  usedPercent: number;
  /** null where the file system makes inodes as needed. */
  inodesUsedPercent: number | null;
  /** Files and directories that can still be made; null there too. */
  freeInodes: number | null;
}

export interface DiskSlot {
  path: string;
  disk: DiskReading | null;
}

export interface SensorFailure {
  /** `cpu`, `memory`, `pressure`, or `disk:<path>`. */
  sensor: string;
  reason: string;
}

export interface DiskReadings {
  disks: readonly DiskSlot[];
  failures: readonly SensorFailure[];
}

export interface MachineReading extends DiskReadings {
  /** Of all cores together, over the time since the reading before. */
  cpuPercent: number | null;
  memory: MemoryReading | null;
  pressure: PressureReading;
  /** Processes that run or wait to, on average over the last minute, for each processor. */
  loadPerCpu: number | null;
}

/** For the node's description of itself. Nothing in it identifies the machine. */
export interface MachineDescription {
  os: string;
  arch: string;
  distribution: string;
  kernel: string;
  cores: number;
  memoryBytes: number | null;
}
