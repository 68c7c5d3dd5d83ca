/** A page that is not whole shows nothing: every file of it is served, and asked for. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { PAGE_FILES } from '../../../src/pages/page-files.ts';
import { ROOT } from '../../support/markdown.ts';

const WEB = join(ROOT, 'src/pages/web');
const HTML = readFileSync(join(WEB, 'index.html'), 'utf8');
const served = [...PAGE_FILES.keys()].map((path) => path.slice(1)).filter((path) => path !== '');

test('everything that stands beside the modules is served, and nothing that does not', () => {
  const sources = globSync('*.{ts,css,svg}', { cwd: WEB }).map((name) => name.replace(/\.ts$/, '.js'));
  expect(served.filter((path) => !path.startsWith('vendor/')).toSorted()).toEqual(sources.toSorted());
});

test('the page asks for all of it at once, by addresses that hold below any path', () => {
  const asked = [...HTML.matchAll(/(?:href|src)="([^"#]+)"/g)].map(([, path]) => String(path));
  expect(asked.toSorted()).toEqual(served.filter((path) => !path.endsWith('LICENSE.txt')).toSorted());
});

test('nothing is written into the page that its policy refuses', () => {
  expect(HTML).not.toMatch(/<style|style=|<script(?![^>]* src=)| on[a-z]+=/);
});
