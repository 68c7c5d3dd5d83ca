import { describe, expect, it } from 'vitest';
import { joined } from '../../../../src/executor/docker/task-output.ts';
import type { CapturedOutput } from '../../../../src/task/result.ts';

const view = (text: string, truncated = false): CapturedOutput => ({
  bytes: Buffer.from(text),
  totalBytes: text.length,
  truncated,
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
