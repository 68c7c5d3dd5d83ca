/** What a worker has to make room with: its engine, its own files, its clone; and how each step is carried out. */
import type { Settings } from '../config/settings.ts';
import type { Executor } from '../executor/executor.ts';
import type { Repository } from '../git/repository.ts';
import type { HealerOptions, HealingSource } from '../host/healer.ts';
import { type HealingCandidate, type HealingStep, isOfFiles } from '../host/healing.ts';
import { findLeftovers, removeLeftovers, roomOf } from '../host/own-files.ts';
import type { Clock } from '../runtime.ts';

/** A clone below that is not worth the time of packing it anew. */
const WORTH_PACKING_BYTES = 8 * 1024 ** 2;
const WORTH_PACKING_FILES = 500;
/** Nor one below that worth being fetched again. */
const WORTH_RENEWING_BYTES = 64 * 1024 ** 2;

export interface HealingSourcesParts {
  settings: Pick<Settings, 'stateDir' | 'repoPath'>;
  /** Where the disks of the state directory and of the clone are looked at. */
  diskOf: { stateDir: string; repoPath: string };
  executor: Pick<Executor, 'clean' | 'reclaimable'>;
  repository: Pick<Repository, 'rebuild' | 'upkeep'>;
  /** The clone is empty, and what was known from it has to be read anew. */
  onRenewed: () => void;
  /** The engine's data directory; null where it cannot be seen: then nothing tells what removing there helps. */
  dataRoot: () => string | null;
  clock: Clock;
}

export function healingSources(parts: HealingSourcesParts): Pick<HealerOptions, 'sources' | 'carryOut'> {
  const sources: HealingSource[] = [
    { name: 'own files', survey: () => surveyFiles(parts) },
    { name: 'the container engine', survey: (signal) => surveyEngine(parts, signal) },
  ];
  return { sources, carryOut: (step, signal) => carryOut(step, parts, signal) };
}

async function surveyFiles({ clock, diskOf, settings }: HealingSourcesParts): Promise<HealingCandidate[]> {
  const candidates: HealingCandidate[] = [];
  const leftovers = await findLeftovers(settings, clock.wallMs());
  for (const place of ['stateDir', 'repoPath'] as const) {
    const there = leftovers.filter((leftover) => leftover.place === place);
    if (there.length === 0) continue;
    candidates.push({
      step: { kind: 'leftovers' },
      path: diskOf[place],
      bytes: there.reduce((sum, { bytes }) => sum + bytes, 0),
      inodes: there.reduce((sum, { inodes }) => sum + inodes, 0),
      isLastResort: false,
    });
  }
  const clone = await roomOf(settings.repoPath);
  const onItsDisk = { path: diskOf.repoPath, isLastResort: false };
  if (clone.bytes >= WORTH_PACKING_BYTES || clone.inodes >= WORTH_PACKING_FILES) {
    candidates.push({ step: { kind: 'clone-upkeep' }, bytes: null, inodes: null, ...onItsDisk });
  }
  if (clone.bytes >= WORTH_RENEWING_BYTES) {
    // At most: a part of it comes back.
    candidates.push({ step: { kind: 'clone-renewal' }, ...clone, ...onItsDisk });
  }
  return candidates;
}

async function surveyEngine(
  { dataRoot, executor }: HealingSourcesParts,
  signal: AbortSignal,
): Promise<HealingCandidate[]> {
  const path = dataRoot();
  if (path === null) return [];
  return (await executor.reclaimable(signal)).map((found) => ({ ...found, path }));
}

async function carryOut(
  step: HealingStep,
  parts: HealingSourcesParts,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { clock, executor, onRenewed, repository, settings } = parts;
  if (!isOfFiles(step)) return (await executor.clean(step, signal)).removed;
  switch (step.kind) {
    case 'leftovers':
      return await removeLeftovers(await findLeftovers(settings, clock.wallMs()), signal);
    case 'clone-upkeep':
      await repository.upkeep(signal);
      return [settings.repoPath];
    case 'clone-renewal':
      await repository.rebuild(null, signal);
      onRenewed();
      return [settings.repoPath];
  }
}
