/** A site of plain files, as a Pages host would serve it below a path. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { readAsset } from '../../src/assets.ts';
import type { Overview } from '../../src/pages/model.ts';
import { PAGE_FILES, PAGES_DIR } from '../../src/pages/page-files.ts';
import { taskDetail } from './pages-task-detail.ts';

export interface StaticSite {
  url: string;
  /** By its path below the site; null: there is none. */
  files: Map<string, { type: string; content: string | Buffer }>;
  stop(): Promise<void>;
}

const PREFIX = '/fleet/grid/';

/** @param overview its tasks have files of their own, but for those that are queued. */
export async function serveStaticSite(overview: Overview): Promise<StaticSite> {
  const files: StaticSite['files'] = new Map();
  for (const [path, { name, type }] of PAGE_FILES) {
    files.set(path.slice(1), { type, content: await readAsset(`${PAGES_DIR}/${name}`) });
  }
  const page = String(files.get('')?.content);
  files.set('', { type: 'text/html', content: page.replace('data-source="live"', 'data-source="static"') });
  const json = (document: unknown) => ({ type: 'application/json', content: JSON.stringify(document) });
  files.set('data/overview.json', json(overview));
  for (const row of [...overview.tasks, ...overview.recent]) {
    if (row.state !== 'queued') files.set(`data/tasks/${row.task_id}.json`, json(taskDetail(row)));
  }
  const server = createServer((request, response) => {
    const file = request.url?.startsWith(PREFIX) ? files.get(request.url.slice(PREFIX.length)) : undefined;
    if (file) response.writeHead(200, { 'content-type': file.type }).end(file.content);
    else response.writeHead(404).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  return {
    url: `http://127.0.0.1:${port}${PREFIX}`,
    files,
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
