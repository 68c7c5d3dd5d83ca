import { expect, test } from 'vitest';
import { newsBetween } from '../../../../src/pages/web/news.ts';
import { fullOverview } from '../../../support/pages-documents.ts';

const before = fullOverview(0, { failing: 0 });
const [sample] = before.recent;
const ended = (task_id: string, status: 'success' | 'failed') => ({ ...sample!, task_id, status });

test('nothing is said of what did not change', () => {
  expect(newsBetween(before, { ...before, recent: before.recent.toReversed() })).toBeNull();
});

test('one failure by its name, more of them by their number', () => {
  const with_ = (...rows: ReturnType<typeof ended>[]) =>
    newsBetween(before, { ...before, recent: [...rows, ...before.recent] });
  expect(with_(ended('a', 'failed'))).toBe('Task a failed.');
  expect(with_(ended('a', 'failed'), ended('b', 'failed'), ended('c', 'success'))).toBe('2 tasks failed. 1 succeeded.');
});

test('nodes that turn, and a repository that cannot be read', () => {
  const nodes = before.nodes.map((node, index) => (index === 1 ? { ...node, state: 'silent' as const } : node));
  expect(newsBetween(before, { ...before, nodes, problem: 'gone' })).toBe(
    'Node edge-oslo-1 is silent. The repository cannot be read.',
  );
});
