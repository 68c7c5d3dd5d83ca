import { describe, expect, it } from 'vitest';
import { cancel } from '../../../src/client/cancel.ts';
import { GitError } from '../../../src/git/errors.ts';
import { refName } from '../../../src/git/oid.ts';
import { readResults } from '../../../src/ledger/results.ts';
import { taskId } from '../../../src/task/id.ts';
import { memoryClient } from '../../support/memory-client.ts';
import { MAIN, MemoryGrid } from '../../support/memory-grid.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { until } from '../../support/until.ts';

const A = taskId('a');
const REF_A = refName('refs/dgrid/tasks/a');
const RUNNING = { settings: { recordDelayMs: 0 } };

async function grid(): Promise<MemoryGrid> {
  return new MemoryGrid(await temporaryDirectory());
}

describe('cancel', () => {
  it('gives a queued task its result, in its ref', async () => {
    const here = await grid();
    await here.queue({ a: { script: 'true' }, b: { script: 'true' } });
    const { client, repository } = memoryClient(here.remote);
    const outcomes = await cancel(client, [A, taskId('b'), taskId('nobody')]);
    expect([...outcomes.values()]).toEqual([{ kind: 'cancelled' }, { kind: 'cancelled' }, { kind: 'unknown' }]);
    expect(repository.pushes).toBe(1);
    const result = (await readResults(client, await client.refresh(), [A])).get(A);
    expect(result).toMatchObject({
      recorded: false,
      ok: true,
      record: { status: 'failed', reason: 'cancelled', attempt: 0, task: { task_id: 'a', script: 'true' } },
    });
    expect((await cancel(client, [A])).get(A)).toEqual({ kind: 'already-finished', status: 'failed' });
  });

  it('stops a task that runs; its worker records the cancellation, and no second result', async () => {
    const here = await grid();
    await here.queue({ a: { script: 'hang' } });
    const worker = await here.startWorker('one', RUNNING);
    await until('the task runs', () => worker.engine.containers.size === 1);
    const { client } = memoryClient(here.remote);
    expect((await cancel(client, [A])).get(A)).toEqual({ kind: 'cancelled' });
    await until('it is recorded', async () => (await here.record('a')) !== null);
    expect(await here.record('a')).toMatchObject({
      reason: 'cancelled',
      message: 'cancelled while it was in work',
      attempt: 1,
    });
    await until('the container is gone', () => worker.engine.containers.size === 0);
    worker.agent.requestStop();
    await worker.done;
    expect((await cancel(client, [A])).get(A)).toEqual({ kind: 'already-finished', status: 'failed' });
  });

  it('looks again at a task that moved on before its state was fetched', async () => {
    const here = await grid();
    await here.queue({ a: { script: 'hang' } });
    const worker = await here.startWorker('one', RUNNING);
    await until('the task runs', () => worker.engine.containers.size === 1);
    const { client, repository } = memoryClient(here.remote);
    const read = repository.readObjects.bind(repository);
    let misses = 0;
    repository.readObjects = async (oids) => {
      const found = new Map(await read(oids));
      const state = here.remote.refs.get(REF_A);
      if (state !== undefined && misses < 2 && found.delete(state)) misses += 1;
      return found;
    };
    expect((await cancel(client, [A])).get(A)).toEqual({ kind: 'cancelled' });
    expect(misses).toBe(2);
    await until('it is recorded', async () => (await here.record('a')) !== null);
    worker.agent.requestStop();
    await worker.done;
  });

  it('follows a task that is claimed between the look and the swap', async () => {
    const here = await grid();
    await here.queue({ a: { script: 'hang' } });
    const { client, repository } = memoryClient(here.remote);
    let worker: Awaited<ReturnType<MemoryGrid['startWorker']>> | null = null;
    const swap = repository.swapRefs.bind(repository);
    repository.swapRefs = async (swaps, objects) => {
      worker ??= await here.startWorker('one', RUNNING);
      await until('the task is claimed', () => here.taskRefs().length === 1);
      return swap(swaps, objects);
    };
    expect((await cancel(client, [A])).get(A)).toEqual({ kind: 'cancelled' });
    await until('it is recorded', async () => (await here.record('a')) !== null);
    expect((await here.record('a'))?.message).toBe('cancelled while it was in work');
    const started = worker as Awaited<ReturnType<MemoryGrid['startWorker']>> | null;
    started?.agent.requestStop();
    await started?.done;
  });

  it('does not claim to have cancelled what was finished and recorded before its swap arrived', async () => {
    const here = await grid();
    await here.queue({ a: { script: 'true' } });
    const { client, repository } = memoryClient(here.remote);
    const swap = repository.swapRefs.bind(repository);
    repository.swapRefs = async (swaps, objects) => {
      if (repository.pushes === 0) {
        const worker = await here.startWorker('one', { ...RUNNING, untilIdle: true });
        await worker.done;
        expect(here.remote.refs.has(REF_A)).toBe(false);
      }
      return swap(swaps, objects);
    };
    expect((await cancel(client, [A])).get(A)).toEqual({ kind: 'already-finished', status: 'success' });
    // What the swap has left is the janitor's to remove.
    const janitor = await here.startWorker('two', { ...RUNNING, untilIdle: true });
    await janitor.done;
    expect(here.taskRefs()).toEqual([]);
    expect(await here.record('a')).toMatchObject({ status: 'success' });
  });

  it('knows its own cancellation again after a lost reply, also when it was recorded meanwhile', async () => {
    const here = await grid();
    await here.queue({ a: { script: 'true' } });
    const { client, repository } = memoryClient(here.remote);
    repository.onPush = () => (repository.pushes === 1 ? 'lost-reply' : 'none');
    const list = repository.listRefs.bind(repository);
    let recorded = false;
    repository.listRefs = async (prefixes) => {
      if (repository.pushes > 0 && !recorded) {
        recorded = true;
        await (await here.startWorker('one', { ...RUNNING, untilIdle: true })).done;
      }
      return list(prefixes);
    };
    expect((await cancel(client, [A])).get(A)).toEqual({ kind: 'cancelled' });
    expect(await here.record('a')).toMatchObject({ reason: 'cancelled' });
    // From nothing to nothing looks like an answer that was never applied, so the swap was sent again. It does no harm.
    await (await here.startWorker('two', { ...RUNNING, untilIdle: true })).done;
    expect(here.taskRefs()).toEqual([]);
    expect(here.remote.history.filter(({ ref }) => ref === MAIN)).toHaveLength(2);
  });

  it('tells a refusal, and throws when nothing certain is known', async () => {
    const here = await grid();
    await here.queue({ a: { script: 'true' } });
    const { client, repository } = memoryClient(here.remote);
    repository.onPush = () => 'refused';
    expect((await cancel(client, [A])).get(A)).toMatchObject({ kind: 'refused' });
    repository.onPush = () => 'lost-request';
    await expect(cancel(client, [A])).rejects.toBeInstanceOf(GitError);
    expect(here.remote.history.every(({ ref }) => ref === MAIN)).toBe(true);
  });
});
