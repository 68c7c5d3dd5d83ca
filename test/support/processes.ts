/** What runs on this machine, read from /proc. Linux only, like the tests that need it. */
import { readdirSync, readFileSync } from 'node:fs';

export interface ProcessEntry {
  pid: number;
  /** Arguments, joined by blanks. */
  commandLine: string;
}

/** Processes whose command line contains `text`. */
export function processesWith(text: string): ProcessEntry[] {
  return allProcesses().filter((entry) => entry.commandLine.includes(text));
}

export function allProcesses(): ProcessEntry[] {
  const found: ProcessEntry[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const commandLine = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      // A process that has ended and was not yet collected by its parent has no command line.
      if (commandLine !== '') found.push({ pid: Number(name), commandLine });
    } catch {
      // It ended between the two looks.
    }
  }
  return found;
}
