/**
 * Writes what is made from the tables of settings and of metrics, from the shapes of task files and records, from the results
 * of the benchmarks and from those of the attacks: `npm run docs`. With `--check` it writes nothing, names what is out of date,
 * and exits with 1.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { SuiteDocument } from '../bench/frame/figure.ts';
import { performanceFiles, RESULTS_PATH } from '../bench/page/page.ts';
import { SUITES } from '../bench/suites.ts';
import type { AbuseDocument } from '../test/support/abuse/document.ts';
import { ABUSE_PAGE_PATH, ABUSE_RESULTS_PATH, abusePage } from './abuse-page.ts';
import { MONITORING_PAGE_PATH, withMetricsTable } from './metrics-docs.ts';
import { schemaFiles } from './schema-files.ts';
import { generatedFiles, withMarkedTables } from './settings-docs.ts';
import { TOP_PICTURE_PATH, topPicture } from './top-picture.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

async function main(argv: readonly string[]): Promise<number> {
  const files = generatedFiles();
  for (const [path, content] of schemaFiles()) files.set(path, content);
  files.set(TOP_PICTURE_PATH, topPicture());
  const results = await readIfThere(RESULTS_PATH);
  const documents = results === null ? [] : (JSON.parse(results) as SuiteDocument[]);
  for (const [path, content] of performanceFiles(SUITES, documents)) files.set(path, content);
  const abuse = await readIfThere(ABUSE_RESULTS_PATH);
  files.set(ABUSE_PAGE_PATH, abusePage(abuse === null ? [] : (JSON.parse(abuse) as AbuseDocument[])));
  const readme = await readIfThere('README.md');
  if (readme !== null) files.set('README.md', withMarkedTables(readme));
  const monitoring = await readIfThere(MONITORING_PAGE_PATH);
  if (monitoring !== null) files.set(MONITORING_PAGE_PATH, withMetricsTable(monitoring));
  const stale: string[] = [];
  for (const [path, content] of files) {
    if ((await readIfThere(path)) === content) continue;
    stale.push(path);
    if (argv.includes('--check')) continue;
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), content);
  }
  if (!argv.includes('--check')) {
    console.log(stale.length === 0 ? 'Everything is up to date.' : `Written: ${stale.join(', ')}`);
    return 0;
  }
  if (stale.length === 0) return 0;
  console.error(`Out of date: ${stale.join(', ')}. Run "npm run docs".`);
  return 1;
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(join(root, path), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

process.exitCode = await main(process.argv.slice(2));
