import { beforeEach, describe, expect, it } from 'vitest';
import type { Oid } from '../../../src/git/oid.ts';
import { type CheckOptions, checkHistory } from '../../support/oracle/check.ts';
import { BRANCH, HistoryBuilder } from '../../support/oracle/history-builder.ts';

let grid: HistoryBuilder;

function broken(options: CheckOptions = {}): string[] {
  return [...new Set(checkHistory(grid.build(), options).map(({ rule }) => rule))].sort();
}

/** The record of a task's finished state, which stands in its ref now. */
function recordOf(id: string): Oid {
  return grid.recordBlob(grid.held(grid.task(id)) as Oid);
}

beforeEach(() => {
  grid = new HistoryBuilder();
  grid.beat('a');
  grid.queue('one', 'two');
  for (const id of ['one', 'two']) {
    grid.claim(id, 'a');
    grid.finish(id, 'a');
  }
});

describe('a branch as it should be', () => {
  it('passes: many records in one commit, in both directories', () => {
    grid.queue('three');
    grid.claim('three', 'a');
    grid.finish('three', 'a', { status: 'failed', reason: 'timeout' });
    grid.record(['one', 'two', 'three']);
    expect(broken()).toEqual([]);
  });

  it('passes: a file that was edited meanwhile stays, its duplicate goes', () => {
    const spec = grid.files.get('tasks/queue/one.json') as Oid;
    grid.commit({ 'tasks/queue/one.json': 'edited', 'tasks/queue/sub/x': 'no task' });
    grid.commit({ 'tasks/queue/sub/one.json': JSON.stringify({ task_id: 'one', script: 'one' }) });
    grid.record(['one'], { 'tasks/queue/one.json': grid.blob('edited'), 'tasks/queue/sub/one.json': null });
    expect(spec).toBeDefined();
    expect(broken()).toEqual([]);
  });

  it('passes: people change and remove whatever they like', () => {
    grid.record(['one']);
    grid.commit({ 'tasks/completed/one.json': 'edited', 'tasks/queue/two.json': null, 'README.md': 'text' });
    grid.commit({ 'tasks/completed/one.json': null });
    expect(broken()).toEqual([]);
  });
});

describe('queue-file', () => {
  it('catches a task file that a worker takes out without its record', () => {
    grid.workersCommit({ 'tasks/queue/one.json': null });
    expect(broken()).toEqual(['queue-file']);
  });

  it('catches a version that was not run', () => {
    grid.commit({ 'tasks/queue/one.json': 'edited' });
    grid.record(['one']);
    expect(broken()).toEqual(['queue-file']);
  });

  it('catches a worker that writes a task file', () => {
    grid.workersCommit({ 'tasks/queue/three.json': grid.blob('new') });
    grid.workersCommit({ 'tasks/queue/one.json': grid.blob('edited') });
    expect(checkHistory(grid.build()).map(({ rule }) => rule)).toEqual(['queue-file', 'queue-file']);
  });
});

describe('record-fixed', () => {
  beforeEach(() => {
    grid.record(['one']);
  });

  it('catches a record that a worker changes', () => {
    grid.workersCommit({ 'tasks/completed/one.json': grid.blob('other') });
    expect(broken()).toEqual(['record-fixed']);
  });

  it('catches a record that a worker removes', () => {
    grid.workersCommit({ 'tasks/completed/one.json': null });
    expect(broken()).toEqual(['record-fixed']);
  });
});

describe('one-result', () => {
  it('catches a record in both directories', () => {
    grid.record(['one'], { 'tasks/failed/one.json': recordOf('one') });
    expect(broken()).toContain('one-result');
  });
});

describe('record', () => {
  it('catches a record of a task that is not finished', () => {
    grid.queue('three');
    grid.claim('three', 'a');
    grid.workersCommit({ 'tasks/completed/three.json': recordOf('one'), 'tasks/queue/three.json': null });
    expect(broken()).toEqual(['queue-file', 'record']);
  });

  it('catches a record with other bytes than the finished state has', () => {
    grid.record(['one'], { 'tasks/completed/one.json': grid.blob('{}') });
    expect(broken()).toEqual(['queue-file', 'record']);
  });

  it('catches a record of a task that was never queued', () => {
    grid.claim('three', 'a');
    grid.finish('three', 'a');
    grid.workersCommit({ 'tasks/completed/three.json': recordOf('three') });
    expect(broken()).toEqual(['record']);
  });

  it('catches a record in the directory of the other outcome', () => {
    grid.workersCommit({ 'tasks/failed/one.json': recordOf('one'), 'tasks/queue/one.json': null });
    expect(broken()).toEqual(['record']);
  });

  it('catches a record of a state that is in the ref no more', () => {
    const record = recordOf('one');
    grid.remove(grid.task('one'));
    grid.workersCommit({ 'tasks/completed/one.json': record, 'tasks/queue/one.json': null });
    expect(broken()).toEqual(['deletion', 'record']);
  });

  it('catches a record that says something else than its state', () => {
    grid.queue('three');
    grid.claim('three', 'a');
    grid.finish('three', 'a', {}, { attempt: 2 });
    grid.record(['three']);
    expect(broken()).toEqual(['record']);
  });

  it('catches a log that the finished state does not hold', () => {
    grid.record(['one'], { 'tasks/completed/one/stdout.log': grid.blob('something') });
    expect(broken()).toEqual(['record']);
  });
});

describe('branch', () => {
  it('catches a worker that changes anything else', () => {
    grid.workersCommit({ 'README.md': grid.blob('text') });
    expect(broken()).toEqual(['branch']);
  });

  it("catches a worker's commit that does not stand on the tip", () => {
    grid.workersCommit({}, []);
    expect(broken()).toEqual(['branch']);
  });

  it('catches the end of the branch', () => {
    grid.remove(BRANCH);
    expect(broken()).toEqual(['branch']);
  });

  it('believes those who know which commits are of workers', () => {
    grid.workersCommit({ 'README.md': grid.blob('text') });
    expect(broken({ isWorkersCommit: () => false })).toEqual([]);
    grid.commit({ 'README.md': 'another text' });
    expect(broken({ isWorkersCommit: ({ message }) => message === 'change' })).toContain('branch');
  });
});

describe('settled', () => {
  it('catches a task without a record', () => {
    grid.record(['one', 'two']);
    grid.remove(grid.task('one'));
    grid.remove(grid.task('two'));
    expect(broken({ settled: true })).toEqual([]);
    grid.queue('three');
    expect(broken()).toEqual([]);
    expect(broken({ settled: true })).toEqual(['settled']);
  });

  it('catches a ref that is left', () => {
    grid.record(['one', 'two']);
    grid.remove(grid.task('one'));
    expect(broken({ settled: true })).toEqual(['settled']);
  });

  it('asks for no record of what a person took back, but for one of what was queued again', () => {
    grid.record(['one', 'two']);
    grid.remove(grid.task('one'));
    grid.remove(grid.task('two'));
    grid.queue('three');
    grid.commit({ 'tasks/queue/three.json': null });
    expect(broken({ settled: true })).toEqual([]);
    grid.queue('three');
    grid.commit({ 'tasks/queue/three.json': null, 'tasks/queue/sub/three.json': 'moved' });
    expect(broken({ settled: true })).toEqual(['settled']);
  });

  it('does not take the loss of a task file by a worker for a withdrawal', () => {
    grid.record(['one', 'two']);
    grid.remove(grid.task('one'));
    grid.remove(grid.task('two'));
    grid.queue('three');
    grid.workersCommit({ 'tasks/queue/three.json': null });
    expect(broken({ settled: true })).toEqual(['queue-file', 'settled']);
  });
});
