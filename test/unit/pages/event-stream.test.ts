import { PassThrough, Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { sendChanges } from '../../../src/pages/event-stream.ts';
import type { Overview } from '../../../src/pages/model.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { until } from '../../support/until.ts';

class Changing {
  revision = 'a';
  listener: (() => void) | null = null;
  asked = 0;

  async overview(): Promise<Overview> {
    this.asked += 1;
    return { revision: this.revision } as Overview;
  }

  onChange(listener: () => void): () => void {
    this.listener = listener;
    return () => {
      this.listener = null;
    };
  }

  change(revision: string): void {
    this.revision = revision;
    this.listener?.();
  }
}

describe('a stream of changes', () => {
  it('tells of each revision once, of changes that come together once, and that it is still there', async () => {
    const clock = new ManualClock();
    const source = new Changing();
    const sink = new PassThrough();
    let text = '';
    sink.on('data', (chunk: Buffer) => (text += chunk.toString()));
    const gone = new AbortController();
    const done = sendChanges(sink, { source, clock, gone: gone.signal });
    const told = (): string[] => [...text.matchAll(/"revision":"(\w+)"/g)].map(([, revision]) => revision ?? '');
    await until('the first', () => told().length === 1 && clock.sleeping === 1);
    source.change('b');
    await until('it pauses', () => clock.sleeping === 1);
    source.change('c');
    clock.advance(250);
    await until('the newest', () => told().at(-1) === 'c' && clock.sleeping === 1);
    expect(told()).toEqual(['a', 'c']);
    // Something changed that shows nowhere.
    source.change('c');
    await until('it pauses', () => clock.sleeping === 1);
    clock.advance(250);
    await until('it waits again', () => clock.sleeping === 1 && source.asked >= 3);
    expect(text).not.toContain('still here');
    for (let second = 0; second < 16; second += 1) {
      await until('it sleeps', () => clock.sleeping === 1);
      clock.advance(1_000);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await until('it says that it is there', () => text.includes(': still here'));
    expect(told()).toEqual(['a', 'c']);
    gone.abort();
    await done;
    expect(source.listener).toBeNull();
    expect(sink.writableEnded).toBe(true);
  });

  it('drops a reader that does not take what it is sent', async () => {
    const clock = new ManualClock();
    const source = new Changing();
    // Takes one piece, and never asks for more.
    const sink = new Writable({ highWaterMark: 64, write: () => undefined });
    const done = sendChanges(sink, { source, clock, gone: new AbortController().signal });
    for (let change = 0; change < 5 && source.listener; change += 1) {
      source.change(`r${change}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
      clock.advance(250);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await done;
    expect(sink.destroyed).toBe(true);
    expect(sink.writableLength).toBeLessThan(256);
    expect(source.listener).toBeNull();
  });
});
