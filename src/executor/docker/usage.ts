/**
 * What a container used, from the engine's samples (one a second). The last sample stands for the whole: it can be up to
 * a second old, and the figures of a run that ends before the first one are unknown, not zero.
 */
import type { RunEnd } from '../executor.ts';

const NANOSECONDS_PER_SECOND = 1e9;

export class UsageMeter {
  #cpuNanoseconds: number | null = null;
  #peakMemoryBytes: number | null = null;

  /** Takes one sample as the engine sent it. Anything that is not one (an empty last sample, say) is ignored. */
  add(sample: unknown): void {
    const cpu = numberAt(sample, ['cpu_stats', 'cpu_usage', 'total_usage']);
    if (cpu !== null && cpu > 0) this.#cpuNanoseconds = Math.max(this.#cpuNanoseconds ?? 0, cpu);
    // cgroup v1 keeps the peak itself; on v2 the highest sample has to do.
    const memory = numberAt(sample, ['memory_stats', 'max_usage']) ?? numberAt(sample, ['memory_stats', 'usage']);
    if (memory !== null && memory > 0) this.#peakMemoryBytes = Math.max(this.#peakMemoryBytes ?? 0, memory);
  }

  read(): RunEnd['usage'] {
    return {
      cpuSeconds: this.#cpuNanoseconds === null ? null : this.#cpuNanoseconds / NANOSECONDS_PER_SECOND,
      peakMemoryBytes: this.#peakMemoryBytes,
    };
  }
}

function numberAt(value: unknown, path: readonly string[]): number | null {
  let at: unknown = value;
  for (const name of path) {
    if (typeof at !== 'object' || at === null) return null;
    at = (at as Record<string, unknown>)[name];
  }
  return typeof at === 'number' && Number.isFinite(at) ? at : null;
}
