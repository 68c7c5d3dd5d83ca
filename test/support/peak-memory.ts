/** How much memory a process holds, and the most that it has held, as Linux counts it. */
import { readFileSync, writeFileSync } from 'node:fs';

/**
 * For a worker under hostile input: an idle one takes 89 MiB (docs/performance.md), so it stays below 200. One that runs from
 * its sources, as in tests, begins with more.
 */
export const MAX_GROWTH_MIB = 110;

/** Forgets what it was so far. As root, or for a process of one's own. */
export function resetPeakMemory(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

/** Resident, in MiB, since the last reset. */
export function peakMemoryMib(pid: number): number {
  return statusMib(pid, 'VmHWM');
}

/** Resident, in MiB, now. */
export function residentMib(pid: number): number {
  return statusMib(pid, 'VmRSS');
}

function statusMib(pid: number, name: string): number {
  const [, kib = '0'] =
    new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kib) / 1024;
}
