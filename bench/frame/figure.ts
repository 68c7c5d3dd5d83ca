/**
 * One figure of a suite: what was measured, against what, and whether it is what was aimed at. These documents are what
 * `--json` and `--save` write and what the page is drawn from.
 */
import type { Machine } from './machine.ts';
import { median, summarise } from './statistics.ts';

export type Unit = 'ms' | 'B' | 'MiB' | 'tasks/s' | 'tasks/h' | 'pushes/min' | '%' | 'tasks' | 'containers';

export interface Baseline {
  name: string;
  value: number;
  samples: number;
}

export interface Figure {
  name: string;
  unit: Unit;
  better: 'lower' | 'higher';
  /** The median of single measurements, or a rate over all of them; null when it could not be had. */
  value: number | null;
  /** Measured in the same run, in turns with the figure itself. */
  baseline: Baseline | null;
  /** How many times better than the baseline; below 1 it is worse. null without a baseline, or with one of zero. */
  ratio: number | null;
  samples: number;
  p50: number | null;
  p95: number | null;
  p99: number | null;
  aim: { text: string; met: boolean } | null;
  /** Why there is no value. */
  missing: string | null;
}

export interface SuiteDocument {
  suite: string;
  title: string;
  /** What was measured, with what, and how often. */
  method: string;
  aim: string;
  machine: Machine;
  /** When the suite began, ISO 8601. */
  date: string;
  /** Sizes were scaled down: the figures say that the suite works, and no more. */
  quick: boolean;
  seconds: number;
  results: Figure[];
  /** Why the suite ended before its end. */
  failure: string | null;
}

export interface Aim {
  text: string;
  holds: (figure: { value: number; ratio: number | null }) => boolean;
}

interface FigureFrame {
  name: string;
  unit: Unit;
  better?: 'lower' | 'higher';
  aim?: Aim;
}

type Measured = { values: readonly number[] } | { value: number; samples: number };

/** `values` are measurements of their own, of which the median counts; `value` is one figure made from `samples`. */
export function figure(frame: FigureFrame & Measured & { baseline?: { name: string } & Measured }): Figure {
  const { name, unit, better = 'lower', aim, baseline } = frame;
  const own = reduce(frame);
  const other = baseline ? reduce(baseline) : null;
  if (own === null || (baseline && other === null)) {
    return missingFigure({ name, unit, better, ...(aim ? { aim } : {}) }, 'nothing was measured');
  }
  const ratio = other ? ratioOf(own.value, other.value, better) : null;
  const { samples: _, ...percentiles } = summarise('values' in frame ? frame.values : []);
  return {
    name,
    unit,
    better,
    value: own.value,
    baseline: baseline && other ? { name: baseline.name, ...other } : null,
    ratio,
    samples: own.samples,
    ...percentiles,
    aim: aim ? { text: aim.text, met: aim.holds({ value: own.value, ratio }) } : null,
    missing: null,
  };
}

/** A row that says why it has no value. Its aim counts as missed. */
export function missingFigure({ name, unit, better = 'lower', aim }: FigureFrame, why: string): Figure {
  const nothing = { value: null, baseline: null, ratio: null, samples: 0, p50: null, p95: null, p99: null };
  return { name, unit, better, ...nothing, aim: aim ? { text: aim.text, met: false } : null, missing: why };
}

export const atMost = (limit: number, text: string): Aim => ({ text, holds: ({ value }) => value <= limit });
export const atLeast = (limit: number, text: string): Aim => ({ text, holds: ({ value }) => value >= limit });
/** How many times better than the baseline. */
export const timesBetter = (limit: number, text: string): Aim => ({
  text,
  holds: ({ ratio }) => ratio !== null && ratio >= limit,
});

/** Whether everything that a suite is for was measured. Whether it is good enough is another question. */
export function isComplete({ failure, results }: SuiteDocument): boolean {
  return failure === null && results.length > 0 && results.every(({ missing }) => missing === null);
}

function reduce(measured: Measured): { value: number; samples: number } | null {
  if ('value' in measured) return { value: measured.value, samples: measured.samples };
  return measured.values.length === 0 ? null : { value: median(measured.values), samples: measured.values.length };
}

function ratioOf(value: number, baseline: number, better: 'lower' | 'higher'): number | null {
  const [good, bad] = better === 'lower' ? [baseline, value] : [value, baseline];
  return bad > 0 && good > 0 ? good / bad : null;
}
