import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BENCH_DEFAULTS, benchGridPlan } from '../../../src/cli/client/bench-grid-flags.ts';
import type { Failure } from '../../../src/cli/failure.ts';
import { distributionOf, percentile } from '../../../src/client/percentiles.ts';
import { durationsOf, reportOf } from '../../../src/client/probe-report.ts';
import { newProbe, type Probe } from '../../../src/client/probe-run.ts';
import { type Figures, judgeTarget, parseRate, parseTarget } from '../../../src/client/targets.ts';
import { nodeId, taskId } from '../../../src/task/id.ts';
import type { ResultRecord } from '../../../src/task/result.ts';

const upTo = (n: number): number[] => Array.from({ length: n }, (_, at) => at + 1);

describe('a percentile', () => {
  it('is by nearest rank, exactly also where binary fractions are not', () => {
    expect(percentile(upTo(20), 95)).toBe(19);
    expect(percentile(upTo(20), 99)).toBe(20);
    expect(percentile(upTo(100), 99)).toBe(99);
    expect(percentile(upTo(101), 99)).toBe(100);
    expect(percentile([7], 50)).toBe(7);
    expect(percentile([1, 2], 50)).toBe(1);
    expect(percentile([], 50)).toBeNull();
  });

  it('is a sample that at least so many do not exceed, and no smaller one is', () => {
    const samples = fc.array(fc.integer({ min: 0, max: 1_000 }), { minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(samples, fc.integer({ min: 1, max: 99 }), (values, percent) => {
        const sorted = values.toSorted((a, b) => a - b);
        const found = percentile(sorted, percent) as number;
        const share = (bound: (value: number) => boolean): number =>
          (100 * sorted.filter(bound).length) / sorted.length;
        expect(share((value) => value <= found)).toBeGreaterThanOrEqual(percent - 1e-9);
        expect(share((value) => value < found)).toBeLessThan(percent);
      }),
    );
  });

  it('is flagged where it is nothing but the maximum', () => {
    expect(distributionOf(upTo(20)).few).toEqual(['p99']);
    expect(distributionOf(upTo(19)).few).toEqual(['p95', 'p99']);
    expect(distributionOf(upTo(100)).few).toEqual([]);
    expect(distributionOf([5]).few).toEqual(['p50', 'p90', 'p95', 'p99']);
    expect(distributionOf([])).toMatchObject({ n: 0, few: [], values: { avg: null, p50: null } });
    expect(distributionOf([3, 1, 2]).values).toMatchObject({ avg: 2, min: 1, max: 3, p50: 2 });
  });
});

describe('a target', () => {
  const figures: Figures = {
    success_percent: 99,
    throughput_per_second: 2,
    phases: Object.fromEntries(
      ['submit', 'queued', 'claim', 'pull', 'start', 'run', 'collect', 'publish', 'record', 'e2e'].map((phase) => [
        phase,
        distributionOf(phase === 'record' ? [] : [1_000, 2_000]),
      ]),
    ) as unknown as Figures['phases'],
  };
  const judged = (text: string) => {
    const parsed = parseTarget(text);
    if (!parsed.ok) throw new Error(parsed.problem);
    return judgeTarget(parsed.target, figures);
  };

  it.each([
    ['e2e.p95<10s', true],
    ['e2e.p95<2s', false],
    ['e2e.p95<=2s', true],
    [' e2e.max <= 2000ms ', true],
    ['queued.avg>1.4s', true],
    ['run.p50 < 0.1min', true],
    ['success>=99%', true],
    ['success>99%', false],
    ['throughput>=120/min', true],
    ['throughput>=7201/h', false],
  ])('%s', (text, met) => {
    expect(judged(text).met).toBe(met);
  });

  it('of what was not measured is not met, whichever way it points', () => {
    expect(judged('record.p50<10s')).toEqual({ target: 'record.p50<10s', met: false, actual: null });
    expect(judged('record.p50>=0s').met).toBe(false);
  });

  it.each([
    ['', /must be a figure/],
    ['e2e.p95', /must be a figure/],
    ['e2e.p95=10s', /must be a figure/],
    ['e2e.p95<10', /duration: give ms, s or min/],
    ['e2e.p95<10h', /duration/],
    ['e2e<10s', /say of e2e which: e2e\.avg/],
    ['e2e.p96<10s', /say of e2e which/],
    ['latency.p95<10s', /no figure "latency".*submit.*throughput/],
    ['success>=0.99', /0% to 100%/],
    ['success>=101%', /0% to 100%/],
    ['throughput>5', /\/s, \/min or \/h/],
    ['e2e.p95<-1s', /must be a figure/],
  ])('%j is refused with what to write', (text, problem) => {
    expect(parseTarget(text)).toEqual({ ok: false, problem: expect.stringMatching(problem) });
  });
});

describe('a rate', () => {
  it('says how far apart probes are', () => {
    expect(parseRate('5/s')).toEqual({ ok: true, everyMs: 200 });
    expect(parseRate('90/min')).toMatchObject({ everyMs: 60_000 / 90 });
    expect(parseRate('0.5/s')).toEqual({ ok: true, everyMs: 2_000 });
    expect(parseRate('max')).toEqual({ ok: true, everyMs: 0 });
    for (const bad of ['5', '0/s', '-1/s', 's', '5/day', '1e3/s', '']) {
      expect(parseRate(bad), bad).toEqual({ ok: false, problem: expect.stringMatching(/such as 5\/s/) });
    }
  });
});

describe('the flags', () => {
  const limits = { maxTaskBytes: 256 * 1024 };

  it('make probes that are known as such', () => {
    const plan = benchGridPlan({ ...BENCH_DEFAULTS, tasks: '3', warmup: '1', requires: ['gpu'] }, 'ab12', limits);
    expect(plan.tasks.map((task) => task.taskId)).toEqual(['probe-ab12-00001', 'probe-ab12-00002', 'probe-ab12-00003']);
    expect(plan.warmUp.map((task) => task.taskId)).toEqual(['probe-ab12-w00001']);
    expect(JSON.parse(Buffer.from(plan.tasks[0]!.content).toString())).toMatchObject({
      script: 'true',
      requires: ['gpu'],
    });
  });

  it('are all named that are wrong, with the flag and not the field', () => {
    const flags = {
      ...BENCH_DEFAULTS,
      tasks: '0',
      rate: 'x',
      taskTimeout: '0',
      image: '-',
      target: ['a<1s', 'e2e.p50<1s'],
    };
    try {
      benchGridPlan(flags, 'ab12', limits);
      expect.unreachable();
    } catch (error) {
      const { problems, exitCode } = error as Failure;
      expect(exitCode).toBe(2);
      expect(problems.map(({ name }) => name).toSorted()).toEqual([
        '--image',
        '--rate',
        '--target "a<1s"',
        '--task-timeout',
        '--tasks',
      ]);
    }
  });
});

describe('a report', () => {
  const task = (id: string) => ({ taskId: taskId(id), content: Buffer.from('{}'), source: 'probe', signature: null });
  const probe = (id: string, seen: Partial<Probe>): Probe => ({ ...newProbe(task(id), 1_000), sent: true, ...seen });
  const record = (id: string, node: string, fields: Partial<ResultRecord> = {}): ResultRecord =>
    ({
      task_id: id,
      node_id: node,
      status: 'success',
      reason: null,
      message: '',
      timings_ms: { claim: 5, pull: 0, start: 100, run: 200, collect: 50 },
      ...fields,
    }) as ResultRecord;

  it('never takes one machine’s clock for another’s: what lies between is a difference of durations', () => {
    const seen = probe('a', { queuedMs: 1_100, claimedMs: 1_500, doneMs: 2_000, recordedMs: 3_000, status: 'success' });
    // Times of day that are years off change nothing.
    const odd = record('a', 'n', { started_at: '1999-01-01T00:00:00.000Z', finished_at: '2090-01-01T00:00:00.000Z' });
    expect(Object.fromEntries(durationsOf(seen, odd))).toEqual({
      submit: 100,
      queued: 400,
      claim: 5,
      pull: 0,
      start: 100,
      run: 200,
      collect: 50,
      publish: 150,
      record: 1_000,
      e2e: 1_000,
    });
  });

  it('has no figure for what was not seen, and none below zero', () => {
    const fast = probe('a', { queuedMs: 1_100, doneMs: 1_400, recordedMs: 1_400, status: 'success' });
    expect(durationsOf(fast, record('a', 'n')).map(([phase]) => phase)).not.toContain('queued');
    expect(durationsOf(fast, record('a', 'n')).map(([phase]) => phase)).not.toContain('record');
    const late = probe('a', { queuedMs: 1_100, claimedMs: 1_300, doneMs: 1_400, status: 'success' });
    expect(Object.fromEntries(durationsOf(late, record('a', 'n')))).toMatchObject({ publish: 0 });
  });

  it('counts what has no result as not succeeded, and says on which nodes and why the rest failed', () => {
    const done = { queuedMs: 1_100, doneMs: 3_000, status: 'success' } as const;
    const run = {
      probes: [
        probe('a', done),
        probe('b', { ...done, nodeId: nodeId('other') }),
        probe('c', { ...done, status: 'failed' }),
        probe('d', { queuedMs: 1_100 }),
      ],
      ended: 'timeout' as const,
      lookGapsMs: [250, 260],
      failedLooks: 1,
    };
    const records = new Map([
      ['a', record('a', 'n')],
      ['c', record('c', 'n', { status: 'failed', reason: 'rejected', message: 'no' })],
    ]);
    const target = parseTarget('success>=75%');
    const report = reportOf('ab12', run, records, target.ok ? [target.target] : []);
    expect(report).toMatchObject({
      tasks: { wanted: 4, queued: 4, succeeded: 2, failed: 1, without_result: 1 },
      success_percent: 50,
      throughput_per_second: 1.5,
      nodes: [
        { node_id: 'n', tasks: 2, succeeded: 1 },
        { node_id: 'other', tasks: 1, succeeded: 1 },
      ],
      failures: [{ reason: 'rejected', tasks: 1, message: 'no' }],
      targets: [{ met: false, actual: 50 }],
      looks: { count: 3, failed: 1 },
    });
  });
});
