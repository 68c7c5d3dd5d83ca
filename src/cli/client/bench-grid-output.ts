/** The figures of `dgrid bench-grid` for people. */
import { PERCENTS, STATISTICS, type Statistic } from '../../client/percentiles.ts';
import { PHASES } from '../../client/probe-phases.ts';
import type { ProbeReport } from '../../client/probe-report.ts';
import { counted } from '../figures.ts';
import type { Output } from '../output.ts';

const CLOCK_MARK = { submitter: '', worker: ' ¹', difference: ' ²' } as const;

export function printReport(output: Output, report: ProbeReport): void {
  const { tasks, nodes, failures, looks, targets } = report;
  const success = report.success_percent === null ? '–' : `${round(report.success_percent)} %`;
  const rate = report.throughput_per_second;
  output.line(
    `${tasks.succeeded} of ${counted(tasks.wanted, 'probe', 'probes')} succeeded (${success})` +
      (rate === null ? '' : `, ${round(rate)} results a second`),
  );
  if (tasks.failed > 0 || tasks.without_result > 0) {
    output.line(`${tasks.failed} failed, ${tasks.without_result} have no result`);
  }
  for (const { reason, tasks: count, message } of failures) output.line(`  ${reason}: ${count} (${message})`);
  output.line();
  output.table(
    [
      { title: 'PHASE' },
      { title: 'N', align: 'right' },
      ...STATISTICS.map((name) => ({ title: name.toUpperCase(), align: 'right' as const })),
    ],
    PHASES.map((phase) => {
      const { n, values, few, clock } = report.phases[phase];
      const cell = (name: Statistic): string => `${shown(values[name])}${few.includes(name) ? '*' : ''}`;
      return [`${phase}${CLOCK_MARK[clock]}`, String(n), ...STATISTICS.map(cell)];
    }),
  );
  const few = PHASES.some((phase) => report.phases[phase].few.length > 0);
  output.line();
  output.line('measured on the clock of this machine; ¹ on the clock of the worker, within it; ² what is left of both');
  const gap = looks.gap_ms.values.p50;
  if (gap !== null)
    output.line(`the host was looked at every ${shown(gap)} (median): nothing seen is more exact than that`);
  if (few) {
    output.line(`* of so few samples it is the maximum: ${PERCENTS.map((p) => `p${p} needs ${needed(p)}`).join(', ')}`);
  }
  if (nodes.length > 0) {
    output.line();
    output.table(
      [{ title: 'NODE' }, { title: 'TASKS', align: 'right' }, { title: 'SUCCEEDED', align: 'right' }],
      nodes.map((node) => [node.node_id, String(node.tasks), String(node.succeeded)]),
    );
  }
  if (targets.length === 0) return;
  output.line();
  for (const { target, met, actual } of targets) {
    const word = output.style(met ? 'green' : 'red', met ? 'met    ' : 'not met');
    output.line(`${word}  ${target}: ${actual === null ? 'nothing was measured' : valueOf(target, actual)}`);
  }
}

function valueOf(target: string, actual: number): string {
  if (target.startsWith('success')) return `${round(actual)} %`;
  return target.startsWith('throughput') ? `${round(actual)} /s` : shown(actual);
}

/** Samples, so that the percentile is not the maximum. */
function needed(percent: number): number {
  return Math.floor(100 / (100 - percent));
}

/** Milliseconds, as short as they can be said. */
function shown(ms: number | null): string {
  if (ms === null) return '–';
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  return ms < 100_000 ? `${(ms / 1_000).toFixed(2)} s` : `${Math.round(ms / 1_000)} s`;
}

function round(value: number): string {
  return String(Math.round(value * 100) / 100);
}
