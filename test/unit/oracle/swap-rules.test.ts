import { beforeEach, describe, expect, it } from 'vitest';
import { type CheckOptions, checkHistory } from '../../support/oracle/check.ts';
import type { RefChange } from '../../support/oracle/history.ts';
import { HistoryBuilder, NODE_TTL_MS } from '../../support/oracle/history-builder.ts';

let grid: HistoryBuilder;

function broken(options: CheckOptions = {}): string[] {
  return [...new Set(checkHistory(grid.build(), options).map(({ rule }) => rule))].sort();
}

/** A claim that never arrived. */
function unsent(): Omit<RefChange, 'seq'> {
  const { commit } = grid.writeState('one', 'a', 'claimed', { epoch: 1, attempt: 1 }, null);
  return { ref: grid.task('one'), from: null, to: commit.oid, timeMs: grid.timeMs };
}

beforeEach(() => {
  grid = new HistoryBuilder();
  grid.beat('a');
  grid.beat('b');
  grid.queue('one');
});

describe('won', () => {
  it('passes what happened, also when it was concluded late', () => {
    grid.conclude(grid.claim('one', 'a'), 'won');
    grid.conclude(grid.finish('one', 'a'), 'won', { sentMs: grid.timeMs + 5_000, settledMs: grid.timeMs + 5_100 });
    grid.conclude(grid.record(['one']), 'won');
    const deletion = grid.remove(grid.task('one'));
    grid.conclude(deletion, 'won');
    // Somebody else deleted the same.
    grid.conclude(deletion, 'won', { node: 'b', settledMs: grid.timeMs + 1_000 });
    expect(broken()).toEqual([]);
  });

  it('catches a win that never happened', () => {
    grid.conclude(unsent(), 'won');
    expect(broken()).toEqual(['won']);
  });

  it('catches a win that happened from elsewhere', () => {
    const claim = grid.claim('one', 'a');
    grid.conclude({ ...claim, from: grid.blob('x') }, 'won');
    expect(broken()).toEqual(['won']);
  });

  it('catches a win that was concluded before it happened', () => {
    grid.conclude(grid.claim('one', 'a'), 'won', { settledMs: grid.timeMs - 100 });
    expect(broken()).toEqual(['won']);
    expect(broken({ clockToleranceMs: 100 })).toEqual([]);
  });

  it('catches a deletion that did not happen', () => {
    const claim = grid.claim('one', 'a');
    grid.conclude({ ...claim, from: claim.to, to: null }, 'won', { sentMs: grid.timeMs + 1 });
    expect(broken()).toEqual(['won']);
  });

  it('passes a deletion of what had not come to be', () => {
    const claim = unsent();
    grid.conclude({ ...claim, from: claim.to, to: null }, 'won');
    expect(broken()).toEqual([]);
  });
});

describe('lost', () => {
  it('passes what did not happen', () => {
    grid.conclude(unsent(), 'lost');
    expect(broken()).toEqual([]);
  });

  it('catches a loss that was a win', () => {
    grid.conclude(grid.claim('one', 'a'), 'lost');
    expect(broken()).toEqual(['lost']);
  });

  it('catches a lost result that is accepted after all', () => {
    grid.claim('one', 'a');
    grid.conclude(grid.finish('one', 'a'), 'lost', { settledMs: grid.timeMs - 1_000 });
    expect(broken()).toEqual(['lost']);
  });

  it('forgives a claim from nothing whose copy comes late', () => {
    grid.conclude(grid.claim('one', 'a'), 'lost', { settledMs: grid.timeMs - 1_000 });
    expect(broken()).toEqual([]);
  });
});

describe('refused', () => {
  it('passes what did not happen, and catches what did', () => {
    grid.conclude(unsent(), 'refused');
    expect(broken()).toEqual([]);
    grid.conclude(grid.claim('one', 'a'), 'refused');
    expect(broken()).toEqual(['refused']);
  });
});

describe('unclear', () => {
  it('says nothing', () => {
    grid.conclude(unsent(), 'unclear');
    grid.conclude(grid.claim('one', 'a'), 'unclear');
    expect(broken()).toEqual([]);
  });
});

describe('start', () => {
  it('passes one start for each claim', () => {
    grid.claim('one', 'a');
    grid.start('one', 'a');
    grid.wait(NODE_TTL_MS).fence('a');
    grid.claim('one', 'b');
    grid.start('one', 'b');
    expect(broken()).toEqual([]);
  });

  it('passes a start under a claim that is lost by then', () => {
    grid.claim('one', 'a');
    grid.wait(NODE_TTL_MS).fence('a');
    grid.claim('one', 'b');
    grid.start('one', 'a', { incarnation: 'a-1', epoch: 1, attempt: 1 });
    expect(broken()).toEqual([]);
  });

  it('catches a second start of the same claim', () => {
    grid.claim('one', 'a');
    grid.start('one', 'a');
    grid.start('one', 'a');
    expect(broken()).toEqual(['start']);
  });

  it('catches a second start after the container was taken up again', () => {
    grid.claim('one', 'a');
    grid.start('one', 'a');
    grid.restart('a', 'a-2');
    grid.claim('one', 'a', { epoch: 1, attempt: 1, takeovers: 0 });
    grid.start('one', 'a');
    expect(broken()).toEqual(['start']);
  });

  it('catches a start without a claim', () => {
    grid.start('one', 'a');
    expect(broken()).toEqual(['start']);
  });

  it('catches a start before the claim had won', () => {
    grid.start('one', 'a');
    grid.claim('one', 'a');
    expect(broken()).toEqual(['start']);
    expect(broken({ clockToleranceMs: 1 })).toEqual([]);
  });

  it.each([
    ['another incarnation', { incarnation: 'a-2' }],
    ['another epoch', { epoch: 2 }],
    ['another attempt', { attempt: 2 }],
    ['another node', { node: 'b' }],
  ])('catches a start under %s than the claim', (_, facts) => {
    grid.claim('one', 'a');
    grid.start('one', 'a', facts);
    expect(broken()).toEqual(['start']);
  });

  it('catches a start without the second look: the task had its record before it was claimed', () => {
    grid.completed('two', 'a');
    grid.claim('two', 'b', { epoch: 1, attempt: 1 });
    grid.start('two', 'b');
    expect(broken()).toEqual(['start']);
  });
});
