/** How much is queued is counted once for each queue, and again as long as something of it was not read. */
import { describe, expect, it } from 'vitest';
import { queueDepthOf } from '../../../src/agent/queue-depth.ts';
import type { QueueFile } from '../../../src/ledger/found-files.ts';
import type { TaskBrief } from '../../../src/ledger/spec-cache.ts';
import type { Priority } from '../../../src/task/task-schema.ts';

const NOTHING = { critical: 0, high: 0, medium: 0, low: 0, invalid: 0, illegal_names: 0 };

function legal(priority: Priority): TaskBrief {
  return { ok: true, priority, requires: [], memoryBytes: null, image: null };
}

function queueOf(...ids: string[]): object {
  const files = new Map(ids.map((taskId) => [taskId, { taskId }]));
  return { files, illegalPaths: ['Not Legal.json'], moreIllegalPaths: 2 };
}

describe('the depth of the queue', () => {
  it('is told by priority, with what is not legal', () => {
    const briefs = new Map<string, TaskBrief>([
      ['a', legal('high')],
      ['b', legal('low')],
      ['c', { ok: false }],
    ]);
    let asked = 0;
    const specs = {
      brief: ({ taskId }: QueueFile) => {
        asked += 1;
        return briefs.get(taskId) ?? null;
      },
    };
    const reader = { view: { queue: queueOf('a', 'b', 'c', 'd') } };
    const depth = queueDepthOf(reader as never, specs);
    expect(depth()).toEqual({ ...NOTHING, high: 1, low: 1, invalid: 1, illegal_names: 3 });
    // One was not read yet: it is looked at again.
    briefs.set('d', legal('low'));
    expect(depth()).toMatchObject({ low: 2 });
    const before = asked;
    expect(depth()).toMatchObject({ low: 2 });
    expect(asked).toBe(before);
    reader.view = { queue: queueOf() };
    expect(depth()).toEqual({ ...NOTHING, illegal_names: 3 });
  });
});
