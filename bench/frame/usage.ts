/** What a process and those that it started use, read from /proc. */
import { readdirSync, readFileSync } from 'node:fs';

/** The kernel counts processor time in these for everybody who reads /proc, whatever its own clock does. */
const TICK_MS = 10;
const MIB = 1024 ** 2;

interface Stat {
  parent: number;
  /** Of itself, and of the children that have ended and were waited for. */
  selfMs: number;
  childrenMs: number;
}

/** Processor time of a process with all that it started, those that run now included. null when it is gone. */
export function cpuMs(pid: number): number | null {
  const all = allStats();
  if (!all.has(pid)) return null;
  let total = 0;
  for (const each of family(pid, all)) {
    const stat = all.get(each);
    if (stat) total += stat.selfMs + stat.childrenMs;
  }
  return total;
}

/** Of the children that this very process has waited for, and of theirs. */
export function endedChildrenCpuMs(): number {
  return readStat('self')?.childrenMs ?? 0;
}

/** Resident memory of a process and of all that it started and that run now. null when it is gone. */
export function residentMib(pid: number): number | null {
  const all = allStats();
  if (!all.has(pid)) return null;
  let bytes = 0;
  for (const each of family(pid, all)) bytes += residentBytes(each);
  return bytes / MIB;
}

function residentBytes(pid: number): number {
  try {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return Number(kib ?? 0) * 1024;
  } catch {
    return 0; // it ended between the two looks
  }
}

function family(pid: number, all: ReadonlyMap<number, Stat>): number[] {
  const found = [pid];
  for (let at = 0; at < found.length; at += 1) {
    for (const [child, { parent }] of all) if (parent === found[at]) found.push(child);
  }
  return found;
}

function allStats(): Map<number, Stat> {
  const all = new Map<number, Stat>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = readStat(name);
    if (stat) all.set(Number(name), stat);
  }
  return all;
}

function readStat(pid: string): Stat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name of the program stands in parentheses and may hold anything, blanks and parentheses too.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const ticks = (from: number): number => Number(fields[from]) + Number(fields[from + 1]);
    return { parent: Number(fields[1]), selfMs: ticks(11) * TICK_MS, childrenMs: ticks(13) * TICK_MS };
  } catch {
    return null;
  }
}
