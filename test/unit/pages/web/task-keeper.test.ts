import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { TaskDetail } from '../../../../src/pages/model.ts';
import type { Answer } from '../../../../src/pages/web/fetch-json.ts';
import { TaskKeeper } from '../../../../src/pages/web/task-keeper.ts';

const LOOK_MS = 2_000;

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

function setUp(options: { isStatic?: boolean } = {}) {
  const asked: string[] = [];
  const sight = { isSeen: true };
  let answer: Answer<TaskDetail> = { kind: 'absent' };
  const running = (live: TaskDetail['live'], text = ''): void => {
    const stdout = { text, total_bytes: text.length, whole: true };
    answer = { kind: 'document', document: { row: { state: 'running' }, live, stdout } as TaskDetail, tag: null };
  };
  const recorded = (): void => {
    answer = { kind: 'document', document: { row: { state: 'recorded' }, live: null } as TaskDetail, tag: null };
  };
  const fail = (): void => {
    answer = { kind: 'failed', problem: 'no answer' };
  };
  const keeper = new TaskKeeper({
    ask: async (id) => {
      asked.push(id);
      return answer;
    },
    isStatic: options.isStatic ?? false,
    isSeen: () => sight.isSeen,
    onChange: () => undefined,
  });
  return { asked, fail, keeper, recorded, running, sight };
}

describe('what a running task writes', () => {
  it('is asked for every two seconds, until it has its result', async () => {
    const { asked, keeper, recorded, running } = setUp();
    running('live', 'one');
    keeper.show('a');
    await vi.advanceTimersByTimeAsync(LOOK_MS - 1);
    expect(asked).toHaveLength(1);
    running('live', 'one two');
    await vi.advanceTimersByTimeAsync(1);
    expect(keeper.state.detail?.stdout?.text).toBe('one two');
    recorded();
    await vi.advanceTimersByTimeAsync(LOOK_MS);
    expect(keeper.state.detail?.row.state).toBe('recorded');
    await vi.advanceTimersByTimeAsync(10 * LOOK_MS);
    expect(asked).toEqual(['a', 'a', 'a']);
  });

  it('is not asked for while nobody sees the page, nor after one has left it', async () => {
    const { asked, keeper, running, sight } = setUp();
    running('live');
    keeper.show('a');
    await vi.advanceTimersByTimeAsync(0);
    sight.isSeen = false;
    await vi.advanceTimersByTimeAsync(10 * LOOK_MS);
    expect(asked).toHaveLength(1);
    sight.isSeen = true;
    await vi.advanceTimersByTimeAsync(LOOK_MS);
    expect(asked).toHaveLength(2);
    keeper.show(null);
    await vi.advanceTimersByTimeAsync(10 * LOOK_MS);
    expect(asked).toHaveLength(2);
  });

  it.each(['not-asked', 'never', 'unsupported'] as const)('is not asked for where it is %s', async (live) => {
    const { asked, keeper, running } = setUp();
    running(live);
    keeper.show('a');
    await vi.advanceTimersByTimeAsync(10 * LOOK_MS);
    expect(asked).toHaveLength(1);
  });

  it('does not change in a picture of the grid', async () => {
    const { asked, keeper, running } = setUp({ isStatic: true });
    running('live');
    keeper.show('a');
    await vi.advanceTimersByTimeAsync(10 * LOOK_MS);
    expect(asked).toHaveLength(1);
  });

  it('is kept when an answer fails, and asked for again', async () => {
    const { fail, keeper, running } = setUp();
    running('live', 'one');
    keeper.show('a');
    await vi.advanceTimersByTimeAsync(0);
    fail();
    await vi.advanceTimersByTimeAsync(LOOK_MS);
    expect(keeper.state).toMatchObject({
      detail: { stdout: { text: 'one' } },
      problem: expect.stringMatching(/no answer/),
    });
    running('live', 'one two');
    await vi.advanceTimersByTimeAsync(5_000);
    expect(keeper.state).toMatchObject({ detail: { stdout: { text: 'one two' } }, problem: null });
  });
});
