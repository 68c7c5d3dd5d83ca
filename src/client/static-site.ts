/**
 * A picture of the grid as files, for a host that serves nothing but files: the page, the overview, and a document for each
 * task that it lists.
 *
 * Each file is whole at every moment: it is written beside its place and renamed. The overview comes last, so that it lists
 * no task whose document is not there yet; what an earlier run wrote for tasks that are no longer listed goes after it.
 * Nothing else in the directory is touched, and a directory with other things in it is refused unless it is marked as a site.
 */
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { GridPages } from '../pages/grid-pages.ts';
import type { Overview } from '../pages/model.ts';
import { PAGE_FILES, PAGES_DIR } from '../pages/page-files.ts';
import { isTaskId, type TaskId } from '../task/id.ts';

const MARKER = '.dgrid-site';
const MARKER_TEXT =
  'Written by "dgrid dashboard --static". While this file is here, the next run may write here again.\n';
const TASKS_DIR = 'data/tasks';
const SUFFIX = '.json';
const LIVE = 'data-source="live"';
const STATIC = 'data-source="static"';
/** Beside the place of the file; one that a death left there is written over. */
const UNFINISHED = '.unfinished';
/** What Git and hosts of pages put into a directory that is published. */
const HARMLESS: readonly string[] = ['.git', 'CNAME'];

export class StaticSiteError extends Error {
  override readonly name = 'StaticSiteError';
}

export interface StaticSiteParts {
  directory: string;
  pages: Pick<GridPages, 'overview' | 'details'>;
  /** By the path below the package's directory. */
  readAsset: (path: string) => Promise<Buffer>;
  signal: AbortSignal;
}

export interface WrittenSite {
  files: number;
  tasks: number;
  /** Documents of tasks that are no longer listed. */
  removed: number;
}

/** @throws StaticSiteError when the directory cannot be used; GitError; BusyError */
export async function writeStaticSite({ directory, pages, readAsset, signal }: StaticSiteParts): Promise<WrittenSite> {
  const overview = await pages.overview();
  const details = await pages.details(listed(overview), signal);
  const page = await pageFiles(readAsset);
  await claim(directory);
  await write(directory, '.nojekyll', '');
  for (const [name, content] of page) await write(directory, name, content);
  for (const [id, detail] of details) await write(directory, `${TASKS_DIR}/${id}${SUFFIX}`, JSON.stringify(detail));
  await write(directory, 'data/overview.json', JSON.stringify(overview));
  const removed = await removeUnlisted(directory, new Set(details.keys()));
  return { files: page.size + details.size + 3, tasks: details.size, removed };
}

function listed({ recent, tasks }: Overview): TaskId[] {
  return [...new Set([...tasks, ...recent].map(({ task_id: id }) => id))].filter((id) => isTaskId(id));
}

/** By name. Whoever opens the page from a file must see that nothing answers there. */
async function pageFiles(readAsset: StaticSiteParts['readAsset']): Promise<Map<string, Buffer | string>> {
  const files = new Map<string, Buffer | string>();
  for (const [path, { name }] of PAGE_FILES) {
    const content = await readAsset(`${PAGES_DIR}/${name}`);
    files.set(name, path === '/' ? asStatic(content.toString('utf8')) : content);
  }
  return files;
}

function asStatic(page: string): string {
  if (!page.includes(LIVE)) throw new Error(`the page lacks ${LIVE}: it is not the one that belongs to this version`);
  return page.replace(LIVE, STATIC);
}

/** @throws StaticSiteError */
async function claim(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true });
    const names = await readdir(directory);
    const others = names.filter((name) => !HARMLESS.includes(name));
    if (others.length > 0 && !names.includes(MARKER)) {
      throw new StaticSiteError(
        `${directory} has other things in it, such as ${others[0]}: name an empty directory, ` +
          `or one that an earlier run has written (it has a file ${MARKER})`,
      );
    }
    await write(directory, MARKER, MARKER_TEXT);
  } catch (cause) {
    if (cause instanceof StaticSiteError) throw cause;
    throw new StaticSiteError(`${directory} cannot be written: ${(cause as Error).message}`, { cause });
  }
}

/** @param name below the directory @throws StaticSiteError */
async function write(directory: string, name: string, content: Buffer | string): Promise<void> {
  const path = join(directory, name);
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(`${path}${UNFINISHED}`, content);
    await rename(`${path}${UNFINISHED}`, path);
  } catch (cause) {
    throw new StaticSiteError(`${path} cannot be written: ${(cause as Error).message}`, { cause });
  }
}

async function removeUnlisted(directory: string, listedIds: ReadonlySet<TaskId>): Promise<number> {
  const names = await readdir(join(directory, TASKS_DIR)).catch(() => []);
  const old = names.filter((name) => {
    const id = name.endsWith(SUFFIX) ? name.slice(0, -SUFFIX.length) : '';
    return isTaskId(id) && !listedIds.has(id);
  });
  for (const name of old) await rm(join(directory, TASKS_DIR, name), { force: true });
  return old.length;
}
