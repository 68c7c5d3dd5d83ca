/** `docs/performance.md` and its charts, made from the results of one `npm run bench -- --save`. */
import type { Figure, SuiteDocument } from '../frame/figure.ts';
import { formatMet, formatRatio, formatValue } from '../frame/format.ts';
import type { Machine } from '../frame/machine.ts';
import type { Suite } from '../frame/suite.ts';
import { suiteCharts } from './chart.ts';

export const RESULTS_PATH = 'docs/performance/results.json';
const PAGE_PATH = 'docs/performance.md';
const CHARTS_DIRECTORY = 'docs/performance';

const INTRODUCTION = [
  '# Performance',
  '',
  '<!-- Made by `npm run docs` from docs/performance/results.json. Do not edit. -->',
  '',
  'Every figure is measured side by side with what it is compared with, in the same run and in turns, so that what the ' +
    'machine does besides touches both alike. The ratio says how many times better than the baseline a figure is: above 1 ' +
    'it is better, below 1 worse. Values are medians, or rates over all that was counted. p95 stands where at least 20 ' +
    'values were measured, p99 from 100 on.',
  '',
  '<!-- not run: it takes hours; test/integration/bench.test.ts has the same in small -->',
  '```sh',
  'npm run build',
  'npm run bench -- --save docs/performance/results.json   # all suites; those with containers need root',
  'npm run docs                                            # this page and its charts',
  '```',
  '',
];

type Described = Pick<Suite, 'name' | 'title' | 'method' | 'aim' | 'limits'>;

/**
 * Path in the repository → content.
 * @param documents none: nothing was measured yet. A suite that is there twice was run twice: the first run is told whole,
 *   of the second the figures with an aim.
 */
export function performanceFiles(
  suites: readonly Described[],
  documents: readonly SuiteDocument[],
): Map<string, string> {
  const files = new Map<string, string>();
  const lines = [...INTRODUCTION];
  if (documents.length === 0) lines.push('No results are kept with this version: measure on your own machine.', '');
  else lines.push(...machineLines(documents), ...overview(documents));
  for (const suite of suites) {
    const document = documents.find((each) => each.suite === suite.name);
    lines.push(...(document ? measuredSection(document, files) : section(suite)));
    const isMissed = document?.results.some(({ aim }) => aim?.met === false);
    if (isMissed && suite.limits !== undefined) lines.push(`Where the limit lies: ${suite.limits}`, '');
  }
  files.set(PAGE_PATH, `${lines.join('\n').trimEnd()}\n`);
  return files;
}

function machineLines(documents: readonly SuiteDocument[]): string[] {
  const [first] = documents;
  if (!first) return [];
  const { cores, docker, git, memoryGib, node, processor, system } = first.machine;
  const dates = [...new Set(documents.map(({ date }) => date.slice(0, 10)))];
  const commits = [...new Set(documents.map(({ machine }) => machine.commit))];
  const loads = documents.map(({ machine }) => machine.load);
  const quick = documents.some((document) => document.quick);
  return [
    '## Machine',
    '',
    `${processor}, ${cores} cores, ${memoryGib} GiB, ${system}. Node.js ${node}, Git ${git}, ` +
      `${docker === null ? 'no Docker' : `Docker ${docker}`}. Measured on ${dates.join(' and ')} at commit ` +
      `${commits.join(' and ')}. The mean load in the minute before a suite began was ${Math.min(...loads)} to ` +
      `${Math.max(...loads)}.`,
    '',
    ...mixedMachines(documents.map(({ machine }) => machine)),
    ...(quick ? ['**Sizes were scaled down: these figures say that the suites work, and no more.**', ''] : []),
  ];
}

function mixedMachines(machines: readonly Machine[]): string[] {
  const facts = new Set(
    machines.map((machine) => JSON.stringify({ ...machine, commit: null, load: null, files: null })),
  );
  return facts.size > 1 ? ['**Not all suites were run on the same machine.**', ''] : [];
}

function overview(documents: readonly SuiteDocument[]): string[] {
  const lines = [
    '## Aims',
    '',
    '| suite | figure | value | ratio | run again | aim | met? |',
    '| --- | --- | ---: | ---: | ---: | --- | --- |',
  ];
  const suites = [...new Set(documents.map(({ suite }) => suite))];
  for (const suite of suites) {
    const [first, again] = documents.filter((document) => document.suite === suite);
    if (!first) continue;
    if (first.failure !== null) lines.push(`| [${suite}](#${suite}) | all | – | – | – | | not measured |`);
    for (const [at, figure] of first.results.entries()) {
      if (figure.aim === null && figure.missing === null) continue;
      const { aim, name, ratio, unit, value } = figure;
      const other = again?.results.find((each, there) => there === at && each.name === name);
      const cells = [`[${suite}](#${suite})`, name, formatValue(value, unit), formatRatio(ratio)];
      const met =
        other && formatMet(other) !== formatMet(figure)
          ? `${formatMet(figure)}, ${formatMet(other)}`
          : formatMet(figure);
      lines.push(`| ${[...cells, other ? formatValue(other.value, unit) : '–', aim?.text ?? '', met].join(' | ')} |`);
    }
  }
  return [...lines, ''];
}

function section({ aim, method, name, title }: Described): string[] {
  return [`## ${name}`, '', `${capitalised(title)}. ${method}`, '', `Aim: ${aim}.`, ''];
}

function measuredSection(document: SuiteDocument, files: Map<string, string>): string[] {
  const { failure, results, seconds, suite, title } = document;
  const lines = section({ ...document, name: suite });
  if (failure !== null) return [...lines, `Not measured: ${failure.split('\n')[0]}`, ''];
  for (const { svg, unit } of suiteCharts(document)) {
    const file = `${suite}-${fileName(unit)}.svg`;
    files.set(`${CHARTS_DIRECTORY}/${file}`, svg);
    lines.push(`![${title}, in ${unit}](performance/${file})`, '');
  }
  return [
    ...lines,
    '| figure | value | p95 | p99 | samples | baseline | its value | its samples | ratio | aim | met? |',
    '| --- | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: | --- | --- |',
    ...results.map(row),
    '',
    ...results.flatMap(({ missing, name }) => (missing === null ? [] : [`Not measured, ${name}: ${missing}.`, ''])),
    `This suite took ${Math.round(seconds)} s. Repository, clones and state lay on ${document.machine.files}.`,
    '',
  ];
}

function row(figure: Figure): string {
  const { aim, baseline, name, p95, p99, ratio, samples, unit, value } = figure;
  const cells = [
    name,
    formatValue(value, unit),
    formatValue(p95, unit),
    formatValue(p99, unit),
    samples,
    baseline?.name ?? '',
    baseline ? formatValue(baseline.value, unit) : '',
    baseline?.samples ?? '',
    formatRatio(ratio),
    aim?.text ?? '',
    formatMet(figure),
  ];
  return `| ${cells.join(' | ')} |`;
}

function fileName(unit: string): string {
  return unit === '%' ? 'percent' : unit.toLowerCase().replaceAll(/[^a-z]+/g, '-');
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
