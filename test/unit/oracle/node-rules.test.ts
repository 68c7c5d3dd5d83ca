import { beforeEach, describe, expect, it } from 'vitest';
import { nodeId } from '../../../src/task/id.ts';
import { type CheckOptions, checkHistory } from '../../support/oracle/check.ts';
import { HistoryBuilder, NODE_TTL_MS } from '../../support/oracle/history-builder.ts';

let grid: HistoryBuilder;

function broken(options: CheckOptions = {}): string[] {
  return [...new Set(checkHistory(grid.build(), options).map(({ rule }) => rule))].sort();
}

beforeEach(() => {
  grid = new HistoryBuilder();
  grid.beat('a');
});

describe('a node as it should be', () => {
  it('passes: beats, is fenced, comes back, stops, starts again, is deleted by hand, goes on', () => {
    grid.wait(1_000).beat('a');
    grid.wait(NODE_TTL_MS).fence('a');
    grid.restart('a', 'a-2');
    grid.beat('a');
    grid.beat('a', { state: 'stopped' });
    grid.restart('a', 'a-3', { machine: 'another' });
    grid.restart('a', 'a-4', { machine: 'another' });
    grid.remove(grid.node('a'));
    grid.restart('a', 'a-4', { machine: 'another', sequence: 7 });
    expect(broken()).toEqual([]);
  });
});

describe('late copies of requests', () => {
  it('may bring the states of a node back one after the other once its ref was deleted, and only then', () => {
    const ref = grid.node('b');
    const first = grid.beat('b').to;
    const second = grid.beat('b').to;
    grid.remove(ref);
    grid.move(ref, first, null);
    grid.move(ref, second, first);
    expect(broken()).toEqual([]);
    grid.beat('b');
    grid.move(ref, second);
    expect(broken()).toContain('unique');
  });
});

describe('fencing', () => {
  it('catches a node that is declared dead before its time-to-live is over', () => {
    grid.wait(NODE_TTL_MS - 500).fence('a');
    expect(broken()).toEqual(['fencing']);
    expect(broken({ clockToleranceMs: 500 })).toEqual([]);
    expect(broken({ clockDrift: 0.1 })).toEqual([]);
  });

  it('catches a node that is declared dead although it has just been heard', () => {
    grid.wait(NODE_TTL_MS).beat('a');
    grid.fence('a');
    expect(broken()).toEqual(['fencing']);
  });

  it('catches a node that is declared dead after it has stopped', () => {
    grid.beat('a', { state: 'stopped' });
    grid.wait(NODE_TTL_MS).fence('a');
    expect(broken()).toEqual(['fencing']);
  });

  it('catches a node that is declared dead by nobody', () => {
    grid.wait(NODE_TTL_MS).beat('a', { state: 'fenced', fencedBy: null });
    expect(broken()).toEqual(['fencing']);
  });

  it('catches one that is declared dead under an incarnation that it has not', () => {
    grid.wait(NODE_TTL_MS).beat('a', { state: 'fenced', fencedBy: nodeId('b'), incarnation: 'a-2' });
    expect(broken()).toEqual(['fencing']);
  });
});

describe('node', () => {
  it('catches a node that goes on after it was declared dead', () => {
    grid.wait(NODE_TTL_MS).fence('a');
    grid.beat('a', { state: 'alive', fencedBy: null });
    expect(broken()).toEqual(['node']);
  });

  it('catches a node that goes on after it has stopped', () => {
    grid.beat('a', { state: 'stopped' });
    grid.beat('a', { state: 'alive' });
    expect(broken()).toEqual(['node']);
  });

  it('catches an incarnation that comes back', () => {
    grid.restart('a', 'a-2');
    grid.restart('a', 'a-1', { sequence: 9 });
    expect(broken()).toEqual(['node']);
  });

  it('catches heartbeats that do not count up', () => {
    grid.beat('a', { sequence: 1 });
    expect(broken()).toEqual(['node']);
  });

  it('catches a machine that takes the id of another one that lives', () => {
    grid.restart('a', 'a-2', { machine: 'another' });
    expect(broken()).toEqual(['node']);
  });

  it('catches a node that stops under an incarnation that it has not', () => {
    grid.beat('a', { state: 'stopped', incarnation: 'a-2' });
    expect(broken()).toEqual(['node']);
  });

  it('catches a node that begins with its end', () => {
    grid.beat('b', { state: 'stopped' });
    expect(broken()).toEqual(['node']);
  });
});

describe('state', () => {
  it('catches what is no state', () => {
    grid.move(grid.node('a'), grid.blob('no state'));
    expect(broken()).toEqual(['state']);
  });

  it('leaves the claims of an owner that cannot be read in peace', () => {
    grid.queue('one');
    grid.claim('one', 'a');
    grid.move(grid.node('a'), grid.blob('no state'));
    grid.claim('one', 'b');
    expect(broken()).toEqual(['state', 'takeover']);
  });
});
