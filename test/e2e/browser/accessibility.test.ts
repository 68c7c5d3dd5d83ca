/** What axe-core finds wrong with the page for those who do not see, hear or move like others: nothing. */
import axe from 'axe-core';
import { expect, test } from 'vitest';
import type { Overview } from '../../../src/pages/model.ts';
import { crowdedOverview, emptyOverview, failingOverview, fullOverview } from '../../support/pages-documents.ts';
import { useBrowser } from '../../support/test-browser.ts';
import { NARROW, type ViewOptions, view } from '../../support/viewed-pages.ts';

const browser = useBrowser();

const now = Date.now();
const failing = failingOverview(now);
const failed = failing.recent.find(({ status }) => status === 'failed')!;
const DARK: ViewOptions = { colorScheme: 'dark' };
const TASK = { hash: `#/tasks/${failed.task_id}` };
const NODE = { hash: `#/nodes/${failing.nodes[2]!.node_id}` };

test.each<[string, Overview, ViewOptions, string]>([
  ['full', fullOverview(now), {}, 'table.recent'],
  ['full, dark', fullOverview(now), DARK, 'table.recent'],
  ['full, on a phone', fullOverview(now), NARROW, 'table.recent'],
  ['crowded', crowdedOverview(now), {}, 'table.recent'],
  ['empty', emptyOverview(now), {}, '#first-steps'],
  ['failures', failing, {}, '#problems'],
  ['failures, dark', failing, DARK, '#problems'],
  ['a task', failing, TASK, '#provenance'],
  ['a task, dark, on a phone', failing, { ...TASK, ...DARK, ...NARROW }, '#provenance'],
  ['a node', failing, NODE, '#machine'],
])('%s', async (_name, overview, options, landmark) => {
  // The page's policy lets no tool in either.
  await using seen = await view(browser(), overview, { ...options, bypassCSP: true });
  await seen.page.locator(landmark).waitFor();
  await seen.page.addScriptTag({ content: axe.source });
  const violations = await seen.page.evaluate<unknown[]>(
    `axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) =>
      violations.map(({ id, help, nodes }) => ({ id, help, nodes: nodes.slice(0, 5).map((node) => node.html + ' ' + node.failureSummary) })))`,
  );
  expect(violations).toEqual([]);
});

test('would find something', async () => {
  await using seen = await view(browser(), emptyOverview(now), { bypassCSP: true });
  await seen.page.evaluate(`document.querySelector('#main').append(document.createElement('button'))`);
  await seen.page.addScriptTag({ content: axe.source });
  const ids = await seen.page.evaluate<string[]>(`axe.run().then(({ violations }) => violations.map(({ id }) => id))`);
  expect(ids).toContain('button-name');
});
