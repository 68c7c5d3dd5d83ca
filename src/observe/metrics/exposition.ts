/**
 * The figures in Prometheus' text format, written by prom-client. Loaded with the first scrape.
 *
 * The registry is our own, and what it holds has no figures: each of its metrics asks for the samples of this scrape. So
 * nothing is counted twice, and what was counted before the first scrape is there.
 */
import { type Metric, Registry } from 'prom-client';
import type { Clock } from '../../runtime.ts';
import type { HealthDocument } from '../health-document.ts';
import { descriptionOf, METRIC_NAMES, type MetricName } from './catalogue.ts';
import { gaugesOf, type Samples } from './gauges.ts';
import { processFigures } from './process-figures.ts';
import type { MetricsRecorder } from './recorder.ts';
import type { Sample } from './store.ts';

export interface MetricsSource {
  recorder: MetricsRecorder;
  /** null before the worker has taken its place. */
  health: () => HealthDocument | null;
  gateReasons: readonly string[];
  version: string;
  clock: Clock;
}

interface WrittenSample {
  value: number;
  labels: Record<string, string | number>;
  metricName?: string;
}

/** @returns what writes down the figures of the moment. Whoever asks while it writes gets the same. */
export function createExposition(source: MetricsSource): () => Promise<string> {
  let samples: ReadonlyMap<MetricName, Sample[]> = new Map();
  const registry = new Registry();
  for (const name of METRIC_NAMES) {
    const { help, type } = descriptionOf(name);
    const get = async (): Promise<object> => ({
      name,
      help,
      type,
      aggregator: 'sum',
      values: (samples.get(name) ?? []).flatMap((sample) => written(name, sample)),
    });
    // All that a registry asks of a metric when it writes it down.
    registry.registerMetric({ name, help, type, get } as unknown as Metric);
  }
  const write = async (): Promise<string> => {
    samples = await readSamples(source);
    return await registry.metrics();
  };
  let writing: Promise<string> | null = null;
  return () => {
    writing ??= write().finally(() => {
      writing = null;
    });
    return writing;
  };
}

async function readSamples(source: MetricsSource): Promise<Samples> {
  const { clock, gateReasons, health, recorder, version } = source;
  const now = health();
  const samples: Samples = now ? gaugesOf(now, gateReasons) : stateBefore();
  for (const [name, found] of await processFigures(recorder.startedAtSeconds)) samples.set(name, found);
  for (const name of METRIC_NAMES) {
    const counted = recorder.samples(name);
    if (counted.length > 0 && !samples.has(name)) samples.set(name, counted);
  }
  samples.set('dgrid_build_info', [{ labels: { version, node_version: process.versions.node }, value: 1 }]);
  samples.set('dgrid_clock_timestamp_seconds', [{ labels: {}, value: clock.wallMs() / 1000 }]);
  return samples;
}

/** Whoever waits for the first contact with the repository is not ready, and says so. */
function stateBefore(): Samples {
  return new Map([
    ['dgrid_state', [{ labels: { state: 'starting' }, value: 1 }]],
    ['dgrid_ready', [{ labels: {}, value: 0 }]],
  ]);
}

function written(name: MetricName, { histogram, labels, value }: Sample): WrittenSample[] {
  if (!histogram) return [{ labels, value }];
  const { buckets } = descriptionOf(name);
  return [
    ...buckets.map((bound, index) => ({
      labels: { ...labels, le: bound },
      value: histogram.counts[index] ?? 0,
      metricName: `${name}_bucket`,
    })),
    { labels: { ...labels, le: '+Inf' }, value: histogram.count, metricName: `${name}_bucket` },
    { labels, value, metricName: `${name}_sum` },
    { labels, value: histogram.count, metricName: `${name}_count` },
  ];
}
