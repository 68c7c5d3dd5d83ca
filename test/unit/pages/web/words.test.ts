import { expect, test } from 'vitest';
import { TASK_ROW_STATES } from '../../../../src/pages/model.ts';
import { meaningOf, PRIORITIES, ROW_STATES, wordOf } from '../../../../src/pages/web/words.ts';
import { FAILURE_REASONS } from '../../../../src/task/result.ts';
import { PRIORITIES as TASK_PRIORITIES } from '../../../../src/task/task-schema.ts';

test('the words of the documents are all known', () => {
  expect([...ROW_STATES].toSorted()).toEqual([...TASK_ROW_STATES].toSorted());
  expect(PRIORITIES).toEqual(TASK_PRIORITIES);
  for (const state of TASK_ROW_STATES) expect(wordOf({ state, status: null }).text).toBe(state);
});

test.each(FAILURE_REASONS)('it is said what %s means', (reason) => {
  expect(meaningOf(reason)).not.toBeNull();
});

test('a word of a later version, or of nobody, means nothing', () => {
  expect(meaningOf('constructor')).toBeNull();
  expect(wordOf({ state: 'dreaming' as never, status: null })).toEqual({ text: 'dreaming', tone: 'calm', sign: '•' });
});
