import { describe, expect, it } from 'vitest';
import { waitForTasks } from '../../../src/client/wait.ts';
import { GitError } from '../../../src/git/errors.ts';
import { taskId } from '../../../src/task/id.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { memoryClient } from '../../support/memory-client.ts';
import { MemoryGrid } from '../../support/memory-grid.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const A = taskId('a');
const B = taskId('b');
const OPTIONS = { timeoutMs: null, unknownAfterLooks: 1, onLook: () => undefined };

/** Lets the clock go on for as long as the work sleeps. */
async function timePassing<T>(clock: ManualClock, work: Promise<T>, stepMs = 1_000): Promise<T> {
  const state = { over: false };
  const done = work.finally(() => {
    state.over = true;
  });
  done.catch(() => undefined);
  while (!state.over) {
    if (clock.sleeping > 0) clock.advance(stepMs);
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  return done;
}

describe('waiting', () => {
  it('ends when each has its result, in its ref or on the branch, and tells how far it is', async () => {
    const grid = new MemoryGrid(await temporaryDirectory());
    await grid.queue({ a: { script: 'true' }, b: { script: 'exit 1' } });
    const { client } = memoryClient(grid.remote);
    const looks: number[] = [];
    const waiting = waitForTasks(client, [A, B], { ...OPTIONS, onLook: (done) => looks.push(done) });
    const worker = await grid.startWorker('one', { untilIdle: true });
    expect(await waiting).toMatchObject({ kind: 'done' });
    expect(looks[0]).toBe(0);
    expect(looks.at(-1)).toBe(2);
    await worker.done;
  });

  it('gives up after its time, and names what is open', async () => {
    const grid = new MemoryGrid('/nowhere');
    await grid.queue({ a: { script: 'true' } });
    const clock = new ManualClock();
    const { client, repository } = memoryClient(grid.remote, { clock });
    const outcome = await timePassing(clock, waitForTasks(client, [A], { ...OPTIONS, timeoutMs: 60_000 }), 100);
    expect(outcome).toMatchObject({ kind: 'timeout', open: ['a'] });
    // It looks less and less often.
    expect(repository.lists).toBeLessThan(25);
  });

  it('tells at once of a name that nobody knows, and later of one that was withdrawn', async () => {
    const grid = new MemoryGrid('/nowhere');
    await grid.queue({ a: { script: 'true' } });
    const clock = new ManualClock();
    const { client } = memoryClient(grid.remote, { clock });
    expect(await waitForTasks(client, [A, B], OPTIONS)).toMatchObject({ kind: 'unknown', ids: ['b'] });
    const waiting = waitForTasks(client, [A], {
      ...OPTIONS,
      unknownAfterLooks: 3,
      onLook: () => void grid.commit({ 'tasks/queue/a.json': null }),
    });
    expect(await timePassing(clock, waiting)).toMatchObject({ kind: 'unknown', ids: ['a'] });
  });

  it('sits out a host that is away, but not for ever, and not what waiting does not mend', async () => {
    const grid = new MemoryGrid('/nowhere');
    await grid.queue({ a: { script: 'true' } });
    const clock = new ManualClock();
    const { client, repository } = memoryClient(grid.remote, { clock });
    repository.onList = () => {
      if (repository.lists > 3) throw new GitError('network', 'ls-remote', 'away');
    };
    await expect(timePassing(clock, waitForTasks(client, [A], OPTIONS), 5_000)).rejects.toThrow('away');
    expect(repository.lists).toBeGreaterThan(100);
    repository.onList = () => {
      throw new GitError('auth', 'ls-remote', 'no');
    };
    await expect(waitForTasks(client, [A], OPTIONS)).rejects.toThrow('no');
  });

  it('ends when it is interrupted', async () => {
    const grid = new MemoryGrid('/nowhere');
    await grid.queue({ a: { script: 'true' } });
    const stop = new AbortController();
    const { client } = memoryClient(grid.remote, { signal: stop.signal });
    const outcome = waitForTasks(client, [A], { ...OPTIONS, onLook: () => stop.abort() });
    expect(await outcome).toEqual({ kind: 'aborted' });
  });
});
