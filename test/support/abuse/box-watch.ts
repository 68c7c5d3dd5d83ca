/** What the worker and the engine take of the box, over time. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { PrivateEngine } from '../engine.ts';

const EVERY_MS = 50;
/** The engine is looked at more rarely: its logs have to be added up. */
const ENGINE_EVERY = 5;
const KIB_PER_MIB = 1024;
const BYTES_PER_MIB = 1024 * 1024;
const BLOCK_BYTES = 512;

export class BoxWatch {
  readonly #workerPid: number;
  readonly #enginePid: number;
  readonly #containers: string;
  readonly #samples: { atMs: number; mib: number }[] = [];
  readonly #timer: NodeJS.Timeout;
  #looks = 0;
  /** The most that was seen so far. */
  readonly peak = { workerMib: 0, engineMib: 0, logMib: 0 };

  constructor(workerPid: number, engine: PrivateEngine) {
    this.#workerPid = workerPid;
    this.#enginePid = Number(readFileSync(join(engine.directory, 'p'), 'utf8'));
    this.#containers = join(engine.dataRoot, 'containers');
    this.#look();
    this.#timer = setInterval(() => this.#look(), EVERY_MS);
  }

  /** The most memory that the worker held between two moments of the wall clock, and just before and after. */
  workerPeakMib(fromMs: number, toMs: number): number {
    const margin = 2 * EVERY_MS;
    const within = this.#samples.filter(({ atMs }) => atMs >= fromMs - margin && atMs <= toMs + margin);
    // Where this process was too busy to look, what it saw next has to do.
    const next = this.#samples.find(({ atMs }) => atMs > toMs);
    return Math.max(...within.map(({ mib }) => mib), next?.mib ?? 0);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const mib = residentMib(this.#workerPid);
    this.#samples.push({ atMs: Date.now(), mib });
    this.peak.workerMib = Math.max(this.peak.workerMib, mib);
    this.#looks += 1;
    if (this.#looks % ENGINE_EVERY !== 0) return;
    this.peak.engineMib = Math.max(this.peak.engineMib, residentMib(this.#enginePid));
    this.peak.logMib = Math.max(this.peak.logMib, diskMib(this.#containers) ?? 0);
  }
}

/** 0: it has ended. */
function residentMib(pid: number): number {
  try {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / KIB_PER_MIB;
  } catch {
    return 0;
  }
}

/** null: a container was removed while its directory was read; the next look says more. */
function diskMib(directory: string): number | null {
  let entries: string[];
  try {
    entries = readdirSync(directory, { recursive: true, encoding: 'utf8' });
  } catch {
    return null;
  }
  let bytes = 0;
  for (const entry of entries) {
    try {
      bytes += statSync(join(directory, entry)).blocks * BLOCK_BYTES;
    } catch {
      // Removed between the two looks.
    }
  }
  return bytes / BYTES_PER_MIB;
}
