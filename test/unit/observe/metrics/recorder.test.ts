/** What is counted of what is told, and how it is written down. */
import { describe, expect, it } from 'vitest';
import { GATE_REASONS } from '../../../../src/agent/gate.ts';
import { EVENTS, type EventName } from '../../../../src/observe/events.ts';
import { METRIC_NAMES, type MetricName } from '../../../../src/observe/metrics/catalogue.ts';
import { createExposition } from '../../../../src/observe/metrics/exposition.ts';
import { gaugesOf } from '../../../../src/observe/metrics/gauges.ts';
import { MetricsRecorder } from '../../../../src/observe/metrics/recorder.ts';
import { MAX_SERIES } from '../../../../src/observe/metrics/store.ts';
import { systemClock } from '../../../../src/runtime.ts';
import { healthOf } from '../../../../src/worker-health.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { MemoryGrid, testSettings } from '../../../support/memory-grid.ts';
import { recordEvents } from '../../../support/recorded-events.ts';
import { temporaryDirectory } from '../../../support/temporary-directory.ts';

const EMPTY_DISK = { used_percent: null, inodes_used_percent: null, free_bytes: null };

function recorder(): {
  recorder: MetricsRecorder;
  emit: ReturnType<MetricsRecorder['countingTo']>;
  clock: ManualClock;
} {
  const clock = new ManualClock();
  const made = new MetricsRecorder(clock);
  return { recorder: made, emit: made.countingTo(() => {}), clock };
}

function value(from: MetricsRecorder, name: MetricName, labels: Record<string, string> = {}): number | undefined {
  return from.samples(name).find((sample) => JSON.stringify(sample.labels) === JSON.stringify(labels))?.value;
}

describe('a recorder', () => {
  it('passes on what it is told, as it was told', () => {
    const events = recordEvents();
    const emit = new MetricsRecorder(new ManualClock()).countingTo(events.emit);
    emit('task.claimed', { task: 'a' });
    emit('worker.idle');
    expect(events.all).toEqual([
      { name: 'task.claimed', fields: { task: 'a' } },
      { name: 'worker.idle', fields: {} },
    ]);
  });

  it('counts events whose fields are missing or are something else, and never fails for them', () => {
    const { recorder: made, emit } = recorder();
    const odd = {
      status: {},
      reason: 7,
      ms: Number.NaN,
      tasks: -3,
      freed_bytes: '1',
      run_ms: 'x',
      outcome: null,
      step: [],
    };
    for (const name of Object.keys(EVENTS) as EventName[])
      for (const fields of [undefined, {}, odd]) emit(name, fields);
    for (const name of METRIC_NAMES)
      for (const sample of made.samples(name)) {
        expect(sample.value, name).toBeGreaterThanOrEqual(0);
        expect(Object.values(sample.labels).filter((label) => typeof label !== 'string')).toEqual([]);
      }
  });

  it('begins with every counter at 0, so that a first increase is seen as one', () => {
    const { recorder: made } = recorder();
    expect(value(made, 'dgrid_task_retries_total')).toBe(0);
    expect(value(made, 'dgrid_polls_total', { result: 'failed' })).toBe(0);
    expect(value(made, 'dgrid_tasks_finished_total', { status: 'failed', reason: 'lost' })).toBe(0);
    expect(made.samples('dgrid_task_phase_seconds').map(({ histogram }) => histogram?.count)).toEqual([0, 0, 0, 0, 0]);
    // What has not happened yet has no time.
    expect(made.samples('dgrid_last_poll_timestamp_seconds')).toEqual([]);
  });

  it('tells a rejected task once, whoever rejected it', () => {
    const { recorder: made, emit } = recorder();
    emit('task.rejected', { task: 'a', reason: 'rejected', problems: [] });
    emit('task.finished', { task: 'a', status: 'failed', reason: 'rejected' });
    emit('task.rejected', { task: 'b', status: 'failed', reason: 'invalid-task' });
    expect(value(made, 'dgrid_tasks_finished_total', { status: 'failed', reason: 'rejected' })).toBe(1);
    expect(value(made, 'dgrid_tasks_finished_total', { status: 'failed', reason: 'invalid-task' })).toBe(1);
  });

  it('puts durations into buckets, bounds included, and those above all of them too', () => {
    const { recorder: made, emit } = recorder();
    for (const run_ms of [5, 5.1, 60_000, 90_000_000])
      emit('task.finished', { status: 'success', reason: null, run_ms });
    emit('task.finished', { status: 'success', reason: null, run_ms: null });
    const run = made.samples('dgrid_task_phase_seconds').find(({ labels }) => labels['phase'] === 'run');
    expect(run?.histogram?.count).toBe(4);
    expect(run?.histogram?.counts[0]).toBe(1);
    expect(run?.histogram?.counts[1]).toBe(2);
    expect(run?.histogram?.counts.at(-1)).toBe(3);
    expect(run?.value).toBeCloseTo(90_060.0101);
    expect(value(made, 'dgrid_tasks_finished_total', { status: 'success', reason: 'none' })).toBe(5);
  });

  it('remembers when something went well, by the clock on the wall', () => {
    const { recorder: made, emit, clock } = recorder();
    emit('poll.skipped', {});
    clock.advance(5_000);
    emit('poll.failed', { err: new Error('gone') });
    expect(value(made, 'dgrid_last_poll_timestamp_seconds')).toBe(clock.wallMs() / 1000 - 5);
    clock.jumpWall(3_600_000);
    expect(made.startedAtSeconds).toBeLessThan(clock.wallMs() / 1000 - 3_600);
  });

  it('keeps apart only so many series of what others name', () => {
    const { recorder: made, emit } = recorder();
    for (let at = 0; at < 3 * MAX_SERIES; at += 1) {
      emit('swap.settled', { step: `swap.step-${at}`, outcome: at % 2 ? 'won' : 'lost' });
      emit('git.retry', { operation: `operation ${at}`, kind: `kind ${at}` });
    }
    expect(made.samples('dgrid_swaps_total').length).toBeLessThanOrEqual(MAX_SERIES + 4);
    expect(value(made, 'dgrid_swaps_total', { step: 'other', outcome: 'won' })).toBe(MAX_SERIES);
    expect(value(made, 'dgrid_git_retries_total', { operation: 'other', kind: 'other' })).toBe(2 * MAX_SERIES);
  });
});

describe('a worker whose figures are written down', () => {
  it('says what it did, and how it is', async () => {
    const directory = await temporaryDirectory();
    const grid = new MemoryGrid(directory);
    await grid.queue({
      good: { script: 'exit 0' },
      bad: { script: 'exit 3' },
      again: { script: 'exit 4', retries: 1 },
      greedy: { script: 'exit 0', memory: '10g' },
    });
    await grid.commit({ 'tasks/queue/broken.json': '{' });
    const settings = { maxTasksPerHour: 50, gitPushesPerMinute: 600, nodeLabels: ['a', 'b "c"\\\n'] };
    const worker = await grid.startWorker('pi', { untilIdle: true, settings });
    await worker.done;
    const made = new MetricsRecorder(systemClock);
    const emit = made.countingTo(() => {});
    for (const { name, fields } of worker.events.all) emit(name, fields);
    const repository = { doneByCommand: ['pushing'], command: { address: { transport: 'http' as const } } };
    const parts = {
      worker,
      settings: testSettings(directory, 'pi', settings),
      repository,
      version: '1.2.3',
      clock: systemClock,
    };
    const health = () => healthOf(parts);
    const write = createExposition({
      recorder: made,
      health,
      gateReasons: GATE_REASONS,
      version: '1.2.3',
      clock: systemClock,
    });
    const text = await write();
    const lines = new Set(text.split('\n'));
    const expected = [
      'dgrid_tasks_finished_total{status="success",reason="none"} 1',
      'dgrid_tasks_finished_total{status="failed",reason="exit-code"} 2',
      'dgrid_tasks_finished_total{status="failed",reason="rejected"} 1',
      'dgrid_tasks_finished_total{status="failed",reason="invalid-task"} 1',
      'dgrid_task_phase_seconds_count{phase="run"} 3',
      'dgrid_task_phase_seconds_bucket{phase="run",le="+Inf"} 3',
      'dgrid_task_starts_total{container="cold"} 4',
      'dgrid_task_retries_total 1',
      'dgrid_records_total 5',
      'dgrid_results_unpublished 0',
      'dgrid_queue_tasks{priority="medium"} 0',
      'dgrid_paused{reason="draining"} 1',
      'dgrid_paused{reason="disk"} 0',
      'dgrid_state{state="stopped"} 1',
      'dgrid_state{state="running"} 0',
      'dgrid_ready 0',
      'dgrid_quota_limit 50',
      'dgrid_quota_used 4',
      'dgrid_quota_left 46',
      'dgrid_push_budget_limit 600',
      'dgrid_git_by_command{ability="pushing"} 1',
      'dgrid_git_by_command{ability="listing"} 0',
      `dgrid_build_info{version="1.2.3",node_version="${process.versions.node}"} 1`,
      'dgrid_node_info{node="pi",name="worker-pi",labels="a,b \\"c\\"\\\\\\n"} 1',
    ];
    expect(expected.filter((line) => !lines.has(line))).toEqual([]);
    // For several who ask at once it is written once, and all get it whole.
    const [one, another] = await Promise.all([write(), write()]);
    expect(one).toBe(another);
    // Once more is the same, not twice as much; and there is nothing that is not known.
    expect(await write()).toContain('\ndgrid_records_total 5\n');
    expect(text).not.toMatch(/NaN|undefined|null|pool_hits_total \d/);
  });

  it('shows the pool where there is one, and no figure that a sensor did not give', async () => {
    const directory = await temporaryDirectory();
    const grid = new MemoryGrid(directory);
    const worker = await grid.startWorker('pi', { untilIdle: true });
    await worker.done;
    const repository = { command: { address: { transport: 'ssh' as const } } };
    const settings = testSettings(directory, 'pi');
    const known = healthOf({ worker, settings, repository, version: '1', clock: systemClock });
    const samples = gaugesOf(
      {
        ...known,
        warm_pool: { limit: 2, waiting: 1, hits: 5, misses: 3, died: 0 },
        resources: { ...known.resources, cpu_percent: null, disks: [{ ...EMPTY_DISK, path: '/gone' }] },
      },
      ['disk'],
    );
    expect(samples.get('dgrid_pool_hits_total')).toEqual([{ labels: {}, value: 5 }]);
    expect(samples.get('dgrid_pool_died_total')).toEqual([{ labels: {}, value: 0 }]);
    for (const absent of [
      'dgrid_cpu_used_ratio',
      'dgrid_disk_used_ratio',
      'dgrid_quota_left',
      'dgrid_git_by_command',
    ] as const)
      expect(samples.get(absent), absent).toBeUndefined();
    expect(samples.get('dgrid_threshold_ratio')).toHaveLength(3);
  });

  it('has something to say before it has met its repository', async () => {
    const { recorder: made, emit, clock } = recorder();
    emit('poll.failed', { err: new Error('gone') });
    const text = await createExposition({ recorder: made, health: () => null, gateReasons: [], version: '1', clock })();
    expect(text).toContain('\ndgrid_state{state="starting"} 1\n');
    expect(text).toContain('\ndgrid_ready 0\n');
    expect(text).toContain('\ndgrid_polls_total{result="failed"} 1\n');
  });
});
