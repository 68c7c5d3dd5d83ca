/**
 * Makes the pictures of the page that the documentation shows, of a grid that is made up: `npm run screenshots`. Needs a
 * Chromium and what `npm run build` makes.
 */
import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright-core';
import type { Overview } from '../src/pages/model.ts';
import { startBrowser } from '../test/support/browser.ts';
import { emptyOverview, failingOverview, fullOverview } from '../test/support/pages-documents.ts';
import { type ServedPages, servePages } from '../test/support/pages-fixture.ts';

interface Picture {
  name: string;
  overview: (nowMs: number) => Overview;
  width: number;
  height: number;
  colorScheme?: 'dark';
  /** Of the page; the overview without. */
  hash?: (overview: Overview) => string;
}

const DIRECTORY = join(fileURLToPath(new URL('..', import.meta.url)), 'docs/images');
const MAX_BYTES = 200 * 1000;

const failedTask = ({ recent }: Overview): string => {
  const row = recent.find(({ status, reason }) => status === 'failed' && reason === 'exit-code') ?? recent[0];
  return `#/tasks/${row?.task_id ?? ''}`;
};

const PICTURES: readonly Picture[] = [
  { name: 'dashboard', overview: fullOverview, width: 1280, height: 1040 },
  { name: 'dashboard-dark', overview: fullOverview, width: 1280, height: 1040, colorScheme: 'dark' },
  { name: 'dashboard-phone', overview: fullOverview, width: 390, height: 1300 },
  { name: 'dashboard-empty', overview: emptyOverview, width: 1280, height: 720 },
  { name: 'dashboard-failures', overview: failingOverview, width: 1280, height: 980 },
  { name: 'task', overview: fullOverview, width: 1280, height: 1040, hash: failedTask },
];

async function take(browser: Browser, served: ServedPages, picture: Picture): Promise<void> {
  const { name, width, height, colorScheme = 'light' } = picture;
  const overview = picture.overview(Date.now());
  served.source.set(overview);
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme,
    timezoneId: 'UTC',
    locale: 'en-GB',
  });
  const page = await context.newPage();
  await page.goto(`${served.url}${picture.hash?.(overview) ?? ''}`);
  await page.locator('.connection', { hasText: 'live' }).waitFor();
  await page.locator('h1').first().waitFor();
  if (picture.hash) await page.locator('.stream').first().waitFor();
  const path = join(DIRECTORY, `${name}.png`);
  await page.screenshot({ path, animations: 'disabled' });
  await context.close();
  const { size } = await stat(path);
  console.log(`${path}: ${Math.round(size / 1000)} kB`);
  if (size > MAX_BYTES) throw new Error(`${path} has more than ${MAX_BYTES} bytes: make it smaller`);
}

await mkdir(DIRECTORY, { recursive: true });
const served = await servePages(emptyOverview(Date.now()));
const browser = await startBrowser();
try {
  for (const picture of PICTURES) await take(browser, served, picture);
} finally {
  await browser.close();
  await served.stop();
}
