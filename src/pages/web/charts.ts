/** The charts of the overview: how much gets done, how long it takes, how much waits, how busy the machine is. */
import type { Overview, SeriesPoint } from '../model.ts';
import { Chart, type ChartShape } from './chart.ts';
import { instantOf } from './clock.ts';
import { duration, figure, percent, shortDuration } from './format.ts';

interface Source {
  shape: ChartShape;
  title: (overview: Overview) => string;
  values: readonly ((point: SeriesPoint) => number | null)[];
}

const MACHINE = 'machine';
const SECOND_MS = 1000;
const DURATION_STEPS_MS = [0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 21_600, 86_400].map(
  (s) => s * SECOND_MS,
);
const COUNTS = {
  tickValue: figure,
  steps: [1, 2, 5].flatMap((s) => [s, s * 10, s * 100, s * 1000, s * 10_000]).toSorted((a, b) => a - b),
  scaleTo: 4,
};

const SOURCES: readonly Source[] = [
  {
    shape: {
      id: 'throughput',
      title: 'Results',
      // The last one stands at the bottom.
      lines: [
        { name: 'failed', colour: 'bad', kind: 'bar' },
        { name: 'succeeded', colour: 'good', kind: 'bar' },
      ],
      value: figure,
      ...COUNTS,
    },
    title: ({ series }) => `Results per ${series.step_ms === 60_000 ? 'minute' : duration(series.step_ms)}`,
    values: [(point) => point.failed, (point) => point.succeeded],
  },
  {
    shape: {
      id: 'run',
      title: 'Run time',
      lines: [
        { name: 'p50', colour: 'accent', kind: 'line' },
        { name: 'p95', colour: 'warn', kind: 'dashed' },
      ],
      value: duration,
      tickValue: shortDuration,
      steps: DURATION_STEPS_MS,
      scaleTo: 1000,
    },
    title: () => 'Run time',
    values: [(point) => point.run_p50_ms, (point) => point.run_p95_ms],
  },
  {
    shape: {
      id: 'load',
      title: 'Queued and running',
      lines: [
        { name: 'queued', colour: 'muted', kind: 'dashed' },
        { name: 'running', colour: 'accent', kind: 'line' },
      ],
      value: figure,
      ...COUNTS,
    },
    title: () => 'Queued and running',
    values: [(point) => point.pending, (point) => point.running],
  },
  {
    shape: {
      id: MACHINE,
      title: 'Load',
      lines: [
        { name: 'CPU', colour: 'accent', kind: 'line' },
        { name: 'memory', colour: 'warn', kind: 'dashed' },
      ],
      value: percent,
      tickValue: percent,
      steps: [25, 50, 100, 250, 500, 1000],
      scaleTo: 100,
    },
    title: ({ this_node }) => `Load of ${this_node ?? 'this machine'}`,
    values: [(point) => point.cpu_percent, (point) => point.memory_percent],
  },
];

export class Charts {
  readonly #charts = SOURCES.map((source) => ({ source, chart: new Chart(source.shape) }));

  /** A client of the grid has no machine of its own to tell of. */
  elements({ this_node }: Overview): HTMLElement[] {
    const shown = this.#charts.filter(({ source }) => this_node !== null || source.shape.id !== MACHINE);
    return shown.map(({ chart }) => chart.element);
  }

  set(overview: Overview): void {
    const points = overview.series.points.filter((point) => instantOf(point.at) !== null);
    const seconds = points.map((point) => (instantOf(point.at) ?? 0) / 1000);
    for (const { source, chart } of this.#charts) {
      chart.set({
        title: source.title(overview),
        seconds,
        values: source.values.map((valueOf) => points.map(valueOf)),
      });
    }
  }

  redraw(): void {
    for (const { chart } of this.#charts) chart.redraw();
  }
}
