/** What a theme's attacks came to, kept as JSON: docs/abuse.md is made of it. */
import { readFile, writeFile } from 'node:fs/promises';
import { type Machine, readMachine } from '../../../bench/frame/machine.ts';
import { ROOT } from '../worker-image.ts';
import { type Arena, type Outcome, secondsOf } from './arena.ts';
import { DEFAULT_LIMIT_S, readDoors, type Way } from './attack.ts';

export interface AbuseRow {
  attack: string;
  does: string;
  way: Way;
  warm: boolean;
  limitS: number;
  /** As in the record; null: success. */
  reason: string | null;
  exitCode: number | null;
  seconds: number;
  /** Until the last of its processes was seen. */
  aliveS: number;
  workerMib: number;
  /** To both outputs. */
  wroteBytes: number;
  /** Ordinary tasks that ran at the same time, the next one included, and how long the slowest took from its claim. */
  neighbours: number;
  slowestNeighbourS: number;
  /** Processes that were left when its container had ended. */
  left: number;
  /** Doors that it tried: so many held, and these are open. */
  held: number;
  open: string[];
}

export interface AbuseDocument {
  theme: string;
  title: string;
  date: string;
  machine: Machine;
  engine: { version: string; apiVersion: string; cgroupVersion: string; storage: string; security: string[] };
  seconds: number;
  peak: { workerMib: number; engineMib: number; logMib: number };
  /** What was on the machine after the worker had left, and not before. */
  leftovers: string[];
  /** What was done to what nobody may touch. */
  harm: string[];
  rows: AbuseRow[];
}

interface EngineInfo {
  ServerVersion: string;
  CgroupVersion?: string;
  Driver: string;
  SecurityOptions: string[];
}

export async function documentOf(
  theme: { name: string; title: string },
  arena: Arena,
  seen: { outcomes: readonly Outcome[]; leftovers: string[]; seconds: number },
): Promise<AbuseDocument> {
  const { body: info } = await arena.engine.api<EngineInfo>('GET', '/info');
  const { body: version } = await arena.engine.api<{ ApiVersion: string }>('GET', '/version');
  return {
    theme: theme.name,
    title: theme.title,
    date: new Date().toISOString(),
    machine: await readMachine(ROOT),
    engine: {
      version: info.ServerVersion,
      apiVersion: version.ApiVersion,
      cgroupVersion: info.CgroupVersion ?? 'unknown',
      storage: info.Driver,
      security: info.SecurityOptions.map((option) => /name=([^,]+)/.exec(option)?.[1] ?? option),
    },
    seconds: Math.round(seen.seconds),
    peak: {
      workerMib: Math.round(arena.watch.peak.workerMib),
      engineMib: Math.round(arena.watch.peak.engineMib),
      logMib: Math.round(arena.watch.peak.logMib),
    },
    leftovers: seen.leftovers,
    harm: arena.canaries.harm(),
    rows: seen.outcomes.map(rowOf),
  };
}

function rowOf({ aliveS, attack, left, neighbours, record, seconds, stdout, warm, way, workerMib }: Outcome): AbuseRow {
  const doors = readDoors(stdout.toString('utf8'));
  return {
    attack: attack.name,
    does: attack.does,
    way,
    warm,
    limitS: attack.limitS ?? DEFAULT_LIMIT_S,
    reason: record.reason,
    exitCode: record.exit_code,
    seconds: tenths(seconds),
    aliveS: tenths(aliveS),
    workerMib: Math.round(workerMib),
    wroteBytes: record.stdout_bytes + record.stderr_bytes,
    neighbours: neighbours.length,
    slowestNeighbourS: tenths(Math.max(...neighbours.map(secondsOf))),
    left: left.length,
    held: doors.held.length,
    open: doors.open,
  };
}

function tenths(value: number): number {
  return Math.round(value * 10) / 10;
}

/** Into the file that DGRID_ABUSE_SAVE names, where it takes the place of the theme's former document. */
export async function saveDocument(document: AbuseDocument): Promise<void> {
  const path = process.env['DGRID_ABUSE_SAVE'];
  if (path === undefined || path === '') return;
  const text = await readFile(path, 'utf8').catch(() => '[]');
  const others = (JSON.parse(text) as AbuseDocument[]).filter(({ theme }) => theme !== document.theme);
  const all = [...others, document].toSorted((a, b) => a.theme.localeCompare(b.theme));
  await writeFile(path, `${JSON.stringify(all, null, 2)}\n`);
}
