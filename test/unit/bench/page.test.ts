/** The page on performance is made from what is kept of the last measurements, and from nothing else. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { atMost, figure, missingFigure, type SuiteDocument } from '../../../bench/frame/figure.ts';
import { suiteCharts } from '../../../bench/page/chart.ts';
import { performanceFiles, RESULTS_PATH } from '../../../bench/page/page.ts';
import { SUITES } from '../../../bench/suites.ts';

const ROOT = join(import.meta.dirname, '../../..');

const DOCUMENT: SuiteDocument = {
  suite: 'poll',
  title: 'one <idle> poll',
  method: 'How it was done.',
  aim: 'little',
  machine: {
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
  },
  date: '2026-01-02T03:04:05.000Z',
  quick: false,
  seconds: 12.3,
  results: [
    figure({
      name: 'bytes',
      unit: 'B',
      value: 900,
      samples: 20,
      baseline: { name: 'git ls-remote', value: 729_000, samples: 10 },
      aim: atMost(1023, '< 1 KiB'),
    }),
    figure({
      name: 'bytes',
      unit: 'B',
      value: 900,
      samples: 20,
      baseline: { name: 'git fetch', value: 2000, samples: 10 },
    }),
    missingFigure({ name: 'warm', unit: 'ms', aim: atMost(5, '≤ 5 ms') }, 'no such setting'),
  ],
  failure: null,
};
const SUITE = { name: 'poll', title: 'one poll', method: 'How.', aim: 'little' };

function pageOf(...documents: SuiteDocument[]): string {
  return performanceFiles([SUITE], documents).get('docs/performance.md') ?? '';
}

describe('the page', () => {
  it('is up to date with its results (npm run docs)', () => {
    const results = join(ROOT, RESULTS_PATH);
    const documents = existsSync(results) ? (JSON.parse(readFileSync(results, 'utf8')) as SuiteDocument[]) : [];
    for (const [path, content] of performanceFiles(SUITES, documents)) {
      expect(readFileSync(join(ROOT, path), 'utf8'), path).toBe(content);
    }
  });

  it('tells machine, date, method, ratio, aim, and whether it is met', () => {
    const page = pageOf(DOCUMENT);
    for (const part of ['a processor, 2 cores, 4 GiB', '2026-01-02', 'commit abc', 'How it was done.', 'no Docker']) {
      expect(page).toContain(part);
    }
    expect(page).toContain('| bytes | 900 B | – | – | 20 | git ls-remote | 712 KiB | 10 | 810 × | < 1 KiB | yes |');
  });

  it('does not hide what was not measured', () => {
    expect(pageOf(DOCUMENT)).toContain('Not measured, warm: no such setting.');
    expect(pageOf(DOCUMENT)).toContain('| [poll](#poll) | warm | – | – | – | ≤ 5 ms | not measured |');
    expect(pageOf({ ...DOCUMENT, results: [], failure: 'no engine\nat x' })).toContain('Not measured: no engine');
  });

  it('shows what a second run brought beside the first, and says where they disagree', () => {
    const [bytes, ...rest] = DOCUMENT.results;
    const more = figure({ name: 'bytes', unit: 'B', value: 1100, samples: 20, aim: atMost(1023, '< 1 KiB') });
    const page = pageOf(DOCUMENT, { ...DOCUMENT, results: [more, ...rest] });
    expect(bytes?.value).toBe(900);
    expect(page).toContain('| [poll](#poll) | bytes | 900 B | 810 × | 1,100 B | < 1 KiB | yes, no |');
    expect(page.match(/^## poll$/gm)).toHaveLength(1);
  });

  it('tells where the limit lies of a suite that misses an aim, and only of such', () => {
    const missed = figure({ name: 'bytes', unit: 'B', value: 1100, samples: 20, aim: atMost(1023, '< 1 KiB') });
    const told = (document: SuiteDocument) =>
      performanceFiles([{ ...SUITE, limits: 'in the header.' }], [document]).get('docs/performance.md') ?? '';
    expect(told({ ...DOCUMENT, results: [missed] })).toContain('Where the limit lies: in the header.');
    const met = figure({ name: 'bytes', unit: 'B', value: 900, samples: 20, aim: atMost(1023, '< 1 KiB') });
    expect(told({ ...DOCUMENT, results: [met] })).not.toContain('Where the limit lies');
  });

  it('says when sizes were scaled down, and when machines differ', () => {
    expect(pageOf({ ...DOCUMENT, quick: true })).toContain('scaled down');
    expect(pageOf(DOCUMENT)).not.toContain('scaled down');
    const elsewhere = { ...DOCUMENT, machine: { ...DOCUMENT.machine, cores: 64 } };
    const busier = { ...DOCUMENT, machine: { ...DOCUMENT.machine, load: 3 } };
    expect(pageOf(DOCUMENT, elsewhere)).toContain('Not all suites were run on the same machine');
    expect(pageOf(DOCUMENT, busier)).not.toContain('Not all suites');
  });

  it('describes the suites also where nothing was measured yet', () => {
    expect(pageOf()).toContain('## poll\n\nOne poll. How.\n\nAim: little.');
  });
});

describe('a chart', () => {
  const charts = suiteCharts(DOCUMENT);

  it('is drawn for each unit in which something was compared, and linked', () => {
    const files = performanceFiles([SUITE], [DOCUMENT]);
    expect(charts.map(({ unit }) => unit)).toEqual(['B']);
    expect([...files.keys()]).toEqual(['docs/performance/poll-b.svg', 'docs/performance.md']);
    expect(pageOf(DOCUMENT)).toContain('](performance/poll-b.svg)');
  });

  it('shows a figure once, and each of its baselines', () => {
    const { svg = '' } = charts[0] ?? {};
    expect(svg.match(/class="own"/g)).toHaveLength(1);
    expect(svg.match(/class="other"/g)).toHaveLength(2);
    expect(svg).toContain('logarithmic scale');
  });

  it('takes no text for markup', () => {
    expect(charts[0]?.svg).toContain('one &lt;idle&gt; poll');
  });

  it('has bars as long as their figures, from zero, where these are near each other', () => {
    const baseline = { name: 'git', value: 20, samples: 1 };
    const results = [figure({ name: 'time', unit: 'ms', value: 10, samples: 1, baseline })];
    const { svg = '' } = suiteCharts({ ...DOCUMENT, results })[0] ?? {};
    const widths = [...svg.matchAll(/<rect [^>]*width="([\d.]+)"/g)].map(([, width]) => Number(width));
    expect(widths[1]).toBe(2 * (widths[0] ?? 0));
    expect(svg).toContain('linear scale from zero');
  });
});
