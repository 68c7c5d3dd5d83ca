/** The tables of docs/monitoring.md that are made from the catalogue of metrics. */
import { descriptionOf, METRIC_NAMES, type MetricName } from '../src/observe/metrics/catalogue.ts';
import { unitOf } from '../src/observe/metrics/description.ts';

export const MONITORING_PAGE_PATH = 'docs/monitoring.md';

/** Replaces what stands between the markers. @throws RangeError when they are not there. */
export function withMetricsTable(markdown: string): string {
  const start = '<!-- metrics:start -->\n';
  const from = markdown.indexOf(start);
  const to = markdown.indexOf('<!-- metrics:end -->');
  if (from < 0 || to < from) throw new RangeError(`${MONITORING_PAGE_PATH} has no place for the table of metrics`);
  return markdown.slice(0, from + start.length) + metricsTable() + markdown.slice(to);
}

function metricsTable(): string {
  const rows = METRIC_NAMES.map((name) => {
    const { help, type } = descriptionOf(name);
    return `| \`${name}\` | ${type} | ${unitOf(name)} | ${labelsOf(name)} | ${help.replace(/[|<>]/g, '\\$&')} |`;
  });
  return ['| metric | type | unit | labels | |', '| --- | --- | --- | --- | --- |', ...rows, ''].join('\n');
}

function labelsOf(name: MetricName): string {
  return Object.entries(descriptionOf(name).labels)
    .map(([label, values]) => (values === null ? `\`${label}\`` : `\`${label}\`: ${values.join(', ')}`))
    .join('; ');
}
