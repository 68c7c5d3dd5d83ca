import { describe, expect, it } from 'vitest';
import { MAX_SERIES_POINTS } from '../../../src/pages/limits.ts';
import { Series } from '../../../src/pages/series.ts';
import { ManualClock } from '../../support/manual-clock.ts';

function series(): { clock: ManualClock; series: Series } {
  const clock = new ManualClock();
  return { clock, series: new Series(clock) };
}

describe('a series', () => {
  it('closes a step when its time is over, with how things stood at its end', () => {
    const { clock, series: figures } = series();
    expect(figures.points()).toEqual([]);
    figures.stand({ pending: 4, running: 1, cpuPercent: 50 });
    for (const runMs of [100, 200, 300, 4_000]) figures.result('success', runMs);
    figures.result('failed', null);
    clock.advance(10_000);
    figures.stand({ pending: 2 });
    clock.advance(10_000);
    expect(figures.points()).toEqual([
      {
        at: '2026-03-01T12:00:10.000Z',
        succeeded: 4,
        failed: 1,
        pending: 4,
        running: 1,
        run_p50_ms: 200,
        run_p95_ms: 4_000,
        cpu_percent: 50,
        memory_percent: null,
      },
      expect.objectContaining({
        at: '2026-03-01T12:00:20.000Z',
        succeeded: 0,
        pending: 2,
        running: 1,
        run_p50_ms: null,
      }),
    ]);
  });

  it('keeps the newest steps, also after a long sleep', () => {
    const { clock, series: figures } = series();
    figures.result('success', 1);
    for (let step = 0; step < MAX_SERIES_POINTS + 5; step += 1) {
      clock.advance(10_000);
      figures.result('failed', 1);
    }
    const points = figures.points();
    expect(points).toHaveLength(MAX_SERIES_POINTS);
    expect(points.every(({ failed, succeeded }) => failed === 1 && succeeded === 0)).toBe(true);
    clock.advance(30 * 24 * 3_600_000);
    const later = figures.points();
    expect(later).toHaveLength(MAX_SERIES_POINTS);
    expect(later.every(({ failed }) => failed === 0)).toBe(true);
    expect(later.at(-1)?.at).toBe(new Date(clock.wallMs() - (clock.wallMs() % 10_000)).toISOString());
  });

  it('puts results of the past where they belong', () => {
    const { clock, series: figures } = series();
    figures.seed([
      { agoMs: 5_000, status: 'success', runMs: 7 },
      { agoMs: 25_000, status: 'failed', runMs: null },
      { agoMs: 26_000, status: 'success', runMs: 9 },
      { agoMs: 10 * 24 * 3_600_000, status: 'success', runMs: 9 },
    ]);
    expect(figures.points().map(({ at, failed, run_p50_ms: p50, succeeded }) => [at, succeeded, failed, p50])).toEqual([
      ['2026-03-01T11:59:40.000Z', 1, 1, 9],
      ['2026-03-01T11:59:50.000Z', 0, 0, null],
      ['2026-03-01T12:00:00.000Z', 1, 0, 7],
    ]);
    clock.advance(10_000);
    expect(figures.points()).toHaveLength(4);
  });
});
