import { describe, expect, it } from 'vitest';
import { submit, UnclearSubmitError } from '../../../src/client/submit.ts';
import type { NewTask } from '../../../src/client/task-input.ts';
import { GitError } from '../../../src/git/errors.ts';
import { makeBlob } from '../../../src/git/objects.ts';
import { taskId } from '../../../src/task/id.ts';
import { unstartedResult } from '../../../src/task/unstarted.ts';
import { memoryClient } from '../../support/memory-client.ts';
import { MAIN, MemoryGrid } from '../../support/memory-grid.ts';

function task(id: string, script = 'true'): NewTask {
  return {
    taskId: taskId(id),
    content: Buffer.from(JSON.stringify({ task_id: id, script })),
    source: `${id}.json`,
    signature: null,
  };
}

const grid = () => new MemoryGrid('/nowhere');

/** What a worker leaves behind: the record in, the queue file out. */
function recording(id: string, content: Uint8Array): Record<string, string | null> {
  const { record } = unstartedResult(
    { taskId: taskId(id), nodeId: 'box' as never, attempt: 1, task: {}, specBlob: makeBlob(content, 'sha1').oid },
    'cancelled',
    '',
    '2026-01-01T00:00:00.000Z',
  );
  return { [`tasks/queue/${id}.json`]: null, [`tasks/failed/${id}.json`]: JSON.stringify(record) };
}

describe('submit', () => {
  it('queues into an empty repository, and into one without the layout, in one commit', async () => {
    const empty = grid();
    const { client } = memoryClient(empty.remote);
    const outcome = await submit(client, [task('a'), task('b')]);
    expect(outcome).toMatchObject({ kind: 'queued', queued: ['a', 'b'], alreadyQueued: [] });
    expect([...(await empty.index()).files.keys()]).toEqual(['a', 'b']);
    expect(empty.remote.history.filter(({ ref }) => ref === MAIN)).toHaveLength(1);

    const other = grid();
    await other.commit({ 'src/main.c': 'int main;' });
    await submit(memoryClient(other.remote).client, [task('c')]);
    expect([...(await other.index()).files.keys()]).toEqual(['c']);
  });

  it('recognises a task that is queued already by its id and content, wherever its file is', async () => {
    const here = grid();
    await here.commit({ 'tasks/queue/deep/a.json': Buffer.from(task('a').content).toString() });
    const { client, repository } = memoryClient(here.remote);
    expect(await submit(client, [task('a')])).toEqual({
      kind: 'queued',
      commit: null,
      queued: [],
      alreadyQueued: ['a'],
    });
    expect(repository.pushes).toBe(0);
    expect(await submit(client, [task('a'), task('b')])).toMatchObject({ queued: ['b'], alreadyQueued: ['a'] });
  });

  it('names every id that is in use, and queues nothing', async () => {
    const here = grid();
    const { client } = memoryClient(here.remote);
    await submit(client, [task('queued', 'one'), task('done', 'same'), task('other', 'one')]);
    await here.commit({
      ...recording('done', task('done', 'same').content),
      ...recording('other', task('other', 'one').content),
    });
    const tip = here.remote.refs.get(MAIN);
    const outcome = await submit(client, [
      task('new'),
      task('queued', 'two'),
      task('done', 'same'),
      task('other', 'two'),
    ]);
    expect(outcome).toEqual({
      kind: 'conflicts',
      conflicts: [
        { taskId: 'queued', source: 'queued.json', kind: 'queued', sameFile: false },
        { taskId: 'done', source: 'done.json', kind: 'recorded', sameFile: true },
        { taskId: 'other', source: 'other.json', kind: 'recorded', sameFile: false },
      ],
    });
    expect(here.remote.refs.get(MAIN)).toBe(tip);
  });

  it('lets two submitters at the same time both in', async () => {
    const here = grid();
    await here.commit({ 'README.md': 'hello' });
    const names = ['a', 'b', 'c', 'd', 'e'];
    const outcomes = await Promise.all(names.map((name) => submit(memoryClient(here.remote).client, [task(name)])));
    expect(outcomes.map(({ kind }) => kind)).toEqual(names.map(() => 'queued'));
    expect([...(await here.index()).files.keys()].sort((x, y) => (x < y ? -1 : 1))).toEqual(names);
  });

  it('gives the same id to one of two submitters only', async () => {
    const here = grid();
    const outcomes = await Promise.all(
      ['one', 'two'].map((script) => submit(memoryClient(here.remote).client, [task('same', script)])),
    );
    expect(outcomes.map(({ kind }) => kind).sort((x, y) => (x < y ? -1 : 1))).toEqual(['conflicts', 'queued']);
  });

  it('builds again when a worker records meanwhile', async () => {
    const here = grid();
    await submit(memoryClient(here.remote).client, [task('old')]);
    const { client, repository } = memoryClient(here.remote);
    const swap = repository.swapRefs.bind(repository);
    repository.swapRefs = async (swaps, objects) => {
      if (repository.pushes === 0) await here.commit(recording('old', task('old').content));
      return swap(swaps, objects);
    };
    expect(await submit(client, [task('new')])).toMatchObject({ kind: 'queued', queued: ['new'] });
    const index = await here.index();
    expect([...index.files.keys()]).toEqual(['new']);
    expect(index.recordOf(taskId('old'))).not.toBeNull();
    expect(repository.pushes).toBe(2);
  });

  it('queues nothing twice when the reply gets lost', async () => {
    const here = grid();
    const { client, repository } = memoryClient(here.remote);
    let lost = 0;
    repository.onPush = () => (lost++ === 0 ? 'lost-reply' : 'none');
    expect(await submit(client, [task('a')])).toMatchObject({ kind: 'queued', queued: ['a'] });
    expect(here.remote.history).toHaveLength(1);
  });

  it.each([
    ['somebody pushed on top of it', { 'README.md': 'x' }],
    ['a worker has run and recorded the task', recording('a', task('a').content)],
  ])('knows its own submit again after a lost reply, when %s', async (_what, change) => {
    const here = grid();
    const { client, repository } = memoryClient(here.remote);
    let pushes = 0;
    repository.onPush = () => (pushes++ === 0 ? 'lost-reply' : 'none');
    let changed = false;
    const list = repository.listRefs.bind(repository);
    repository.listRefs = async (prefixes) => {
      if (pushes > 0 && !changed) {
        changed = true;
        await here.commit(change);
      }
      return list(prefixes);
    };
    expect(await submit(client, [task('a')])).toMatchObject({ kind: 'queued', queued: ['a'], alreadyQueued: [] });
    expect(here.remote.history.filter(({ ref }) => ref === MAIN)).toHaveLength(2);
    expect([...(await here.index()).files.keys()]).toEqual('README.md' in change ? ['a'] : []);
  });

  it('says so when nothing certain is known; the next submit finds out', async () => {
    const here = grid();
    const { client, repository } = memoryClient(here.remote);
    repository.onPush = () => 'lost-reply';
    repository.onList = () => {
      if (repository.pushes > 0) throw new GitError('network', 'ls-remote', 'gone');
    };
    await expect(submit(client, [task('a')])).rejects.toBeInstanceOf(UnclearSubmitError);
    const again = memoryClient(here.remote).client;
    expect(await submit(again, [task('a')])).toMatchObject({ kind: 'queued', queued: [], alreadyQueued: ['a'] });
  });

  it('tells a refusal of the host', async () => {
    const here = grid();
    const { client, repository } = memoryClient(here.remote);
    repository.onPush = () => 'refused';
    expect(await submit(client, [task('a')])).toMatchObject({ kind: 'refused', reason: 'pre-receive hook declined' });
  });
});
