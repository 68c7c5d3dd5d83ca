/** From probes that were seen, and the records of their workers, to figures. Pure. */
import type { ResultRecord } from '../task/result.ts';
import { type Distribution, distributionOf } from './percentiles.ts';
import { PHASE_INFO, PHASES, type Phase, type PhaseInfo } from './probe-phases.ts';
import type { Probe, ProbeRun } from './probe-run.ts';
import { judgeTarget, type Target, type TargetVerdict } from './targets.ts';

export const PROBE_REPORT_VERSION = 1;

export interface ProbeReport {
  schema_version: typeof PROBE_REPORT_VERSION;
  /** In the ids of its probes. */
  run: string;
  ended: ProbeRun['ended'];
  tasks: { wanted: number; queued: number; succeeded: number; failed: number; without_result: number };
  success_percent: number | null;
  /** Results, from the first probe's beginning to the last result. */
  throughput_per_second: number | null;
  /** Milliseconds. */
  phases: Record<Phase, Distribution & PhaseInfo>;
  nodes: { node_id: string; tasks: number; succeeded: number }[];
  /** Why probes failed. */
  failures: { reason: string; tasks: number; message: string }[];
  /** How often the host was looked at: nothing that is seen is more exact than that. */
  looks: { count: number; failed: number; gap_ms: Distribution };
  targets: TargetVerdict[];
}

/** @param records of those that have one that can be read, by task id */
export function reportOf(
  runId: string,
  run: Pick<ProbeRun, 'probes' | 'ended' | 'lookGapsMs' | 'failedLooks'>,
  records: ReadonlyMap<string, ResultRecord>,
  targets: readonly Target[],
): ProbeReport {
  const { probes } = run;
  const done = probes.filter(({ doneMs }) => doneMs !== null);
  const succeeded = done.filter(({ status }) => status === 'success').length;
  const phases = phasesOf(probes, records);
  const figures = {
    success_percent: probes.length === 0 ? null : (100 * succeeded) / probes.length,
    throughput_per_second: throughputOf(done),
    phases,
  };
  return {
    schema_version: PROBE_REPORT_VERSION,
    run: runId,
    ended: run.ended,
    tasks: {
      wanted: probes.length,
      queued: probes.filter(({ queuedMs }) => queuedMs !== null).length,
      succeeded,
      failed: done.length - succeeded,
      without_result: probes.length - done.length,
    },
    ...figures,
    nodes: nodesOf(done, records),
    failures: failuresOf(done, records),
    looks: { count: run.lookGapsMs.length + 1, failed: run.failedLooks, gap_ms: distributionOf(run.lookGapsMs) },
    targets: targets.map((target) => judgeTarget(target, figures)),
  };
}

function throughputOf(done: readonly Probe[]): number | null {
  const first = Math.min(...done.map(({ dueMs }) => dueMs));
  const last = Math.max(...done.map(({ doneMs }) => doneMs ?? 0));
  return done.length > 0 && last > first ? (1000 * done.length) / (last - first) : null;
}

function phasesOf(
  probes: readonly Probe[],
  records: ReadonlyMap<string, ResultRecord>,
): Record<Phase, Distribution & PhaseInfo> {
  const samples = Object.fromEntries(PHASES.map((phase) => [phase, [] as number[]])) as Record<Phase, number[]>;
  for (const probe of probes) {
    for (const [phase, ms] of durationsOf(probe, records.get(probe.task.taskId))) samples[phase].push(ms);
  }
  return Object.fromEntries(
    PHASES.map((phase) => [phase, { ...PHASE_INFO[phase], ...distributionOf(samples[phase]) }]),
  ) as Record<Phase, Distribution & PhaseInfo>;
}

/** Of one probe, as far as they are known. */
export function durationsOf(probe: Probe, record: ResultRecord | undefined): [Phase, number][] {
  const { dueMs, queuedMs, claimedMs, doneMs, recordedMs } = probe;
  const found: [Phase, number | null][] = [
    ['submit', queuedMs === null ? null : queuedMs - dueMs],
    ['queued', queuedMs === null || claimedMs === null ? null : claimedMs - queuedMs],
    ['e2e', doneMs === null ? null : doneMs - dueMs],
    // Seen with the same look, nothing can be said of what lies between.
    ['record', doneMs === null || recordedMs === null || recordedMs === doneMs ? null : recordedMs - doneMs],
  ];
  if (record) {
    const { claim, pull, start, run, collect } = record.timings_ms;
    found.push(['claim', claim], ['pull', pull], ['start', start], ['run', run], ['collect', collect]);
    const worked = [pull, start, run, collect].reduce<number>((sum, ms) => sum + (ms ?? 0), 0);
    // The claim is seen up to a look late, and so what is left may come out a little too small, but never negative.
    if (claimedMs !== null && doneMs !== null) found.push(['publish', Math.max(0, doneMs - claimedMs - worked)]);
  }
  return found.flatMap(([phase, ms]) => (ms === null ? [] : [[phase, ms]]));
}

/** By the record where there is one: a look may have shown the claim of a node that then lost the task. */
function nodesOf(done: readonly Probe[], records: ReadonlyMap<string, ResultRecord>): ProbeReport['nodes'] {
  const nodes = new Map<string, { node_id: string; tasks: number; succeeded: number }>();
  for (const { task, nodeId, status } of done) {
    const id = records.get(task.taskId)?.node_id ?? nodeId ?? 'unknown';
    const node = nodes.get(id) ?? { node_id: id, tasks: 0, succeeded: 0 };
    node.tasks += 1;
    if (status === 'success') node.succeeded += 1;
    nodes.set(id, node);
  }
  return [...nodes.values()].sort((a, b) => b.tasks - a.tasks || (a.node_id < b.node_id ? -1 : 1));
}

function failuresOf(done: readonly Probe[], records: ReadonlyMap<string, ResultRecord>): ProbeReport['failures'] {
  const failures = new Map<string, { reason: string; tasks: number; message: string }>();
  for (const { task, status } of done) {
    if (status === 'success') continue;
    const record = records.get(task.taskId);
    const reason = record?.reason ?? 'unknown';
    const failure = failures.get(reason) ?? { reason, tasks: 0, message: record?.message ?? '' };
    failure.tasks += 1;
    failures.set(reason, failure);
  }
  return [...failures.values()].sort((a, b) => b.tasks - a.tasks);
}
