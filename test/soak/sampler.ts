/** Looks at a running grid every few seconds, and remembers the figures that must not grow. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { git } from '../support/git.ts';
import { runProgram } from '../support/programs.ts';
import type { WorkerProcess } from '../support/worker-process.ts';
import { type Sample, type Slope, slopeOf } from './slope.ts';

export interface SamplerParts {
  /** The present life of each worker; those that are paused too. */
  workers: () => readonly WorkerProcess[];
  /** Of each worker. */
  stateDir: (name: string) => string;
  /** The bare repository that the workers share. */
  repository: string;
  countContainers: () => Promise<number>;
}

interface Series {
  unit: string;
  /** By the life that it belongs to; what outlives workers has one. */
  segments: Map<string, Sample[]>;
}

export interface SeriesSlope {
  name: string;
  unit: string;
  slope: Slope | null;
}

/** Sizes are read once in so many samples: that means reading directories. */
const SIZES_EVERY = 5;
const MIB = 1024 * 1024;

export class Sampler {
  readonly #parts: SamplerParts;
  readonly #series = new Map<string, Series>();
  #taken = 0;

  constructor(parts: SamplerParts) {
    this.#parts = parts;
  }

  async take(): Promise<void> {
    const { countContainers, repository, stateDir, workers } = this.#parts;
    for (const worker of workers()) await this.#takeProcess(worker);
    const refs = (await git(repository, ['for-each-ref', '--format=%(refname)', 'refs/dgrid/'])).split('\n');
    this.#add('task refs', 'refs', refs.filter((ref) => ref.startsWith('refs/dgrid/tasks/')).length);
    this.#add('node refs', 'refs', refs.filter((ref) => ref.startsWith('refs/dgrid/nodes/')).length);
    this.#add('containers', 'containers', await countContainers());
    this.#taken += 1;
    if (this.#taken % SIZES_EVERY !== 0) return;
    for (const { name } of workers()) {
      const clone = await sizeOf(join(stateDir(name), 'repository.git'));
      const state = await sizeOf(stateDir(name));
      if (clone !== null) this.#add(`${name} clone`, 'MiB', clone / MIB);
      if (state !== null) this.#add(`${name} state directory, without the clone`, 'MiB', (state - (clone ?? 0)) / MIB);
    }
    const server = await sizeOf(join(repository, 'objects'));
    if (server !== null) this.#add('server repository, nothing of it packed', 'MiB', server / MIB);
  }

  /** @param warmUpMs left out at the beginning of the whole, and of each life. */
  slopes(warmUpMs: number): SeriesSlope[] {
    return [...this.#series].map(([name, { unit, segments }]) => {
      const settled = [...segments.values()].map((samples) => {
        const beganMs = samples[0]?.timeMs ?? 0;
        return samples.filter(({ timeMs }) => timeMs - beganMs >= warmUpMs);
      });
      return { name, unit, slope: slopeOf(settled) };
    });
  }

  async #takeProcess(worker: WorkerProcess): Promise<void> {
    if (worker.ended) return;
    try {
      const status = await readFile(`/proc/${worker.pid}/status`, 'utf8');
      const residentKib = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? Number.NaN);
      const descriptors = (await readdir(`/proc/${worker.pid}/fd`)).length;
      if (Number.isNaN(residentKib)) return;
      this.#add(`${worker.name} resident memory`, 'MiB', residentKib / 1024, String(worker.pid));
      this.#add(`${worker.name} file descriptors`, 'descriptors', descriptors, String(worker.pid));
    } catch {
      // It ended between the two looks.
    }
  }

  #add(name: string, unit: string, value: number, life = ''): void {
    const series = this.#series.get(name) ?? { unit, segments: new Map<string, Sample[]>() };
    this.#series.set(name, series);
    const samples = series.segments.get(life) ?? [];
    series.segments.set(life, samples);
    samples.push({ timeMs: performance.now(), value });
  }
}

/** Bytes on the disk; null when it is not there. What vanishes meanwhile does not matter. */
export async function sizeOf(path: string): Promise<number | null> {
  const out = await runProgram('sh', ['-c', 'du -sk "$1" 2>/dev/null || true', 'du', path]);
  const kib = Number.parseInt(out, 10);
  return Number.isNaN(kib) ? null : kib * 1024;
}
