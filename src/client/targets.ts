/**
 * What somebody expects of a grid, in one line each: `e2e.p95<10s`, `success>=99%`, `throughput>=5/s`. Pure.
 */
import { STATISTICS, type Statistic } from './percentiles.ts';
import { PHASES, type Phase } from './probe-phases.ts';

export type Operator = '<' | '<=' | '>' | '>=';

export interface Target {
  /** As it was written. */
  text: string;
  figure:
    | { kind: 'phase'; phase: Phase; statistic: Statistic }
    /** Per cent of all probes. */
    | { kind: 'success' }
    /** Results per second. */
    | { kind: 'throughput' };
  operator: Operator;
  /** Milliseconds, per cent, or results per second. */
  bound: number;
}

export interface TargetVerdict {
  target: string;
  met: boolean;
  /** In the unit of the target's bound; null: nothing was measured, and so it is not met. */
  actual: number | null;
}

const SHAPE = /^\s*([a-z0-9]+(?:\.[a-z0-9]+)?)\s*(<=|>=|<|>)\s*(\d+(?:\.\d+)?)\s*([a-z%/]*)\s*$/;
const MS_OF: Readonly<Record<string, number>> = { ms: 1, s: 1_000, min: 60_000 };
const SECONDS_OF: Readonly<Record<string, number>> = { '/s': 1, '/min': 60, '/h': 3_600 };
const EXAMPLES = 'such as e2e.p95<10s, success>=99% or throughput>=5/s';

export function parseTarget(text: string): { ok: true; target: Target } | { ok: false; problem: string } {
  const bad = (problem: string): { ok: false; problem: string } => ({ ok: false, problem });
  const [, name = '', operator = '<', figure = '', unit = ''] = SHAPE.exec(text) ?? [];
  if (name === '') return bad(`must be a figure, one of < <= > >=, and a value with its unit, ${EXAMPLES}`);
  const value = Number(figure);
  const whole = { text: text.trim(), operator: operator as Operator };
  if (name === 'success') {
    if (unit !== '%' || value > 100) return bad('success is a share of all probes, from 0% to 100%');
    return { ok: true, target: { ...whole, figure: { kind: 'success' }, bound: value } };
  }
  if (name === 'throughput') {
    const seconds = SECONDS_OF[unit];
    if (seconds === undefined) return bad('throughput is counted in results /s, /min or /h');
    return { ok: true, target: { ...whole, figure: { kind: 'throughput' }, bound: value / seconds } };
  }
  const [phaseName = '', statisticName] = name.split('.');
  const phase = PHASES.find((candidate) => candidate === phaseName);
  if (phase === undefined) {
    return bad(
      `there is no figure ${JSON.stringify(phaseName)}: there are ${[...PHASES, 'success', 'throughput'].join(', ')}`,
    );
  }
  const statistic = STATISTICS.find((candidate) => candidate === statisticName);
  if (statistic === undefined)
    return bad(`say of ${phase} which: ${STATISTICS.map((each) => `${phase}.${each}`).join(', ')}`);
  const factor = MS_OF[unit];
  if (factor === undefined) return bad(`${name} is a duration: give ms, s or min`);
  return { ok: true, target: { ...whole, figure: { kind: 'phase', phase, statistic }, bound: value * factor } };
}

export interface Figures {
  success_percent: number | null;
  throughput_per_second: number | null;
  phases: Readonly<Record<Phase, { values: Readonly<Record<Statistic, number | null>> }>>;
}

export function judgeTarget({ text, figure, operator, bound }: Target, figures: Figures): TargetVerdict {
  const actual =
    figure.kind === 'success'
      ? figures.success_percent
      : figure.kind === 'throughput'
        ? figures.throughput_per_second
        : figures.phases[figure.phase].values[figure.statistic];
  return { target: text, actual, met: actual !== null && holds(actual, operator, bound) };
}

function holds(actual: number, operator: Operator, bound: number): boolean {
  switch (operator) {
    case '<':
      return actual < bound;
    case '<=':
      return actual <= bound;
    case '>':
      return actual > bound;
    case '>=':
      return actual >= bound;
  }
}

/** Probes each so many milliseconds; 0: all at once. `5/s`, `90/min`, `max`. */
export function parseRate(text: string): { ok: true; everyMs: number } | { ok: false; problem: string } {
  if (text === 'max') return { ok: true, everyMs: 0 };
  const [, figure = '', unit = ''] = /^(\d+(?:\.\d+)?)(\/(?:s|min|h))$/.exec(text) ?? [];
  const seconds = SECONDS_OF[unit];
  const count = Number(figure);
  if (seconds === undefined || count <= 0) {
    return {
      ok: false,
      problem: 'must be a number above 0 with /s, /min or /h, such as 5/s, or "max" for all at once',
    };
  }
  return { ok: true, everyMs: (seconds * 1_000) / count };
}
