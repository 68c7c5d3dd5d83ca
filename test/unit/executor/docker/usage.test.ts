import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { UsageMeter } from '../../../../src/executor/docker/usage.ts';
import { followUsage } from '../../../../src/executor/docker/usage-stream.ts';

const sample = (cpu: number, memory: object) => ({
  cpu_stats: { cpu_usage: { total_usage: cpu } },
  memory_stats: memory,
});

describe('UsageMeter', () => {
  it('knows nothing without a sample', () => {
    const meter = new UsageMeter();
    for (const odd of [null, 3, 'x', {}, sample(0, {}), { cpu_stats: null }]) meter.add(odd);
    expect(meter.read()).toEqual({ cpuSeconds: null, peakMemoryBytes: null });
  });

  it('takes the peak that cgroup v1 keeps', () => {
    const meter = new UsageMeter();
    meter.add(sample(1_500_000_000, { usage: 10, max_usage: 500 }));
    meter.add(sample(2_500_000_000, { usage: 20, max_usage: 500 }));
    expect(meter.read()).toEqual({ cpuSeconds: 2.5, peakMemoryBytes: 500 });
  });

  it('takes the highest sample on cgroup v2, and no harm from an empty last one', () => {
    const meter = new UsageMeter();
    meter.add(sample(1e9, { usage: 300, limit: 1000 }));
    meter.add(sample(2e9, { usage: 200, limit: 1000 }));
    meter.add(sample(0, {}));
    expect(meter.read()).toEqual({ cpuSeconds: 2, peakMemoryBytes: 300 });
  });
});

describe('followUsage', () => {
  it('reads a document a line, however the bytes are cut', async () => {
    const text = `${JSON.stringify(sample(1e9, { usage: 5 }))}\n\n${JSON.stringify(sample(3e9, { usage: 4 }))}\n`;
    const meter = new UsageMeter();
    await followUsage(async () => Readable.from(text.split('').map((one) => Buffer.from(one))), meter);
    expect(meter.read()).toEqual({ cpuSeconds: 3, peakMemoryBytes: 5 });
  });

  it('keeps what it has when the stream fails', async () => {
    const meter = new UsageMeter();
    const lines = [`${JSON.stringify(sample(1e9, { usage: 5 }))}\n`, 'no json\n'];
    await followUsage(async () => Readable.from(lines.map((line) => Buffer.from(line))), meter);
    await followUsage(() => Promise.reject(new Error('gone')), meter);
    expect(meter.read()).toEqual({ cpuSeconds: 1, peakMemoryBytes: 5 });
  });
});
