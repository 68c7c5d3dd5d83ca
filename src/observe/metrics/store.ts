/**
 * Figures by name and labels: all that is kept between two scrapes. Small on purpose, since it is there from the start of a
 * worker that may never be asked; what writes figures down is loaded with the first scrape.
 *
 * Bounds: of what others name, `MAX_SERIES` are told apart for each metric; the rest is counted together.
 */
import { descriptionOf, METRIC_NAMES, type MetricName } from './catalogue.ts';
import type { MetricDescription } from './description.ts';

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  labels: Labels;
  value: number;
  /** Of a histogram: how many were at or below each bound, and all. `value` is their sum. */
  histogram?: { counts: readonly number[]; count: number };
}

interface Series {
  labels: Labels;
  value: number;
  /** By bucket, each by itself; the last is for what is above all bounds. Empty for other types. */
  counts: number[];
}

export const MAX_SERIES = 200;
export const OTHER = 'other';

export class MetricStore {
  readonly #series = new Map<MetricName, Map<string, Series>>();

  /** Whatever can be known from the catalogue begins at 0: a rate is seen only of what was there before. */
  constructor() {
    for (const name of METRIC_NAMES) {
      const description = descriptionOf(name);
      if (description.isRead) continue;
      const labels = Object.entries(description.labels);
      if (labels.length === 0) this.add(name, {}, 0);
      const [first, second] = labels;
      if (first && !second) for (const value of first[1] ?? []) this.#find(name, { [first[0]]: value });
    }
  }

  add(name: MetricName, labels: Labels, by = 1): void {
    // A counter that goes back would be taken for one that began anew.
    if (by >= 0) this.#find(name, labels).value += by;
  }

  set(name: MetricName, labels: Labels, value: number): void {
    this.#find(name, labels).value = value;
  }

  observe(name: MetricName, labels: Labels, value: number): void {
    const series = this.#find(name, labels);
    const { buckets } = descriptionOf(name);
    const at = buckets.findIndex((bound) => value <= bound);
    const index = at < 0 ? buckets.length : at;
    series.counts[index] = (series.counts[index] ?? 0) + 1;
    series.value += value;
  }

  samples(name: MetricName): Sample[] {
    const isHistogram = descriptionOf(name).type === 'histogram';
    return [...(this.#series.get(name)?.values() ?? [])].map(({ labels, value, counts }) =>
      isHistogram ? { labels, value, histogram: cumulated(counts) } : { labels, value },
    );
  }

  #find(name: MetricName, labels: Labels, isOfOthers = false): Series {
    let known = this.#series.get(name);
    if (!known) {
      known = new Map();
      this.#series.set(name, known);
    }
    const key = JSON.stringify(labels);
    const found = known.get(key);
    if (found) return found;
    const description = descriptionOf(name);
    if (known.size >= MAX_SERIES && !isOfOthers) return this.#find(name, othersOf(labels, description), true);
    const counts = description.type === 'histogram' ? [...description.buckets, 0].map(() => 0) : [];
    const series: Series = { labels, value: 0, counts };
    known.set(key, series);
    return series;
  }
}

/** What the catalogue lists stays told apart: there is an end of it. */
function othersOf(labels: Labels, { labels: described }: MetricDescription): Labels {
  const isOpen = Object.values(described).includes(null);
  return Object.fromEntries(
    Object.entries(labels).map(([name, value]) => [name, isOpen && described[name] !== null ? value : OTHER]),
  );
}

function cumulated(counts: readonly number[]): { counts: number[]; count: number } {
  let count = 0;
  const upTo = counts.map((own) => {
    count += own;
    return count;
  });
  return { counts: upTo.slice(0, -1), count };
}
