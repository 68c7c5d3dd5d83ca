/** The page in a real browser: what it shows, that it follows the grid, and that hands without a mouse can use it. */
import { readFile } from 'node:fs/promises';
import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import {
  crowdedOverview,
  emptyOverview,
  failingOverview,
  fullOverview,
  HOSTILE_TEXT,
  hostileOverview,
} from '../../support/pages-documents.ts';
import { servePages } from '../../support/pages-fixture.ts';
import { serveStaticSite } from '../../support/static-site.ts';
import { useBrowser } from '../../support/test-browser.ts';
import { until } from '../../support/until.ts';
import { NARROW, sidewaysPx, view, watchedPage } from '../../support/viewed-pages.ts';

const browser = useBrowser();

/** What has the focus: its name, or the text that it begins with. */
const focused = (page: Page): Promise<string> =>
  page.evaluate<string>('document.activeElement.dataset.focus ?? document.activeElement.textContent.trim()');

const styleOf = (page: Page, selector: string, name: string, part = ''): Promise<unknown> =>
  page.evaluate(`getComputedStyle(document.querySelector('${selector}'), '${part}').${name}`);

describe('follows the grid', () => {
  test('within two seconds of a change, without being asked, and tells those who only listen', async () => {
    await using seen = await view(browser(), fullOverview(Date.now()));
    const { page, served } = seen;
    const { now } = served.source;
    const queued = now.tasks.find(({ state }) => state === 'queued');
    expect(queued).toBeDefined();
    await page.locator('table.queued', { hasText: queued!.task_id }).waitFor();
    const failed = { ...now.recent[0]!, task_id: 'just-failed', status: 'failed' as const, reason: 'timeout' };
    served.source.set({
      ...now,
      tasks: now.tasks.map((row) => (row === queued ? { ...row, state: 'running', node_id: 'edge-oslo-1' } : row)),
      recent: [failed, ...now.recent],
    });
    await page.locator('table.running', { hasText: queued!.task_id }).waitFor({ timeout: 2_000 });
    await page.locator('table.queued', { hasText: queued!.task_id }).waitFor({ state: 'detached' });
    await page.locator('#live', { hasText: 'Task just-failed failed.' }).waitFor();
    expect(seen.troubles).toEqual([]);
  });

  test('keeps the focus, the selection, what is open and the place while rows come and go', async () => {
    await using seen = await view(browser(), fullOverview(Date.now()));
    const { page, served } = seen;
    const { now } = served.source;
    const running = now.tasks.filter(({ state }) => state === 'running');
    const moving = running[3]!;
    await page.locator('#chart-run summary').click();
    await page.locator(`table.running [data-focus="row ${moving.task_id}"]`).focus();
    await page.evaluate(`getSelection().selectAllChildren(document.querySelector('#queue h2'))`);
    const before = await page.evaluate<number>('scrollY');
    expect(before).toBeGreaterThan(0);
    // The others of the table turn round, and new ones come before them.
    const others = now.tasks.filter((row) => row !== moving).toReversed();
    served.source.set({ ...now, tasks: [{ ...running[0]!, task_id: 'brand-new' }, ...others, moving] });
    await page.locator('table.running', { hasText: 'brand-new' }).waitFor();
    expect(await focused(page)).toBe(`row ${moving.task_id}`);
    expect(await page.evaluate('String(getSelection())')).toBe('Queue by priority');
    expect(await page.locator('#chart-run details').getAttribute('open')).toBe('');
    // The focus goes with a task that ends into the table of the results.
    served.source.set({
      ...now,
      tasks: now.tasks.filter((row) => row !== moving),
      recent: [{ ...moving, state: 'recorded', status: 'success' }, ...now.recent],
    });
    await page.locator('table.recent', { hasText: moving.task_id }).waitFor();
    expect(await focused(page)).toBe(`row ${moving.task_id}`);
    expect(await page.evaluate(`document.activeElement.closest('table').className`)).toBe('recent');
    expect(seen.troubles).toEqual([]);
  });

  test('lets ages grow without a request', async () => {
    await using seen = await view(browser(), fullOverview(Date.now()));
    const age = seen.page.locator('table.running time').first();
    const before = await age.textContent();
    const requests: string[] = [];
    seen.page.on('request', (request) => requests.push(request.url()));
    await until('the age has grown', async () => (await age.textContent()) !== before);
    expect(requests).toEqual([]);
  });

  test('says that it is old when the server has gone, and is live again when it is back', async () => {
    const served = await servePages(fullOverview(Date.now()));
    const { page, close } = await watchedPage(browser(), served.url);
    try {
      await page.goto(served.url);
      await page.locator('.connection', { hasText: 'live' }).waitFor();
      await served.stop();
      await page.locator('.connection', { hasText: /reconnecting, \d+ s old/ }).waitFor();
      await page.locator('.banner', { hasText: 'what you see may be old' }).waitFor();
      // What was there stays to be read.
      expect(await page.locator('table.recent').isVisible()).toBe(true);
      const again = await servePages(emptyOverview(Date.now()), Number(new URL(served.url).port));
      try {
        await page.locator('.connection', { hasText: 'live' }).waitFor();
        await page.getByText('No task has been submitted yet').waitFor();
        expect(await page.locator('.banner').count()).toBe(0);
        again.asksWho = true;
        again.source.set({ ...again.source.now, branch: 'other' });
        await page.locator('.banner', { hasText: 'The server wants to know who asks' }).waitFor();
        await page.locator('.connection', { hasText: 'not signed in' }).waitFor();
      } finally {
        await again.stop();
      }
    } finally {
      await close();
      await served.stop();
    }
  });
});

test('without a stream of changes it asks now and then', async () => {
  const served = await servePages(fullOverview(Date.now()));
  served.refusesStreams = true;
  const { page, close } = await watchedPage(browser(), served.url);
  try {
    await page.goto(served.url);
    await page.locator('.connection', { hasText: 'asking now and then' }).waitFor();
    expect(await page.locator('.banner').count()).toBe(0);
    const { now } = served.source;
    served.source.set({ ...now, tasks: [{ ...now.tasks[0]!, task_id: 'brand-new' }] });
    await page.locator('table.running', { hasText: 'brand-new' }).waitFor();
    served.refusesStreams = false;
    await page.locator('.connection', { hasText: 'live' }).waitFor({ timeout: 15_000 });
  } finally {
    await close();
    await served.stop();
  }
});

describe('without a mouse', () => {
  test('search, tables, a task, and back to the row that one came from', async () => {
    await using seen = await view(browser(), fullOverview(Date.now()));
    const { page, served } = seen;
    await page.keyboard.press('Tab');
    expect(await focused(page)).toBe('Skip to the content');
    await page.keyboard.press('Enter');
    expect(await page.evaluate('document.activeElement.id')).toBe('main');
    await page.keyboard.press('/');
    expect(await focused(page)).toBe('search');
    await page.keyboard.type('failed-nowhere');
    expect(await page.locator('tbody tr').count()).toBe(0);
    await page.keyboard.press('Escape');
    await page.locator('table.recent').waitFor();
    const [first, second] = served.source.now.recent;
    await page.locator(`[data-focus="row ${first!.task_id}"]`).focus();
    await page.keyboard.press('ArrowDown');
    expect(await focused(page)).toBe(`row ${second!.task_id}`);
    await page.keyboard.press('End');
    expect(await focused(page)).toBe(`row ${served.source.now.recent.at(-1)!.task_id}`);
    await page.keyboard.press('Home');
    await page.keyboard.press('ArrowDown');
    const scrolled = await page.evaluate('scrollY');
    await page.keyboard.press('Enter');
    await page.locator('h1', { hasText: second!.task_id }).waitFor();
    expect(await focused(page)).toBe(`Task ${second!.task_id}`);
    await page.locator('#provenance').waitFor();
    await page.keyboard.press('Escape');
    await page.locator('table.recent').waitFor();
    expect(await focused(page)).toBe(`row ${second!.task_id}`);
    expect(await page.evaluate('scrollY')).toBe(scrolled);
    expect(seen.troubles).toEqual([]);
  });

  test('keys are explained, can be switched off, and the theme is remembered', async () => {
    await using seen = await view(browser(), fullOverview(Date.now()));
    const { page } = seen;
    await page.keyboard.press('?');
    await page.locator('dialog[open]', { hasText: 'search the tasks' }).waitFor();
    await page.keyboard.press('Escape');
    await page.locator('dialog[open]').waitFor({ state: 'detached' });
    await page.keyboard.press('t');
    await expect.poll(() => page.evaluate('document.documentElement.dataset.theme')).toBe('light');
    await page.keyboard.press('t');
    await expect.poll(() => page.evaluate('document.documentElement.dataset.theme')).toBe('dark');
    await page.reload();
    await page.locator('.connection', { hasText: 'live' }).waitFor();
    expect(await page.evaluate('document.documentElement.dataset.theme')).toBe('dark');
    await expect.poll(() => styleOf(page, 'body', 'backgroundColor')).toBe('rgb(15, 19, 24)');
    await page.keyboard.press('?');
    await page.locator('dialog').getByRole('checkbox').uncheck();
    await page.keyboard.press('Escape');
    await page.keyboard.press('t');
    expect(await page.evaluate('document.documentElement.dataset.theme')).toBe('dark');
    expect(seen.troubles).toEqual([]);
  });

  test('a chart is read step by step, and as a table', async () => {
    await using seen = await view(browser(), fullOverview(Date.now()));
    const { page, served } = seen;
    const { points } = served.source.now.series;
    const chart = page.locator('#chart-load');
    await chart.locator('.plot').focus();
    await page.keyboard.press('End');
    await page.keyboard.press('ArrowLeft');
    expect(await chart.locator('.legend').textContent()).toContain(`queued ${points.at(-2)!.pending}`);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    const row = chart.locator('tbody tr').nth(0);
    await row.waitFor();
    expect(await row.locator('td').allTextContents()).toEqual(
      [points.at(-1)!.pending, points.at(-1)!.running].map(String),
    );
    expect(seen.troubles).toEqual([]);
  });
});

describe('finding', () => {
  test('filters and order stand in the address, and survive a reload', async () => {
    await using seen = await view(browser(), fullOverview(Date.now()));
    const { page } = seen;
    await page.locator('select[name=status]').selectOption('failed');
    await page.locator('input[type=search]').fill('hamburg');
    await page.locator('table.recent').getByRole('button', { name: 'Ran for' }).click();
    const rows = await page.locator('table.recent tbody th').allTextContents();
    expect(page.url()).toContain('#/?text=hamburg&status=failed&sort=recent.ran');
    await page.reload();
    await page.locator('table.recent').waitFor();
    expect(await page.locator('table.recent tbody th').allTextContents()).toEqual(rows);
    expect(await page.locator('select[name=status]').inputValue()).toBe('failed');
    expect(await page.locator('table.recent [aria-sort]').textContent()).toContain('Ran for');
    await page.getByRole('button', { name: 'Clear filters' }).click();
    expect(new URL(page.url()).hash).toBe('#/?sort=recent.ran');
    await page.locator('.tile', { hasText: 'Failed lately' }).click();
    await page.locator('table.running').waitFor({ state: 'detached' });
    expect(await page.locator('table.recent .mark.good').count()).toBe(0);
    expect(seen.troubles).toEqual([]);
  });

  test('500 rows: a part first, the rest when asked for', async () => {
    await using seen = await view(browser(), crowdedOverview(Date.now()));
    const { page } = seen;
    const rows = page.locator('table.queued tbody tr');
    expect(await rows.count()).toBe(50);
    await page.getByText('1,234 more tasks of the grid are not listed').waitFor();
    const more = page.locator('[data-focus="more queued"]');
    for (let shown = 50; shown < 400; shown += 150) await more.click();
    await rows.nth(399).waitFor();
    expect(await rows.count()).toBe(400);
    expect(await more.count()).toBe(0);
    expect(seen.troubles).toEqual([]);
  });

  test('a task that there is not, and a node that there is not, are said to be none', async () => {
    await using seen = await view(browser(), fullOverview(Date.now()), { hash: '#/nodes/nobody' });
    await seen.page.getByText('No worker of this name is registered').waitFor();
    await seen.page.goto(`${seen.served.url}#/tasks/nothing`);
    await seen.page.getByText('There is no such task').waitFor();
  });
});

describe('a task’s output', () => {
  test('is wrapped or not, copied with its escapes, and saved', async () => {
    const overview = fullOverview(Date.now());
    const row = overview.recent.find(({ status }) => status === 'success')!;
    await using seen = await view(browser(), overview, {
      hash: `#/tasks/${row.task_id}`,
      permissions: ['clipboard-read', 'clipboard-write'],
    });
    const { page } = seen;
    const output = page.locator('pre.output').first();
    expect(await output.textContent()).toContain('tile 003: written  82.0 KiB');
    await page.getByRole('checkbox', { name: 'Wrap long lines' }).uncheck();
    // Drawn with the next frame.
    await expect.poll(() => styleOf(page, 'pre.output', 'whiteSpace')).toBe('pre');
    expect(await sidewaysPx(page)).toBe(0);
    await page.getByRole('button', { name: 'Copy: Standard output' }).click();
    await page.locator('#live', { hasText: 'Copied.' }).waitFor();
    expect(await page.evaluate('navigator.clipboard.readText()')).toContain('\u001b[32mwritten\u001b[0m');
    const saved = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Download: Standard output' }).click();
    const download = await saved;
    expect(download.suggestedFilename()).toBe(`${row.task_id}.stdout.txt`);
    expect(await readFile(await download.path(), 'utf8')).toContain('verified 24 of 24');
    expect(seen.troubles).toEqual([]);
  });

  test('that is too long for the page is had as a file', async () => {
    const overview = fullOverview(Date.now());
    const row = overview.recent.find(({ status, reason }) => status === 'failed' && reason === 'exit-code')!;
    await using seen = await view(browser(), overview, { hash: `#/tasks/${row.task_id}` });
    const saved = seen.page.waitForEvent('download');
    await seen.page.getByRole('link', { name: 'Download all that was kept' }).click();
    const download = await saved;
    expect(download.suggestedFilename()).toBe(`${row.task_id}.stderr.txt`);
    expect(await readFile(await download.path(), 'utf8')).toBe(
      await (await fetch(`${seen.served.url}api/v1/tasks/${row.task_id}/output/stderr`)).text(),
    );
    expect(seen.troubles).toEqual([]);
  });

  test('comes by itself when the task has its result', async () => {
    const overview = fullOverview(Date.now());
    const [row] = overview.tasks;
    await using seen = await view(browser(), overview, { hash: `#/tasks/${row!.task_id}` });
    await seen.page.getByText('It comes with the result: the task was not submitted with --follow.').first().waitFor();
    const { now } = seen.served.source;
    const done = { ...row!, state: 'recorded' as const, status: 'success' as const };
    seen.served.source.set({ ...now, tasks: now.tasks.slice(1), recent: [done, ...now.recent] });
    await seen.page.locator('pre.output', { hasText: 'verified 24 of 24' }).waitFor();
    expect(seen.troubles).toEqual([]);
  });
});

test('a task that cannot be read at the moment is read as soon as it can be', async () => {
  const overview = fullOverview(Date.now());
  await using seen = await view(browser(), overview);
  seen.served.source.taskError = new Error('the repository is away');
  await seen.page.goto(`${seen.served.url}#/tasks/${overview.recent[0]!.task_id}`);
  await seen.page.locator('.banner', { hasText: 'The task could not be read' }).waitFor();
  // What the overview says of it is there all the same.
  await seen.page.locator('.summary .facts').waitFor();
  seen.served.source.taskError = null;
  await seen.page.locator('#provenance').waitFor();
  expect(await seen.page.locator('.banner').count()).toBe(0);
});

describe('what others wrote', () => {
  test.each([
    ['wide', {}],
    ['narrow', NARROW],
  ])('stays text, and does not burst the page: %s', async (_name, size) => {
    await using seen = await view(browser(), hostileOverview(Date.now()), size);
    const { page, served } = seen;
    expect(await page.locator('main img, main script, header img, header script').count()).toBe(0);
    expect(await page.locator('#problems').textContent()).toContain(HOSTILE_TEXT);
    expect(await page.locator('.where').textContent()).toContain(String.raw`b\u202egnp.exe`);
    expect(await sidewaysPx(page)).toBe(0);
    const [row] = served.source.now.tasks;
    await page.goto(`${served.url}#/tasks/${row!.task_id}`);
    await page.locator('#provenance').waitFor();
    expect(await sidewaysPx(page)).toBe(0);
    await page.goto(`${served.url}#/nodes/edge-porto-2`);
    await page.locator('.reasons').first().waitFor();
    expect(await sidewaysPx(page)).toBe(0);
    expect(await page.title()).not.toContain('owned');
    expect(seen.troubles).toEqual([]);
  });

  test('would be noticed if it were more than text', async () => {
    await using seen = await view(browser(), emptyOverview(Date.now()));
    await seen.page.evaluate(`document.body.insertAdjacentHTML('beforeend', '<p style="color: red">x</p>')`);
    await until('the broken policy was noticed', () =>
      seen.troubles.some((trouble) => trouble.includes('Content Security Policy')),
    );
  });
});

describe('sizes', () => {
  test.each([
    ['a phone', 360],
    ['a window at 200 % zoom', 640],
  ])('nothing has to be scrolled sideways: %s', async (_name, width) => {
    const overview = failingOverview(Date.now());
    await using seen = await view(browser(), overview, { viewport: { width, height: 740 } });
    const { page, served } = seen;
    expect(await sidewaysPx(page)).toBe(0);
    await page.goto(`${served.url}#/tasks/${overview.recent[0]!.task_id}`);
    await page.locator('#provenance').waitFor();
    expect(await sidewaysPx(page)).toBe(0);
    expect(seen.troubles).toEqual([]);
  });

  test('on a phone rows are cards that say what each value is', async () => {
    await using seen = await view(browser(), fullOverview(Date.now()), NARROW);
    const cell = seen.page.locator('table.running td').first();
    expect(await cell.getAttribute('data-label')).toBe('Node');
    expect(await styleOf(seen.page, 'table.running td', 'content', '::before')).not.toBe('none');
    expect(await seen.page.getByRole('table', { name: 'Running' }).getByRole('row').count()).toBe(8);
  });

  test('nothing moves for those who asked for that', async () => {
    await using seen = await view(browser(), fullOverview(Date.now()), { reducedMotion: 'reduce' });
    expect(await styleOf(seen.page, '.fill', 'transitionDuration')).toBe('0s');
  });
});

describe('a picture that was kept', () => {
  test('is shown from plain files below a path, and read again', async () => {
    const overview = { ...fullOverview(Date.now() - 3 * 3_600_000), source: 'static' as const };
    const site = await serveStaticSite(overview);
    const { page, troubles, close } = await watchedPage(browser(), site.url);
    try {
      await page.clock.install();
      await page.goto(site.url);
      await page.locator('.connection', { hasText: 'picture of 3 h' }).waitFor();
      await page.locator(`[data-focus="row ${overview.recent[0]!.task_id}"]`).click();
      await page.locator('#provenance').waitFor();
      await page.keyboard.press('Escape');
      await page.locator('table.queued').waitFor();
      expect(troubles).toEqual([]);
      const newer = { ...overview, revision: 'newer', tasks: [{ ...overview.tasks[0]!, task_id: 'came-later' }] };
      site.files.set('data/overview.json', { type: 'application/json', content: JSON.stringify(newer) });
      await page.clock.fastForward(31_000);
      await page.locator('table.running', { hasText: 'came-later' }).waitFor();
      await page.locator('[data-focus="row came-later"]').click();
      await page.getByText('This picture of the grid has no more of the task').waitFor();
    } finally {
      await close();
      await site.stop();
    }
  });
});
