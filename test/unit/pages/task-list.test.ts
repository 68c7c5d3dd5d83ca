import { describe, expect, it } from 'vitest';
import type { TaskRow } from '../../../src/pages/model.ts';
import { listTasks, type TaskQuery, taskQuery } from '../../../src/pages/task-list.ts';
import { queuedRow } from '../../../src/pages/task-rows.ts';
import { briefOf, viewOf } from '../../support/grid-views.ts';

function list(query: TaskQuery, queued: readonly string[], recent: readonly TaskRow[] = []) {
  const files = [...viewOf({ queued }).queue.files.values()];
  return listTasks(query, { open: [], queued: () => files, recent, queuedRow: (file) => queuedRow(file, { briefOf }) });
}

const idsOf = ({ tasks }: { tasks: readonly TaskRow[] }): string[] => tasks.map((row) => row.task_id);

describe('a list of tasks', () => {
  it('goes on behind the last row, wherever that is by now', () => {
    const ids = ['a', 'b', 'c', 'd', 'e', 'f'];
    const first = list({ limit: 2 }, ids);
    expect(idsOf(first)).toEqual(['a', 'b']);
    const cursor = first.next_cursor ?? '';
    expect(idsOf(list({ limit: 2, cursor }, ids))).toEqual(['c', 'd']);
    // One that came before it.
    expect(idsOf(list({ limit: 2, cursor }, ['0', ...ids]))).toEqual(['c', 'd']);
    expect(idsOf(list({ limit: 2, cursor }, ids.slice(1)))).toEqual(['c', 'd']);
    // It is gone: the next page begins where it was.
    expect(idsOf(list({ limit: 2, cursor }, ['a', 'c', 'd', 'e']))).toEqual(['c', 'd']);
    expect(list({ limit: 2, cursor }, ['a'])).toMatchObject({ tasks: [], total: 1, next_cursor: null });
  });

  it('ends with the last page, however the rows divide', () => {
    for (const length of [0, 1, 2, 3, 4, 5]) {
      const ids = Array.from({ length }, (_, at) => `t${at}`);
      const seen: string[] = [];
      let cursor: string | null = null;
      do {
        const page = list({ limit: 2, ...(cursor === null ? {} : { cursor }) }, ids);
        seen.push(...idsOf(page));
        cursor = page.next_cursor;
      } while (cursor !== null);
      expect(seen).toEqual(ids);
    }
  });

  it.each([
    [{ limit: '501' }, /from 1 to 500/],
    [{ limit: '-1' }, /from 1 to 500/],
    [{ limit: ['1', '2'] }, /./],
    [{ text: 'x'.repeat(256) }, /at most 255/],
    [{ node: '../x' }, /id of a node/],
    [{ cursor: Buffer.from('1.../../x').toString('base64url') }, /next_cursor/],
    [{ cursor: 'x'.repeat(10_000) }, /./],
  ])('refuses %o', (given, problem) => {
    const parsed = taskQuery.safeParse(given);
    expect(parsed.success).toBe(false);
    expect(parsed.error?.issues[0]?.message).toEqual(expect.stringMatching(problem));
  });
});
