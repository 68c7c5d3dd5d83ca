/** The files for Prometheus and Grafana, the page about them and the catalogue of metrics tell of the same things. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { withMetricsTable } from '../../scripts/metrics-docs.ts';
import { descriptionOf, METRIC_NAMES } from '../../src/observe/metrics/catalogue.ts';
import { systemClock } from '../../src/runtime.ts';
import { healthOf } from '../../src/worker-health.ts';
import { MarkdownPage, ROOT } from '../support/markdown.ts';
import { MemoryGrid, testSettings } from '../support/memory-grid.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const PAGE = new MarkdownPage('docs/monitoring.md');
const ALERTS = readFileSync(join(ROOT, 'monitoring/prometheus-alerts.yml'), 'utf8');

/** As Prometheus shows them: a histogram is three. */
const SERIES = new Set(
  METRIC_NAMES.flatMap((name) =>
    descriptionOf(name).type === 'histogram' ? ['bucket', 'sum', 'count'].map((part) => `${name}_${part}`) : [name],
  ),
);

/** Label names that begin alike are none of ours. */
function metricsIn(text: string): string[] {
  return [...new Set(text.match(/\b(?:dgrid|process|nodejs)_[a-z_]+\b/g) ?? [])];
}

describe('every metric', () => {
  it.each(METRIC_NAMES)('%s is named as Prometheus wants it', (name) => {
    const { buckets, help, labels, type } = descriptionOf(name);
    expect(name).toMatch(/^(?:dgrid|process|nodejs)_[a-z]+(?:_[a-z]+)*$/);
    expect(name.endsWith('_total')).toBe(type === 'counter');
    expect(help).toMatch(/^[A-Z1].*\.$/);
    expect(name).not.toMatch(/_(?:ms|milliseconds|percent|kilobytes|mb)(?:_|$)/);
    expect(Object.keys(labels).filter((label) => !/^[a-z][a-z_]*$/.test(label) || label === 'le')).toEqual([]);
    expect(Object.keys(labels)).not.toContain('task');
    expect(buckets).toEqual([...buckets].toSorted((a, b) => a - b));
    expect(buckets.length > 0).toBe(type === 'histogram');
  });
});

describe('the page on monitoring', () => {
  it('has a table of all metrics that is up to date (npm run docs)', () => {
    expect(withMetricsTable(PAGE.text)).toBe(PAGE.text);
    expect(METRIC_NAMES.filter((name) => !PAGE.text.includes(`\n| \`${name}\` |`))).toEqual([]);
    expect(() => withMetricsTable('no markers')).toThrow(/no place/);
  });

  it('has a section for each alert, which the alert points to', () => {
    const alerts = [...ALERTS.matchAll(/- alert: (\w+)\n(.*?)(?=\n {6}- alert|\n {2}- name|$(?![\s\S]))/gs)];
    expect(alerts.length).toBeGreaterThan(10);
    for (const [, name = '', rule = ''] of alerts) {
      const anchor = /runbook: docs\/monitoring\.md#(\S+)/.exec(rule)?.[1] ?? '';
      expect(PAGE.anchors, `the runbook of ${name}`).toContain(anchor);
      expect(rule, name).toMatch(/summary: ".+"\n.*description: ".+"/);
      expect(rule, name).toMatch(/severity: (?:critical|warning|info)\n/);
      const heading = [...PAGE.text.matchAll(/^### (.*)$/gm)].find(
        ([, text = '']) => text.toLowerCase().replaceAll(' ', '-') === anchor,
      )?.[0];
      expect(PAGE.section(heading ?? ''), `the section of ${name}`).toContain(`\`${name}\``);
    }
    const sections = [...PAGE.section('## Alerts').matchAll(/^### /gm)];
    expect(sections).toHaveLength(alerts.length);
  });

  it('describes every field of the health document', async () => {
    const directory = await temporaryDirectory();
    const grid = new MemoryGrid(directory);
    await grid.queue({ good: { script: 'exit 0' } });
    const worker = await grid.startWorker('pi', { untilIdle: true });
    await worker.done;
    const document = healthOf({
      worker,
      settings: testSettings(directory, 'pi'),
      repository: { command: { address: { transport: 'file' } } },
      version: 'test',
      clock: systemClock,
    });
    expect(document.engine?.name).toBe('stub');
    const table = PAGE.section('## The health document');
    expect(Object.keys(document).filter((field) => !table.includes(`\`${field}\``))).toEqual([]);
    const parts = { ...document.resources, ...document.git, ...document.quota, ...document.queue, ...document.grid };
    const named = new Set(['critical', 'high', 'medium', 'low']);
    expect(Object.keys(parts).filter((field) => !named.has(field) && !table.includes(`\`${field}\``))).toEqual([]);
  });
});

describe('what is made for Prometheus and Grafana', () => {
  it.each(globSync('monitoring/*', { cwd: ROOT }))('%s names only metrics that exist', (path) => {
    const names = metricsIn(readFileSync(join(ROOT, path), 'utf8'));
    expect(names.filter((name) => !SERIES.has(name) && name !== 'dgrid_token')).toEqual([]);
  });

  it('the dashboard shows most of them, each panel from the data source that was chosen', () => {
    const text = readFileSync(join(ROOT, 'monitoring/grafana-dashboard.json'), 'utf8');
    const dashboard = JSON.parse(text) as { panels: { type: string; title: string; datasource?: { uid: string } }[] };
    const rows = dashboard.panels.filter(({ type }) => type === 'row').map(({ title }) => title);
    expect(rows).toEqual(['Grid', 'Tasks', 'Git', 'Resources', 'Sandbox and pool']);
    const others = dashboard.panels.filter(({ type }) => type !== 'row');
    expect(new Set(others.map(({ datasource }) => datasource?.uid))).toEqual(new Set(['${datasource}']));
    expect(metricsIn(text).length).toBeGreaterThan(METRIC_NAMES.length / 2);
  });
});
