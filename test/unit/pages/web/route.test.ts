import { expect, test } from 'vitest';
import { hashOf, NO_FILTERS, parseRoute } from '../../../../src/pages/web/route.ts';

test.each([
  '#/',
  '#/tasks/build-1',
  '#/nodes/edge-7',
  '#/?text=two+words&state=running&status=failed&node=a&priority=high',
  '#/?text=x&sort=recent.ran-%2Cqueued.task',
])('%s is read and written alike', (hash) => {
  expect(hashOf(parseRoute(hash))).toBe(hash);
});

test('what a name holds does not get out of it', () => {
  const route = { view: 'task' as const, id: 'a/b?c#d%' };
  expect(hashOf(route)).toBe('#/tasks/a%2Fb%3Fc%23d%25');
  expect(parseRoute(hashOf(route))).toEqual(route);
});

test.each(['', '#', '#nonsense', '#/tasks', '#/tasks/', '#/?state=dreaming', '#/?sort=;drop', '#main'])(
  '%j leads to the overview with nothing left out',
  (hash) => {
    expect(parseRoute(hash)).toEqual({ view: 'overview', filters: NO_FILTERS, sorts: new Map() });
  },
);

test('an address that cannot be decoded is taken as it is', () => {
  expect(parseRoute('#/tasks/%E0%A4%A')).toEqual({ view: 'task', id: '%E0%A4%A' });
});

test('a search has a bound', () => {
  const route = parseRoute(`#/?text=${'x'.repeat(10_000)}`);
  expect(route.view === 'overview' && route.filters.text.length).toBe(200);
});
