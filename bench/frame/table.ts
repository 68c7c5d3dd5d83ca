/** A suite's figures as a table for a terminal. */
import type { Figure, SuiteDocument } from './figure.ts';
import { formatMet, formatRatio, formatValue } from './format.ts';

const HEADINGS = ['figure', 'value', 'p95', 'p99', 'samples', 'baseline', 'its value', 'ratio', 'aim', 'met'] as const;
const RIGHT: ReadonlySet<number> = new Set([1, 2, 3, 4, 6, 7]);

export function suiteTable(document: SuiteDocument): string {
  const { aim, failure, quick, results, seconds, suite, title } = document;
  const lines = [
    `${suite}: ${title}`,
    `aim: ${aim}`,
    ...(quick ? ['scaled down (--quick): these figures say that the suite works, and no more'] : []),
    '',
    ...columns([HEADINGS, ...results.map(cells)]),
    ...results.flatMap(({ missing, name }) => (missing === null ? [] : [`not measured, ${name}: ${missing}`])),
    ...(failure === null ? [] : [`FAILED: ${failure}`]),
    `took ${Math.round(seconds)} s`,
  ];
  return `${lines.join('\n')}\n`;
}

function cells(figure: Figure): string[] {
  const { aim, baseline, name, p95, p99, ratio, samples, unit, value } = figure;
  return [
    name,
    formatValue(value, unit),
    formatValue(p95, unit),
    formatValue(p99, unit),
    String(samples),
    baseline?.name ?? '',
    baseline ? formatValue(baseline.value, unit) : '',
    formatRatio(ratio),
    aim?.text ?? '',
    formatMet(figure),
  ];
}

function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) =>
        RIGHT.has(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  );
}
