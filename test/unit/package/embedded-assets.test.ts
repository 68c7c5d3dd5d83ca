/** What the code asks src/assets.ts for is in the executable too, and nothing looks for files in another way. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { embeddedAssets } from '../../../scripts/package/embedded-assets.ts';
import { readAssetNow } from '../../../src/assets.ts';
import { PAGE_FILES, PAGES_DIR } from '../../../src/pages/page-files.ts';
import { makeTempDir } from '../../support/temp.ts';

const ROOT = join(import.meta.dirname, '../../..');
const ASKED = /\breadAsset(?:Now)?\(\s*(['"`])((?:(?!\1).)*)\1/g;

function sources(): string[] {
  const entries = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' });
  return entries.filter((path) => path.endsWith('.ts')).map((path) => readFileSync(join(ROOT, 'src', path), 'utf8'));
}

it('every file that the code names itself', async () => {
  const asked = sources().flatMap((text) => [...text.matchAll(ASKED)].map(([, , path]) => path ?? ''));
  expect(asked).toContain('package.json');
  const embedded = await embeddedAssets(ROOT);
  // What is put together at run time begins with the directory of the pages.
  for (const path of asked.filter((path) => !path.includes('${'))) expect([...embedded.keys()]).toContain(path);
  for (const path of asked.filter((path) => path.includes('${'))) expect(path).toMatch(/^\$\{PAGES_DIR\}\//);
});

it('nothing else finds its way by where the code lies, which an executable does not know', () => {
  const entries = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' });
  const found = entries.filter(
    (path) => path.endsWith('.ts') && /\bimport\.meta\b/.test(readFileSync(join(ROOT, 'src', path), 'utf8')),
  );
  // Each of them has another way there, or is replaced when the executable is made.
  expect(found.toSorted()).toEqual(['assets.ts', 'cli/own-programs.ts', 'executor/docker/lean-dockerode.ts']);
});

it('every file of the pages, and no source map', async () => {
  using directory = makeTempDir('assets');
  const names = [...PAGE_FILES.values()].map(({ name }) => name);
  for (const name of [...names, 'page.js.map', 'deep/more.css']) {
    const path = directory.sub(`${PAGES_DIR}/${name}`);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, '');
  }
  const expected = ['package.json', ...names.map((name) => `${PAGES_DIR}/${name}`), `${PAGES_DIR}/deep/more.css`];
  expect([...(await embeddedAssets(directory.path)).keys()]).toEqual(expected.toSorted());
});

it('the version alone, where the pages were not built', async () => {
  using directory = makeTempDir('assets');
  expect([...(await embeddedAssets(directory.path)).keys()]).toEqual(['package.json']);
});

it('reads beside the code, outside of an executable', () => {
  expect(JSON.parse(readAssetNow('package.json').toString())).toMatchObject({ name: 'd-grid' });
  expect(() => readAssetNow('nothing.txt')).toThrow('ENOENT');
});
