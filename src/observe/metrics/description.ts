/** What one metric is, in the terms of Prometheus; and the ways to write that down shortly in the catalogue. */

export type MetricType = 'counter' | 'gauge' | 'histogram';

/** What a label may say. null: what others named, of which only so many are told apart (see store.ts). */
export type LabelValues = readonly string[] | null;

export interface MetricDescription {
  type: MetricType;
  help: string;
  labels: Readonly<Record<string, LabelValues>>;
  /** Upper bounds of a histogram; empty for the others. */
  buckets: readonly number[];
  /** Nothing of it is there from the beginning: most are read at a scrape, some are times that are set by an event. */
  isRead: boolean;
}

type LabelTable = Readonly<Record<string, LabelValues>>;

export function counter(help: string, labels: LabelTable = {}): MetricDescription {
  return { type: 'counter', help, labels, buckets: [], isRead: false };
}

export function readCounter(help: string): MetricDescription {
  return { type: 'counter', help, labels: {}, buckets: [], isRead: true };
}

export function gauge(help: string, labels: LabelTable = {}): MetricDescription {
  return { type: 'gauge', help, labels, buckets: [], isRead: true };
}

export function histogram(help: string, buckets: readonly number[], labels: LabelTable = {}): MetricDescription {
  return { type: 'histogram', help, labels, buckets, isRead: false };
}

/** The unit, as the conventions put it into the name. */
export function unitOf(name: string): string {
  const base = name.replace(/_total$/, '');
  return /_(seconds|bytes|ratio)$/.exec(base)?.[1] ?? '';
}
