import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { followPull } from '../../../../src/executor/docker/pull-progress.ts';
import type { Clock } from '../../../../src/runtime.ts';

async function follow(lines: (object | string)[], stepMs: number) {
  let nowMs = 0;
  const clock: Clock = {
    monotonicMs: () => {
      nowMs += stepMs;
      return nowMs;
    },
    wallMs: () => 0,
    sleep: async () => {},
  };
  const events: [string, object | undefined][] = [];
  const text = lines.map((line) => (typeof line === 'string' ? line : `${JSON.stringify(line)}\r\n`));
  await followPull(Readable.from(text.map((line) => Buffer.from(line))), 'img', clock, (name, fields) => {
    events.push([name, fields]);
  });
  return events;
}

const downloading = (id: string, current: number, total: number) => ({
  id,
  status: 'Downloading',
  progressDetail: { current, total },
});

describe('followPull', () => {
  it('tells now and then how far it is', async () => {
    const lines = [
      { status: 'Pulling from acme/tool', id: '1' },
      downloading('a', 10, 100),
      downloading('b', 5, 50),
      { id: 'a', status: 'Pull complete' },
      { status: 'Digest: x' },
    ];
    expect((await follow(lines, 1)).length).toBe(0);
    const events = await follow(lines, 2_000);
    expect(events.at(-1)).toEqual([
      'image.progress',
      { image: 'img', layers_done: 1, layers_seen: 3, bytes_done: 105, bytes_known: 150 },
    ]);
  });

  it('fails with the words of the engine', async () => {
    const lines = [downloading('a', 1, 2), { error: 'no space left', errorDetail: {} }];
    await expect(follow(lines, 1)).rejects.toMatchObject({ kind: 'image-unavailable', message: 'no space left' });
  });

  it('fails when the report is cut off', async () => {
    await expect(follow([downloading('a', 1, 2), '{"id": "a", "sta'], 1)).rejects.toMatchObject({
      kind: 'engine-unavailable',
    });
  });
});
