/**
 * The last step of `npm run build`: puts what the page in the browser needs and the compiler does not make beside what it
 * made. Fails when a file of the page is missing, so that no package without it comes into being.
 */
import { cp, mkdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PAGE_FILES, PAGES_DIR } from '../src/pages/page-files.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const SOURCES = join(root, 'src/pages/web');
const TARGET = join(root, PAGES_DIR);
const UPLOT = join(root, 'node_modules/uplot');
/** Of others, by their names below the page's directory. The licence asks to go with the code. */
const VENDORED: Readonly<Record<string, string>> = {
  'vendor/uPlot.iife.min.js': join(UPLOT, 'dist/uPlot.iife.min.js'),
  'vendor/uPlot.min.css': join(UPLOT, 'dist/uPlot.min.css'),
  'vendor/uPlot.LICENSE.txt': join(UPLOT, 'LICENSE'),
};

for (const { name } of PAGE_FILES.values()) {
  const source = VENDORED[name] ?? (name.endsWith('.js') ? null : join(SOURCES, name));
  const target = join(TARGET, name);
  await mkdir(dirname(target), { recursive: true });
  if (source !== null) await cp(source, target);
  else await stat(target);
}
