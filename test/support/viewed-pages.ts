/** The page as somebody sees it: served on loopback, opened in a tab of its own, and watched for what must never happen. */
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import type { Overview } from '../../src/pages/model.ts';
import { type ServedPages, servePages } from './pages-fixture.ts';

export interface View extends AsyncDisposable {
  page: Page;
  served: ServedPages;
  /** Console errors, broken policies and requests to others. */
  troubles: string[];
}

export interface ViewOptions extends BrowserContextOptions {
  hash?: string;
}

export const NARROW = { viewport: { width: 360, height: 740 } };

export async function view(
  browser: Browser,
  overview: Overview,
  { hash = '', ...options }: ViewOptions = {},
): Promise<View> {
  const served = await servePages(overview);
  const { page, troubles, close } = await watchedPage(browser, served.url, options);
  await page.goto(served.url + hash);
  await page.locator('.connection', { hasText: 'live' }).waitFor();
  return {
    page,
    served,
    troubles,
    async [Symbol.asyncDispose]() {
      await close();
      await served.stop();
    },
  };
}

/** @param home where all requests have to go to. */
export async function watchedPage(
  browser: Browser,
  home: string,
  options: BrowserContextOptions = {},
): Promise<{ page: Page; troubles: string[]; close: () => Promise<void> }> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, timezoneId: 'UTC', ...options });
  context.setDefaultTimeout(10_000);
  const page = await context.newPage();
  const troubles: string[] = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) troubles.push(message.text());
  });
  page.on('pageerror', (error) => troubles.push(String(error)));
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(home) && !url.startsWith('blob:') && !url.startsWith('data:'))
      troubles.push(`asked for ${url}`);
  });
  return { page, troubles, close: () => context.close() };
}

/** How far the page can be scrolled sideways, in CSS pixels. */
export function sidewaysPx(page: Page): Promise<number> {
  return page.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth');
}
