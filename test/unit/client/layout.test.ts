import { describe, expect, it } from 'vitest';
import { layOut } from '../../../src/client/layout.ts';
import { README_TEXT } from '../../../src/client/readme-text.ts';
import { parseTaskFile } from '../../../src/task/spec.ts';
import { memoryClient } from '../../support/memory-client.ts';
import { MAIN, MemoryGrid } from '../../support/memory-grid.ts';

describe('the layout', () => {
  it('comes in one commit, and never twice', async () => {
    const grid = new MemoryGrid('/nowhere');
    const outcome = await layOut(memoryClient(grid.remote).client);
    expect(outcome).toMatchObject({
      kind: 'done',
      branch: 'main',
      added: [
        'tasks/queue/.gitkeep',
        'tasks/completed/.gitkeep',
        'tasks/failed/.gitkeep',
        'README.md',
        'task.schema.json',
        '.vscode/settings.json',
      ],
      kept: [],
    });
    expect(await layOut(memoryClient(grid.remote).client)).toMatchObject({ kind: 'done', commit: null, added: [] });
    expect(grid.remote.history).toHaveLength(1);
    const index = await grid.index();
    expect([index.files.size, index.illegalPaths]).toEqual([0, []]);
  });

  it('leaves alone what people wrote', async () => {
    const grid = new MemoryGrid('/nowhere');
    await grid.commit({ 'readme.rst': 'mine', 'tasks/queue/a.json': '{}', 'task.schema.json': 'mine', 'main.c': '' });
    expect(await layOut(memoryClient(grid.remote).client)).toMatchObject({
      added: ['tasks/completed/.gitkeep', 'tasks/failed/.gitkeep', '.vscode/settings.json'],
      kept: ['tasks/queue', 'readme.rst', 'task.schema.json'],
    });
  });

  it('leaves alone what people have set in their editors', async () => {
    const grid = new MemoryGrid('/nowhere');
    await grid.commit({ '.vscode/settings.json': '{}' });
    expect(await layOut(memoryClient(grid.remote).client)).toMatchObject({
      kept: expect.arrayContaining(['.vscode/settings.json']) as string[],
    });
    const odd = new MemoryGrid('/nowhere');
    await odd.commit({ '.vscode': 'a file' });
    const outcome = await layOut(memoryClient(odd.remote).client);
    expect(outcome).toMatchObject({
      kind: 'done',
      added: expect.not.arrayContaining(['.vscode/settings.json']) as string[],
    });
  });

  it('survives somebody who pushes at the same time, a lost reply, and tells a refusal', async () => {
    const grid = new MemoryGrid('/nowhere');
    const { client, repository } = memoryClient(grid.remote);
    const swap = repository.swapRefs.bind(repository);
    repository.swapRefs = async (swaps, objects) => {
      if (repository.pushes === 0) await grid.commit({ 'README.md': 'mine' });
      return swap(swaps, objects);
    };
    repository.onPush = () => (repository.pushes === 2 ? 'lost-reply' : 'none');
    expect(await layOut(client)).toMatchObject({ kind: 'done', kept: ['README.md'] });
    expect(grid.remote.history.filter(({ ref }) => ref === MAIN)).toHaveLength(2);
    const other = memoryClient(new MemoryGrid('/nowhere').remote);
    other.repository.onPush = () => 'refused';
    expect(await layOut(other.client)).toMatchObject({ kind: 'refused' });
  });

  it('has an example in its README that is a task', () => {
    const [, example = ''] = /```json\n(.*?)```/s.exec(README_TEXT) ?? [];
    const limits = { maxTaskBytes: 10_000, maxTimeoutSeconds: 3_600 };
    expect(parseTaskFile(Buffer.from(example), 'hello-1' as never, limits)).toMatchObject({ ok: true });
  });
});
