/**
 * Figures over time, in steps of one length: what happened in each, and how things stood at its end. A ring of numbers, so
 * that what is kept of a long past takes a few kilobytes. Steps are told apart on a monotonic clock; only what is shown
 * has wall-clock times.
 *
 * Nobody has to call at the end of a step: steps that passed in between are closed by the next call, with how things
 * stood when they were last told.
 */
import { type Clock, isoTime } from '../runtime.ts';
import { MAX_SERIES_POINTS, SERIES_STEP_MS } from './limits.ts';

/** As the document has it. */
export interface Point {
  at: string;
  succeeded: number;
  failed: number;
  pending: number | null;
  running: number | null;
  run_p50_ms: number | null;
  run_p95_ms: number | null;
  cpu_percent: number | null;
  memory_percent: number | null;
}

/** How things stand; null: not known. */
export interface Gauges {
  pending: number | null;
  running: number | null;
  cpuPercent: number | null;
  memoryPercent: number | null;
}

export interface PastResult {
  agoMs: number;
  status: 'success' | 'failed';
  runMs: number | null;
}

/** Of one step: enough for its percentiles. */
const MAX_SAMPLES = 256;
const FIELDS = 8;
const [SUCCEEDED, FAILED, PENDING, RUNNING, P50, P95, CPU, MEMORY] = [0, 1, 2, 3, 4, 5, 6, 7] as const;

export class Series {
  readonly stepMs = SERIES_STEP_MS;
  readonly #clock: Clock;
  /** Points that are closed, NaN for what is not known. */
  readonly #ring = new Float64Array(MAX_SERIES_POINTS * FIELDS);
  /** Closed so far. The point of number n lies at n modulo the length of the ring. */
  #closed = 0;
  /** Where the open step began, on the monotonic clock. */
  #openedMs: number;
  #succeeded = 0;
  #failed = 0;
  #samples: number[] = [];
  #gauges: Gauges = { pending: null, running: null, cpuPercent: null, memoryPercent: null };

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#openedMs = clock.monotonicMs();
  }

  /** Results of the time before anybody looked. Only for a series that was just made. */
  seed(results: readonly PastResult[]): void {
    const steps = new Map<number, PastResult[]>();
    for (const result of results) {
      const ago = Math.floor(result.agoMs / this.stepMs);
      if (ago >= 0 && ago < MAX_SERIES_POINTS) steps.set(ago, [...(steps.get(ago) ?? []), result]);
    }
    for (let ago = Math.max(-1, ...steps.keys()); ago >= 0; ago -= 1) {
      for (const { status, runMs } of steps.get(ago) ?? []) this.#count(status, runMs);
      this.#close();
    }
  }

  result(status: 'success' | 'failed', runMs: number | null): void {
    this.#roll();
    this.#count(status, runMs);
  }

  stand(gauges: Partial<Gauges>): void {
    this.#roll();
    this.#gauges = { ...this.#gauges, ...gauges };
  }

  /** The oldest first. */
  points(): Point[] {
    this.#roll();
    const count = Math.min(this.#closed, MAX_SERIES_POINTS);
    const openedAtMs = this.#clock.wallMs() - (this.#clock.monotonicMs() - this.#openedMs);
    return Array.from({ length: count }, (_, index) => {
      const number = this.#closed - count + index;
      const endedAtMs = openedAtMs - (this.#closed - 1 - number) * this.stepMs;
      return this.#point(number, Math.max(0, endedAtMs));
    });
  }

  #point(number: number, endedAtMs: number): Point {
    const at = (number % MAX_SERIES_POINTS) * FIELDS;
    const value = (field: number): number | null => {
      const figure = this.#ring[at + field] as number;
      return Number.isNaN(figure) ? null : figure;
    };
    return {
      at: isoTime(endedAtMs),
      succeeded: value(SUCCEEDED) ?? 0,
      failed: value(FAILED) ?? 0,
      pending: value(PENDING),
      running: value(RUNNING),
      run_p50_ms: value(P50),
      run_p95_ms: value(P95),
      cpu_percent: value(CPU),
      memory_percent: value(MEMORY),
    };
  }

  #count(status: 'success' | 'failed', runMs: number | null): void {
    if (status === 'success') this.#succeeded += 1;
    else this.#failed += 1;
    if (runMs !== null && this.#samples.length < MAX_SAMPLES) this.#samples.push(runMs);
  }

  #roll(): void {
    const nowMs = this.#clock.monotonicMs();
    const passed = Math.floor((nowMs - this.#openedMs) / this.stepMs);
    if (passed <= 0) return;
    // After a long sleep of the machine a ring of empty steps is all that is left.
    for (let step = 0; step < Math.min(passed, MAX_SERIES_POINTS + 1); step += 1) this.#close();
    this.#openedMs += passed * this.stepMs;
  }

  #close(): void {
    const samples = Float64Array.from(this.#samples).sort();
    const at = (this.#closed % MAX_SERIES_POINTS) * FIELDS;
    const { cpuPercent, memoryPercent, pending, running } = this.#gauges;
    const figures = [
      this.#succeeded,
      this.#failed,
      pending,
      running,
      ...percentiles(samples),
      cpuPercent,
      memoryPercent,
    ];
    figures.forEach((figure, field) => {
      this.#ring[at + field] = figure ?? Number.NaN;
    });
    this.#closed += 1;
    this.#succeeded = 0;
    this.#failed = 0;
    this.#samples = [];
  }
}

function percentiles(sorted: Float64Array): [p50: number | null, p95: number | null] {
  const rank = (share: number): number | null => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? null;
  return [rank(0.5), rank(0.95)];
}
