import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameDecoder, FrameError } from '../../../../src/executor/docker/frame-decoder.ts';

function frame(stream: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt8(stream, 0);
  header.writeUInt32BE(payload.length, 4);
  return Buffer.concat([header, payload]);
}

function decode(chunks: Uint8Array[]) {
  const seen = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
  const decoder = new FrameDecoder((stream, payload) => seen[stream].push(Uint8Array.from(payload)));
  for (const chunk of chunks) decoder.write(chunk);
  return { stdout: Buffer.concat(seen.stdout), stderr: Buffer.concat(seen.stderr), atBoundary: decoder.atBoundary };
}

describe('FrameDecoder', () => {
  it('takes streams apart however the bytes are cut', () => {
    const frames = fc.array(fc.tuple(fc.constantFrom(1, 2), fc.uint8Array({ maxLength: 50 })), { maxLength: 10 });
    fc.assert(
      fc.property(frames, fc.integer({ min: 1, max: 20 }), (given, size) => {
        const whole = Buffer.concat(given.map(([stream, payload]) => frame(stream, payload)));
        const chunks = [];
        for (let at = 0; at < whole.length; at += size) chunks.push(whole.subarray(at, at + size));
        const of = (wanted: number) => Buffer.concat(given.filter(([stream]) => stream === wanted).map(([, p]) => p));
        expect(decode(chunks)).toEqual({ stdout: of(1), stderr: of(2), atBoundary: true });
      }),
    );
  });

  it('counts the engine’s own words among the errors', () => {
    expect(decode([frame(3, Buffer.from('x'))]).stderr.toString()).toBe('x');
  });

  it('knows a stream that was cut off', () => {
    const whole = frame(1, Buffer.from('abc'));
    expect(decode([whole.subarray(0, 9)])).toMatchObject({ stdout: Buffer.from('a'), atBoundary: false });
    expect(decode([whole.subarray(0, 3)]).atBoundary).toBe(false);
  });

  it('refuses bytes that are no frames', () => {
    expect(() => decode([Buffer.from('plain text')])).toThrow(FrameError);
    expect(() => decode([Buffer.from([1, 0, 1, 0, 0, 0, 0, 0])])).toThrow(FrameError);
  });
});
