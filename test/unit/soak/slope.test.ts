import { describe, expect, it } from 'vitest';
import { type Sample, slopeOf } from '../../soak/slope.ts';

const MINUTE_MS = 60_000;

function line(fromMinute: number, count: number, start: number, perMinute: number): Sample[] {
  return Array.from({ length: count }, (_, index) => ({
    timeMs: (fromMinute + index) * MINUTE_MS,
    value: start + index * perMinute,
  }));
}

describe('a slope', () => {
  it('is what a line grows in an hour', () => {
    expect(slopeOf([line(0, 10, 5, 2)])).toEqual({ perHour: 120, min: 5, max: 23, samples: 10, segments: 1 });
  });

  it('is nothing for what stays', () => {
    expect(slopeOf([line(0, 10, 5, 0)])?.perHour).toBe(0);
  });

  it('does not take a new beginning for a fall', () => {
    const slope = slopeOf([line(0, 10, 100, 1), line(10, 10, 100, 1), line(20, 10, 100, 1)]);
    expect(slope).toMatchObject({ perHour: 60, min: 100, max: 109, samples: 30, segments: 3 });
  });

  it('leaves out segments that are too short to say anything', () => {
    expect(slopeOf([line(0, 10, 1, 1), line(10, 2, 1_000, 1_000)])).toMatchObject({ perHour: 60, segments: 1 });
    expect(slopeOf([line(0, 2, 1, 1)])).toBeNull();
  });

  it('is not misled by what swings', () => {
    const swinging = line(0, 1_000, 50, 0).map((sample, index) => ({ ...sample, value: 50 + (index % 2) }));
    expect(Math.abs(slopeOf([swinging])?.perHour ?? 1)).toBeLessThan(0.001);
  });
});
