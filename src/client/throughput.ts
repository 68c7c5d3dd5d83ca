/** How many tasks got their result, step by step, as a watcher saw it on its own monotonic clock. */

export const THROUGHPUT_STEP_MS = 5_000;
const MAX_SAMPLES = 2_000;

export class Throughput {
  #samples: { atMs: number; done: number }[] = [];

  /** @param done all tasks that had their result at that moment */
  observe(done: number, atMs: number): void {
    this.#samples = [...this.#samples.slice(1 - MAX_SAMPLES), { atMs, done }];
  }

  /**
   * The newest `steps` steps, the newest last; fewer where the watching has not lasted as long. What came between two looks
   * counts for the step of the later one.
   */
  series(steps: number, nowMs: number): number[] {
    const [first] = this.#samples;
    if (!first || steps < 1) return [];
    const stepOf = (atMs: number): number => Math.floor(atMs / THROUGHPUT_STEP_MS);
    const last = stepOf(nowMs);
    const length = Math.min(steps, last - stepOf(first.atMs) + 1);
    const series = Array.from({ length }, () => 0);
    let before = first.done;
    for (const { atMs, done } of this.#samples) {
      const at = length - 1 - (last - stepOf(atMs));
      // Fewer than before: somebody took records away.
      if (at >= 0 && at < length) series[at] = (series[at] ?? 0) + Math.max(0, done - before);
      before = done;
    }
    return series;
  }
}
