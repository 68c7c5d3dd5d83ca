import { describe, expect, it } from 'vitest';
import {
  atLeast,
  atMost,
  figure,
  isComplete,
  missingFigure,
  type SuiteDocument,
  timesBetter,
} from '../../../bench/frame/figure.ts';
import { formatRatio, formatValue } from '../../../bench/frame/format.ts';
import { suiteTable } from '../../../bench/frame/table.ts';

const MACHINE = {
  processor: 'a processor',
  cores: 2,
  memoryGib: 4,
  system: 'linux 6',
  node: 'v26',
  git: '2',
  docker: null,
  commit: 'abc',
  load: 0.5,
  files: 'ext4',
};

function document(changes: Partial<SuiteDocument> = {}): SuiteDocument {
  return {
    suite: 'poll',
    title: 'one poll',
    method: 'How.',
    aim: 'fast',
    machine: MACHINE,
    date: '2026-01-02T03:04:05.000Z',
    quick: false,
    seconds: 1,
    results: [],
    failure: null,
    ...changes,
  };
}

describe('a figure', () => {
  it('says how many times better than its baseline it is, where less is better', () => {
    const made = figure({ name: 'time', unit: 'ms', values: [1, 2, 3], baseline: { name: 'git', values: [10, 20] } });
    expect(made).toMatchObject({ value: 2, samples: 3, p50: 2, baseline: { name: 'git', value: 15, samples: 2 } });
    expect(made.ratio).toBe(7.5);
  });

  it('does so where more is better', () => {
    const baseline = { name: 'git', value: 5, samples: 20 };
    const made = figure({ name: 'rate', unit: 'tasks/s', better: 'higher', value: 50, samples: 200, baseline });
    expect(made).toMatchObject({ value: 50, samples: 200, ratio: 10, p50: null });
  });

  it('has no ratio with nothing, nor with zero', () => {
    expect(figure({ name: 'size', unit: 'B', value: 5, samples: 1 }).ratio).toBeNull();
    const zero = { name: 'idle', value: 0, samples: 1 };
    expect(figure({ name: 'CPU', unit: '%', value: 1, samples: 1, baseline: zero }).ratio).toBeNull();
    expect(figure({ name: 'twice', unit: 'tasks', value: 0, samples: 1, baseline: zero }).ratio).toBeNull();
  });

  it('meets its aim or does not', () => {
    const met = (value: number, aim: ReturnType<typeof atMost>): boolean | undefined =>
      figure({ name: 'x', unit: 'ms', value, samples: 1, aim, baseline: { name: 'y', value: 10, samples: 1 } }).aim
        ?.met;
    expect(met(5, atMost(5, ''))).toBe(true);
    expect(met(5.1, atMost(5, ''))).toBe(false);
    expect(met(5, atLeast(5, ''))).toBe(true);
    expect(met(5, timesBetter(2, ''))).toBe(true);
    expect(met(5, timesBetter(2.1, ''))).toBe(false);
  });

  it('without a measurement is a missing one, and its aim is missed', () => {
    const aim = atMost(5, '≤ 5');
    expect(figure({ name: 'x', unit: 'ms', values: [], aim })).toMatchObject({
      value: null,
      missing: 'nothing was measured',
      aim: { met: false },
    });
  });
});

describe('a suite', () => {
  const good = figure({ name: 'x', unit: 'ms', value: 9, samples: 1, aim: atMost(5, '≤ 5') });

  it('is complete when all was measured, good or not', () => {
    expect(isComplete(document({ results: [good] }))).toBe(true);
    expect(isComplete(document())).toBe(false);
    expect(isComplete(document({ results: [good], failure: 'no engine' }))).toBe(false);
    expect(isComplete(document({ results: [good, missingFigure({ name: 'y', unit: 'ms' }, 'why')] }))).toBe(false);
  });

  it('survives being written as JSON and read again', () => {
    const whole = document({ results: [good] });
    expect(JSON.parse(JSON.stringify(whole))).toEqual(whole);
  });

  it('is a table whose columns stand below each other', () => {
    const baseline = { name: 'git ls-remote', value: 18, samples: 4 };
    const other = figure({ name: 'a longer name', unit: 'ms', value: 9, samples: 1, baseline });
    const lines = suiteTable(document({ results: [good, other] })).split('\n');
    const [heading = '', first = '', second = ''] = lines.slice(lines.indexOf('') + 1);
    expect(first).toMatch(/^x .* 9 ms .* ≤ 5 +no$/);
    expect(second).toMatch(/^a longer name .* git ls-remote +18 ms +2.00 ×$/);
    expect(second.indexOf('git ls-remote')).toBe(heading.indexOf('baseline'));
  });

  it('says in its table what was not measured, and why', () => {
    const missing = missingFigure({ name: 'warm', unit: 'ms', aim: atMost(5, '≤ 5') }, 'no such setting');
    expect(suiteTable(document({ results: [missing] }))).toContain('not measured, warm: no such setting');
    expect(suiteTable(document({ failure: 'no engine' }))).toContain('FAILED: no engine');
    expect(suiteTable(document({ quick: true }))).toContain('--quick');
  });
});

describe('a value for people', () => {
  it.each([
    [0, 'ms', '0 ms'],
    [1.234, 'ms', '1.2 ms'],
    [12.34, 'ms', '12.3 ms'],
    [1234.5, 'ms', '1,235 ms'],
    [885, 'B', '885 B'],
    [729_000, 'B', '712 KiB'],
    [3_700_000, 'B', '3.5 MiB'],
  ] as const)('%d %s is %s', (value, unit, text) => {
    expect(formatValue(value, unit)).toBe(text);
  });

  it('has two digits behind the point where a ratio is near one', () => {
    expect(formatRatio(1.006)).toBe('1.01 ×');
    expect(formatRatio(0.94)).toBe('0.94 ×');
    expect(formatRatio(729.4)).toBe('729 ×');
    expect(formatRatio(null)).toBe('–');
  });
});
