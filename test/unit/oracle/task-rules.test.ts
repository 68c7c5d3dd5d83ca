import { beforeEach, describe, expect, it } from 'vitest';
import { type CheckOptions, checkHistory, examineHistory } from '../../support/oracle/check.ts';
import { HistoryBuilder, NODE_TTL_MS } from '../../support/oracle/history-builder.ts';

let grid: HistoryBuilder;

/** The rules that a history breaks, each once. */
function broken(options: CheckOptions = {}): string[] {
  return [...new Set(checkHistory(grid.build(), options).map(({ rule }) => rule))].sort();
}

beforeEach(() => {
  grid = new HistoryBuilder();
  grid.beat('a');
  grid.beat('b');
});

describe('a history as it should be', () => {
  it('passes: queued, claimed, started, finished, recorded, deleted', () => {
    grid.completed('one', 'a').completed('two', 'b');
    const { violations, figures } = examineHistory(grid.build(), { settled: true });
    expect(violations).toEqual([]);
    expect(figures).toMatchObject({ tasks: 2, records: 2, starts: 2, startedMoreThanOnce: 0, takeovers: 0 });
  });

  it('passes: retried, handed back before it was started, taken over, finished', () => {
    grid.queue('one');
    grid.claim('one', 'a');
    grid.start('one', 'a');
    grid.state('one', 'a', 'waiting', { waitReason: 'retry', delayMs: 2_000, failures: 1 });
    grid.wait(2_000).claim('one', 'b');
    grid.state('one', 'b', 'waiting', { waitReason: 'handed-back', attempt: 1 });
    grid.claim('one', 'a');
    grid.start('one', 'a');
    grid.wait(NODE_TTL_MS).fence('a');
    const late = grid.writeState('one', 'a', 'finished');
    const lost = { ref: grid.task('one'), from: grid.held(grid.task('one')), to: late.commit.oid };
    grid.claim('one', 'b');
    grid.conclude({ ...lost, timeMs: grid.timeMs }, 'lost');
    // One that reached for the same orphan is no late result.
    grid.conclude({ ...lost, to: grid.blob('another claim'), timeMs: grid.timeMs }, 'lost', { node: 'c' });
    grid.start('one', 'b');
    grid.finish('one', 'b');
    grid.record(['one']);
    grid.remove(grid.task('one'));
    const { violations, figures } = examineHistory(grid.build(), { settled: true });
    expect(violations).toEqual([]);
    expect(figures).toMatchObject({ starts: 3, startedMoreThanOnce: 1, takeovers: 1, fencings: 1 });
    expect(figures.lateResultsRejected).toBe(1);
  });

  it('passes: taken up again by the next life of its node, in whichever order the refs move', () => {
    grid.queue('one', 'two');
    grid.claim('one', 'a');
    grid.claim('two', 'a');
    grid.claim('one', 'a', { incarnation: 'a-2', epoch: 1, attempt: 1, takeovers: 0 });
    grid.restart('a', 'a-2');
    grid.claim('two', 'a', { epoch: 1, attempt: 1, takeovers: 0 });
    grid.finish('one', 'a');
    grid.finish('two', 'a');
    grid.record(['one', 'two']);
    expect(broken()).toEqual([]);
    expect(examineHistory(grid.build()).figures.adoptions).toBe(2);
  });

  it('passes: cancelled by a client, settled from nothing, from waiting and from an orphan', () => {
    grid.queue('one', 'two', 'three', 'four');
    grid.claim('one', 'a');
    const cancelled = { status: 'failed', reason: 'cancelled' } as const;
    grid.finish('one', 'dgrid-client', { ...cancelled, epoch: 2 });
    grid.finish('two', 'b', { status: 'failed', reason: 'invalid-task', epoch: 1 });
    grid.claim('three', 'a');
    grid.state('three', 'a', 'waiting', { attempt: 0 });
    grid.finish('three', 'b', { ...cancelled, epoch: 2 });
    grid.claim('four', 'a');
    grid.beat('a', { state: 'stopped' });
    grid.finish('four', 'b', { status: 'failed', reason: 'lost', epoch: 2 });
    grid.record(['one', 'two', 'three', 'four']);
    for (const id of ['one', 'two', 'three', 'four']) grid.remove(grid.task(id));
    expect(broken({ settled: true })).toEqual([]);
  });

  it('passes: a claim of a recorded task is given up, an echo of settling is deleted', () => {
    grid.completed('one', 'a');
    grid.claim('one', 'b', { epoch: 1, attempt: 1 });
    grid.remove(grid.task('one'));
    grid.finish('one', 'b', { status: 'failed', reason: 'cancelled', epoch: 1, attempt: 0 });
    grid.remove(grid.task('one'));
    expect(broken({ settled: true })).toEqual([]);
  });
});

describe('chain', () => {
  it('catches a ref that moves from where it was not', () => {
    grid.queue('one');
    const { to } = grid.claim('one', 'a');
    grid.wait(NODE_TTL_MS).fence('a');
    grid.claim('one', 'b');
    // Two winners of the same swap.
    grid.state('one', 'b', 'claimed', { epoch: 3, attempt: 3, takeovers: 2 }, to);
    expect(broken()).toContain('chain');
  });
});

describe('state', () => {
  it('catches what is no state', () => {
    grid.queue('one');
    grid.move(grid.task('one'), grid.blob('no state'));
    expect(broken()).toEqual(['state']);
  });

  it('catches a state of another task', () => {
    grid.queue('one', 'two');
    const other = grid.writeState('two', 'a', 'claimed', { epoch: 1, attempt: 1 });
    grid.move(grid.task('one'), other.commit.oid);
    expect(broken()).toEqual(['state']);
  });

  it('catches a parent that is not the state before', () => {
    grid.queue('one');
    grid.claim('one', 'a');
    const made = grid.writeState('one', 'a', 'finished', {}, null);
    grid.move(grid.task('one'), made.commit.oid);
    expect(broken()).toEqual(['state']);
  });
});

describe('move', () => {
  it('catches a finished state that is replaced', () => {
    grid.queue('one');
    grid.claim('one', 'a');
    grid.finish('one', 'a');
    grid.claim('one', 'b');
    expect(broken()).toEqual(['move']);
  });

  it('catches waiting from nothing', () => {
    grid.queue('one');
    grid.state('one', 'a', 'waiting');
    expect(broken()).toEqual(['move']);
  });

  it.each([
    ['an epoch that stays', { epoch: 1 }],
    ['an epoch that jumps', { epoch: 3 }],
    ['an attempt that is not counted', { attempt: 1 }],
    ['a takeover that is not counted', { takeovers: 0 }],
    ['failures that are forgotten', { failures: 3 }],
  ])('catches a takeover with %s', (_, facts) => {
    grid.queue('one');
    grid.claim('one', 'a');
    grid.wait(NODE_TTL_MS).fence('a');
    grid.claim('one', 'b', facts);
    expect(broken()).toEqual(['move']);
  });

  it('catches a first claim that counts on', () => {
    grid.queue('one');
    grid.claim('one', 'a', { epoch: 2 });
    expect(broken()).toEqual(['move']);
  });

  it('catches an epoch that falls with the result', () => {
    grid.queue('one');
    grid.claim('one', 'a');
    grid.finish('one', 'a', { epoch: 0 });
    expect(broken()).toEqual(['move']);
  });

  it('catches a claim that another node hands back', () => {
    grid.queue('one');
    grid.claim('one', 'a');
    grid.state('one', 'b', 'waiting');
    expect(broken()).toEqual(['move']);
  });

  it('catches a retry that is no failure', () => {
    grid.queue('one');
    grid.claim('one', 'a');
    grid.state('one', 'a', 'waiting', { waitReason: 'retry' });
    expect(broken()).toEqual(['move']);
  });

  it('catches a result of another version of the task than the one that was claimed', () => {
    grid.queue('one');
    grid.claim('one', 'a');
    grid.finish('one', 'a', { specBlob: grid.blob('another') });
    expect(broken()).toEqual(['move']);
  });

  it('catches a client that brings a result', () => {
    grid.queue('one');
    grid.claim('one', 'a');
    grid.finish('one', 'dgrid-client', { epoch: 2 });
    expect(broken()).toEqual(['move']);
  });
});

describe('delay', () => {
  beforeEach(() => {
    grid.queue('one');
    grid.claim('one', 'a');
    grid.state('one', 'a', 'waiting', { waitReason: 'retry', delayMs: 2_000, failures: 1 });
    grid.wait(1_900);
    grid.claim('one', 'b');
  });

  it('catches a claim before the delay is over', () => {
    expect(broken()).toEqual(['delay']);
  });

  it('allows for clocks that differ', () => {
    expect(broken({ clockToleranceMs: 100 })).toEqual([]);
    expect(broken({ clockDrift: 0.05 })).toEqual([]);
  });
});

describe('one-result', () => {
  it('catches a second finished state of a task without a record', () => {
    grid.queue('one');
    grid.claim('one', 'a');
    grid.finish('one', 'a');
    grid.remove(grid.task('one'));
    grid.finish('one', 'b', { status: 'failed', reason: 'cancelled', epoch: 1, attempt: 0 });
    expect(broken()).toEqual(['deletion', 'one-result']);
  });

  it('catches a second result of a task that has its record', () => {
    grid.completed('one', 'a');
    grid.claim('one', 'b', { epoch: 1, attempt: 1 });
    grid.finish('one', 'b');
    expect(broken()).toEqual(['one-result']);
  });

  it('catches a second record', () => {
    grid.completed('one', 'a');
    grid.finish('one', 'b', { status: 'failed', reason: 'cancelled', epoch: 1, attempt: 0 });
    grid.record(['one']);
    expect(broken()).toEqual(['one-result']);
  });
});

describe('deletion', () => {
  it('catches a ref that goes before its record is there', () => {
    grid.queue('one');
    grid.claim('one', 'a');
    grid.finish('one', 'a');
    grid.remove(grid.task('one'));
    expect(broken()).toEqual(['deletion']);
  });

  it('catches a claim that is given up although its task has no record', () => {
    grid.queue('one');
    grid.claim('one', 'a');
    grid.remove(grid.task('one'));
    expect(broken()).toEqual(['deletion']);
  });
});

describe('takeover', () => {
  it('catches a claim that is taken from a node that lives', () => {
    grid.queue('one');
    grid.claim('one', 'a');
    grid.claim('one', 'b');
    expect(broken()).toEqual(['takeover']);
  });

  it('catches a claim that others settle while its owner lives', () => {
    grid.queue('one');
    grid.claim('one', 'a');
    grid.finish('one', 'b', { status: 'failed', reason: 'lost', epoch: 2 });
    expect(broken()).toEqual(['takeover']);
  });

  it('catches a claim that its node takes from itself', () => {
    grid.queue('one');
    grid.claim('one', 'a');
    grid.claim('one', 'a');
    expect(broken()).toEqual(['takeover']);
  });

  it.each([
    ['absent', () => grid.remove(grid.node('a'))],
    ['stopped', () => grid.beat('a', { state: 'stopped' })],
    ['fenced', () => grid.wait(NODE_TTL_MS).fence('a')],
    ['another incarnation', () => grid.restart('a', 'a-2')],
  ])('allows it when the owner is %s', (_, happen) => {
    grid.queue('one');
    grid.claim('one', 'a');
    happen();
    grid.claim('one', 'b');
    expect(broken()).toEqual([]);
  });

  it('allows it when the owner was gone for a while since the claim', () => {
    grid.queue('one');
    grid.claim('one', 'a');
    grid.remove(grid.node('a'));
    grid.beat('a');
    grid.claim('one', 'b');
    expect(broken()).toEqual([]);
  });

  it('allows for a listing that shows the owner as it was a moment before the claim', () => {
    grid.queue('one');
    grid.restart('a', 'a-2');
    grid.claim('one', 'a');
    grid.wait(10_000).claim('one', 'b');
    expect(broken()).toEqual(['takeover']);
    expect(broken({ clockToleranceMs: 5 })).toEqual([]);
  });
});

describe('unique', () => {
  it('catches a state that is used twice', () => {
    grid.queue('one');
    const { to } = grid.claim('one', 'a');
    grid.state('one', 'a', 'waiting', { attempt: 0 });
    grid.move(grid.task('one'), to);
    expect(broken()).toContain('unique');
  });

  it('catches a state that stands in two refs', () => {
    const { to } = grid.restart('a', 'a-2');
    grid.move(grid.node('b'), to);
    expect(broken()).toEqual(['state', 'unique']);
  });

  it('forgives a copy of a request from nothing that comes after the ref was deleted', () => {
    grid.queue('one');
    const { to } = grid.claim('one', 'a');
    grid.finish('one', 'a');
    grid.record(['one']);
    grid.remove(grid.task('one'));
    grid.move(grid.task('one'), to);
    grid.remove(grid.task('one'));
    expect(broken()).toEqual([]);
  });

  it('catches two nodes that wrote the same bytes, and so both won', () => {
    grid.queue('one');
    const claim = grid.claim('one', 'a');
    grid.conclude(claim, 'won', { node: 'a' });
    grid.conclude(claim, 'won', { node: 'b' });
    expect(broken()).toEqual(['unique']);
  });
});
