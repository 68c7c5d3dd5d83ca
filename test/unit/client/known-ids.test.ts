import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { cacheRoot } from '../../../src/client/cache-slot.ts';
import { keepKnownIds, MAX_KNOWN_IDS, readKnownIds } from '../../../src/client/known-ids.ts';
import { taskId } from '../../../src/task/id.ts';
import { memoryClient } from '../../support/memory-client.ts';
import { MemoryGrid } from '../../support/memory-grid.ts';
import { makeTempDir } from '../../support/temp.ts';

const URL = 'https://git.example.com/team/tasks.git';

async function viewOf(files: Readonly<Record<string, string>>) {
  const grid = new MemoryGrid('/nowhere');
  await grid.commit(files);
  return memoryClient(grid.remote).client.refresh();
}

describe('ids that a shell may complete', () => {
  it('are kept for each repository, what is queued before what has a result', async ({ onTestFinished }) => {
    const home = makeTempDir('ids');
    onTestFinished(() => home.remove());
    expect(await readKnownIds(home.path, URL)).toEqual([]);
    const view = await viewOf({
      'tasks/queue/q-1.json': '{}',
      'tasks/completed/a.json': '{}',
      'tasks/completed/c.json': '{}',
      'tasks/completed/c/stdout.log': 'x',
      'tasks/failed/b.json': '{}',
    });
    await keepKnownIds(home.path, URL, { view, queuedSince: [taskId('new')] }, 'own');
    expect(await readKnownIds(home.path, URL)).toEqual(['new', 'q-1', 'c', 'b', 'a']);
    expect(await readKnownIds(home.path, `${URL}2`)).toEqual([]);
    const root = cacheRoot(home.path, URL);
    expect(readdirSync(root)).toEqual(['task-ids']);
    expect(statSync(join(root, 'task-ids')).mode & 0o777).toBe(0o600);
  });

  it('have a bound, and whatever else stands in the file is passed over', async ({ onTestFinished }) => {
    const home = makeTempDir('ids');
    onTestFinished(() => home.remove());
    const many = Object.fromEntries(
      Array.from({ length: MAX_KNOWN_IDS + 10 }, (_, at) => [`tasks/queue/t${at}.json`, '{}']),
    );
    await keepKnownIds(
      home.path,
      URL,
      { view: await viewOf({ ...many, 'tasks/failed/b.json': '{}' }), queuedSince: [] },
      'own',
    );
    expect(await readKnownIds(home.path, URL)).toHaveLength(MAX_KNOWN_IDS);
    writeFileSync(join(cacheRoot(home.path, URL), 'task-ids'), 'good\n$(reboot)\n../../x\n\u001b[2J\nalso-good');
    expect(await readKnownIds(home.path, URL)).toEqual(['good', 'also-good']);
  });

  it('are no condition: without a place for them nothing happens', async ({ onTestFinished }) => {
    const home = makeTempDir('ids');
    onTestFinished(() => home.remove());
    const file = home.sub('file');
    writeFileSync(file, '');
    await keepKnownIds(file, URL, { view: await viewOf({ 'tasks/queue/a.json': '{}' }), queuedSince: [] }, 'own');
    expect(await readKnownIds(file, URL)).toEqual([]);
  });
});
