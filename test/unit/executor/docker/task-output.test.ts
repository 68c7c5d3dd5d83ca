import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { joined, TaskOutput } from '../../../../src/executor/docker/task-output.ts';
import { MaskTable } from '../../../../src/secrets/stream-mask.ts';
import type { CapturedOutput } from '../../../../src/task/result.ts';
import { ManualClock } from '../../../support/manual-clock.ts';

const view = (text: string, truncated = false): CapturedOutput => ({
  bytes: Buffer.from(text),
  totalBytes: text.length,
  truncated,
});

describe('what a task has written so far', () => {
  const secret = Buffer.from('canary-58be/2f0+91ac-74');
  const ready = Buffer.from('ready\n');
  const frame = (stream: 1 | 2, bytes: Uint8Array): Buffer => {
    const header = Buffer.from([stream, 0, 0, 0, 0, 0, 0, 0]);
    header.writeUInt32BE(bytes.length, 4);
    return Buffer.concat([header, bytes]);
  };

  it('never holds a part of a secret, however the stream is cut, and however often it is asked for', async () => {
    for (let at = 1; at < secret.length; at += 1) {
      const stream = new PassThrough();
      const output = new TaskOutput(stream, ready, 10_000, new ManualClock(), new MaskTable([secret]));
      const seen: string[] = [];
      const ask = async () => {
        await new Promise((resolve) => {
          setImmediate(resolve);
        });
        for (const { bytes } of Object.values(output.written(5_000))) seen.push(Buffer.from(bytes).toString());
      };
      stream.write(frame(2, ready));
      for (const name of [1, 2] as const) {
        stream.write(frame(name, Buffer.concat([Buffer.from('before '), secret.subarray(0, at)])));
        await ask();
        stream.write(frame(name, Buffer.concat([secret.subarray(at), Buffer.from(' after')])));
        await ask();
      }
      const whole = `before ${'*'.repeat(secret.length)} after`;
      expect(seen.slice(-2)).toEqual([whole, whole]);
      for (const text of seen) expect(whole.startsWith(text)).toBe(true);
      output.close();
    }
  });
});

describe('two views of one output', () => {
  it.each([
    ['the store has it all', 'one\n', 'one\ntwo\n', 'one\ntwo\n'],
    ['the store has nothing', 'one\n', '', 'one\n'],
    ['nothing was seen live', '', 'one\n', 'one\n'],
    ['the store lacks a line that was not at its end', 'one\ntw', 'one\no\nthree\n', 'one\ntwo\nthree\n'],
  ])('when %s', (_what, live, stored, whole) => {
    const both = joined(view(live), view(stored));
    expect(Buffer.from(both.bytes).toString()).toBe(whole);
    expect(both.totalBytes).toBe(whole.length);
  });
});
