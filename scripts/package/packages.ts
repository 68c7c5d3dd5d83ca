/** The npm packages of which something is in the executable, with what has to be said about each. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PAGES_DIR } from '../../src/pages/page-files.ts';

/** Also UK spelling, and with any ending. */
const LICENSE_FILE = /^(licen[cs]e|notice|copying)/i;

export interface BundledPackage {
  name: string;
  version: string;
  /** An SPDX expression, as the package says itself. */
  license: string;
  author: string;
  /** The licence's text, where the package brings it. */
  text: string | null;
}

interface Manifest {
  name: string;
  version: string;
  license?: string | { type?: string };
  licenses?: { type?: string }[];
  author?: string | { name?: string };
  dependencies?: Record<string, string>;
}

/** @param inputs the files that were bundled, below the root. @returns sorted by name and version. */
export async function bundledPackages(root: string, inputs: readonly string[]): Promise<BundledPackage[]> {
  const directories = new Set(inputs.flatMap((input) => packageDirectory(input) ?? []));
  for (const name of await packagesOfThePages(root)) directories.add(`node_modules/${name}`);
  const packages = await Promise.all([...directories].map((directory) => describe(join(root, directory))));
  const distinct = new Map(packages.map((found) => [`${found.name}@${found.version}`, found]));
  return [...distinct].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, found]) => found);
}

/** What the page's scripts are made of went in as a finished file: of that, dependencies that no module imports. */
async function packagesOfThePages(root: string): Promise<string[]> {
  const files = await readdir(join(root, PAGES_DIR)).catch(() => []);
  if (files.length === 0) return [];
  const { dependencies = {} } = await manifestIn(root);
  return Object.keys(dependencies);
}

function packageDirectory(input: string): string | null {
  return /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? null;
}

async function manifestIn(directory: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(directory, 'package.json'), 'utf8')) as Manifest;
}

async function describe(directory: string): Promise<BundledPackage> {
  const { name, version, license, licenses, author } = await manifestIn(directory);
  const names = (await readdir(directory)).filter((file) => LICENSE_FILE.test(file)).toSorted();
  const texts = await Promise.all(names.map((file) => readFile(join(directory, file), 'utf8')));
  return {
    name,
    version,
    license:
      (typeof license === 'string' ? license : license?.type) ??
      licenses?.map(({ type }) => type).join(' OR ') ??
      'NOASSERTION',
    author: (typeof author === 'string' ? author : author?.name) ?? '',
    text: texts.length === 0 ? null : texts.map((text) => text.trim()).join('\n\n'),
  };
}
