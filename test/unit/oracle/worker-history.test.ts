import { describe, expect, it } from 'vitest';
import { WorkerHistory } from '../../support/oracle/worker-history.ts';

describe('what a worker said', () => {
  it('is read out of its log, for the node whose log it is', () => {
    const { starts, tries } = new WorkerHistory().take('a', [
      { event: 'worker.ready', time: '2026-01-05T10:00:00.000Z' },
      {
        event: 'swap.settled',
        time: '2026-01-05T10:00:01.000Z',
        ref: 'refs/dgrid/tasks/one',
        from: null,
        to: 'b'.repeat(40),
        outcome: 'unclear',
        sent_ms: 5,
        settled_ms: 7,
      },
      {
        event: 'task.started',
        time: '1970-01-01T00:00:01.500Z',
        task: 'one',
        attempt: 2,
        epoch: 3,
        incarnation: 'x',
        image: 'busybox:stable',
      },
    ]);
    expect(tries).toEqual([
      {
        node: 'a',
        ref: 'refs/dgrid/tasks/one',
        from: null,
        to: 'b'.repeat(40),
        outcome: 'unclear',
        sentMs: 5,
        settledMs: 7,
      },
    ]);
    expect(starts).toEqual([{ node: 'a', taskId: 'one', attempt: 2, epoch: 3, incarnation: 'x', timeMs: 1_500 }]);
  });
});
