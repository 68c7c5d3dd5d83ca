/**
 * The files that make up the page, by the path that a browser asks for. Whoever serves them, copies them to a site or
 * packs them finds them all here.
 */

/** Below the package's directory; written by the build. */
export const PAGES_DIR = 'dist/pages/web';

/** Compiled from those beside this file, in `web/`. */
const MODULES = [
  'ages',
  'announcer',
  'app',
  'banners',
  'chart',
  'charts',
  'clock',
  'dom',
  'ends-in-view',
  'feed',
  'fetch-json',
  'filters',
  'first-steps',
  'focus',
  'format',
  'header',
  'keyboard',
  'keys-dialog',
  'main',
  'news',
  'node-list',
  'node-page',
  'output-panel',
  'overview-page',
  'parts',
  'preferences',
  'queue-panel',
  'reconcile',
  'route',
  'task-columns',
  'task-keeper',
  'task-page',
  'task-table',
  'tiles',
  'timeline',
  'words',
];
const STYLES = ['tokens.css', 'base.css', 'overview.css', 'tables.css', 'detail.css'];

const HTML = 'text/html; charset=utf-8';
const SCRIPT = 'text/javascript; charset=utf-8';
const STYLE = 'text/css; charset=utf-8';

export const PAGE_FILES: ReadonlyMap<string, { name: string; type: string }> = new Map([
  ['/', { name: 'index.html', type: HTML }],
  ['/icon.svg', { name: 'icon.svg', type: 'image/svg+xml' }],
  ...MODULES.map((name) => file(`${name}.js`, SCRIPT)),
  ...STYLES.map((name) => file(name, STYLE)),
  file('vendor/uPlot.iife.min.js', SCRIPT),
  file('vendor/uPlot.min.css', STYLE),
  file('vendor/uPlot.LICENSE.txt', 'text/plain; charset=utf-8'),
]);

function file(name: string, type: string): [string, { name: string; type: string }] {
  return [`/${name}`, { name, type }];
}
