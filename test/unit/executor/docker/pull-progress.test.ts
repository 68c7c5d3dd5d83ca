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
  let progress = 0;
  const digest = await followPull(
    Readable.from(text.map((line) => Buffer.from(line))),
    'img',
    clock,
    (name, fields) => {
      events.push([name, fields]);
    },
    () => {
      progress += 1;
    },
  );
  return { events, digest, progress };
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
    expect((await follow(lines, 1)).events).toEqual([]);
    const { events } = await follow(lines, 10_000);
    expect(events.at(-1)).toEqual([
      'image.progress',
      { image: 'img', layers_done: 1, layers_seen: 3, bytes_done: 105, bytes_known: 150 },
    ]);
  });

  it('says which digest the registry gave', async () => {
    const digest = `sha256:${'a'.repeat(64)}`;
    expect((await follow([downloading('a', 1, 2), { status: `Digest: ${digest}` }], 1)).digest).toBe(digest);
    expect((await follow([{ status: 'Digest: x' }], 1)).digest).toBeNull();
  });

  it('takes waiting for another try of the engine for no progress', async () => {
    const waiting = [5, 4, 3].map((seconds) => ({ id: 'a', status: `Retrying in ${seconds} seconds` }));
    expect((await follow([downloading('a', 1, 2), ...waiting], 1)).progress).toBe(1);
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
