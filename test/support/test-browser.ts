/** One browser for the tests of a file. Without a Chromium on the machine they are skipped, and say so. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, beforeEach } from 'vitest';
import { chromiumPath, startBrowser } from './browser.ts';

/** @returns to be called within a test. */
export function useBrowser(): () => Browser {
  let browser: Browser | null = null;
  beforeAll(async () => {
    if (chromiumPath() !== null) browser = await startBrowser();
  });
  beforeEach(({ skip }) => skip(browser === null, 'there is no Chromium'));
  afterAll(() => browser?.close());
  return () => browser!;
}
