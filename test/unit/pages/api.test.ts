/** The routes against their own description: each is described, and what each answers is what it says. */
import fastify from 'fastify';
import { describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { GitError } from '../../../src/git/errors.ts';
import { GridHistory } from '../../../src/pages/grid-history.ts';
import { GridPages } from '../../../src/pages/grid-pages.ts';
import { openApiDocument } from '../../../src/pages/openapi.ts';
import { addPages } from '../../../src/pages/routes.ts';
import type { PagesSource } from '../../../src/pages/source.ts';
import { BusyError } from '../../../src/pages/turnstile.ts';
import { systemClock } from '../../../src/runtime.ts';
import { alive, briefOf, claimed, finished, viewOf } from '../../support/grid-views.ts';
import { MemoryRemote, MemoryRepository } from '../../support/memory-repository.ts';

interface Described {
  paths: Record<
    string,
    { get: { responses: Record<string, { content?: Record<string, { schema: { $ref?: string } }> }> } }
  >;
  components: { schemas: Record<string, Parameters<typeof z.fromJSONSchema>[0]> };
}

const DOCUMENT = openApiDocument('1.2.3') as unknown as Described;

function source(overrides: Partial<PagesSource> = {}): PagesSource {
  const history = new GridHistory(systemClock);
  const repository = new MemoryRepository(new MemoryRemote());
  const view = viewOf({
    queued: ['waits', 'bad-one', 'run'],
    tasks: { run: claimed('run'), done: finished('done', 'failed') },
    nodes: { box: alive('box', { labels: ['x'], cpu_percent: 5 }) },
  });
  history.observe(view, []);
  const pages = new GridPages({
    grid: {
      repository: () => repository,
      history,
      briefOf,
      arrivalOf: () => 0,
      view: () => view,
      namespace: () => 'refs/dgrid',
      ownTasks: () => [],
      writtenOf: () => null,
      own: () => null,
    },
    source: 'worker',
    version: '1',
    repository: 'r',
    maxTaskBytes: 1024,
    clock: systemClock,
  });
  return {
    overview: () => pages.overview(),
    tasks: (query) => pages.tasks(query),
    nodes: () => pages.nodes(),
    task: (id, signal) => pages.task(id, signal),
    output: async () => ({ bytes: Buffer.from('hello\n'), totalBytes: 6, whole: true }),
    onChange: (listener) => pages.onChange(listener),
    ...overrides,
  };
}

function serve(overrides: Partial<PagesSource> = {}) {
  const app = fastify();
  onTestFinished(() => app.close());
  const routes: string[] = [];
  app.addHook('onRoute', ({ method, url }) => void (method === 'GET' && routes.push(url)));
  addPages(app, {
    source: source(overrides),
    version: '1.2.3',
    clock: systemClock,
    signal: new AbortController().signal,
  });
  return { app, routes };
}

/** @throws when the answer is none that the description allows */
function check(path: string, status: number, type: string, body: string): void {
  const { responses } = DOCUMENT.paths[path]?.get ?? { responses: {} };
  const described = responses[String(status)] ?? responses['default'];
  const content = described?.content?.[type.split(';')[0] ?? ''];
  if (!content) throw new Error(`${path} does not describe ${type} with ${status}`);
  const name = content.schema.$ref?.replace('#/components/schemas/', '');
  if (name === undefined) return;
  const schema = DOCUMENT.components.schemas[name];
  if (schema === undefined) throw new Error(`${name} is not described`);
  z.fromJSONSchema(schema).parse(JSON.parse(body));
}

describe('the API', () => {
  it('describes every route that there is, and no other', async () => {
    const { app, routes } = serve();
    await app.ready();
    const described = Object.keys(DOCUMENT.paths).map((path) => path.replaceAll(/\{(\w+)\}/g, ':$1'));
    expect(routes.filter((route) => route.startsWith('/api/')).toSorted()).toEqual(described.toSorted());
  });

  it('answers what it describes', async () => {
    const { app } = serve();
    const calls: [path: string, url: string, status: number][] = [
      ['/api/v1/overview', '/overview', 200],
      ['/api/v1/tasks', '/tasks', 200],
      ['/api/v1/tasks', '/tasks?state=running&limit=1', 200],
      ['/api/v1/tasks', '/tasks?limit=x', 400],
      ['/api/v1/tasks', '/tasks?colour=red', 400],
      ['/api/v1/tasks/{id}', '/tasks/run', 200],
      ['/api/v1/tasks/{id}', '/tasks/done', 200],
      ['/api/v1/tasks/{id}', '/tasks/waits', 200],
      ['/api/v1/tasks/{id}', '/tasks/nobody', 404],
      ['/api/v1/tasks/{id}/output/{stream}', '/tasks/done/output/stdout', 200],
      ['/api/v1/tasks/{id}/output/{stream}', '/tasks/done/output/stdin', 404],
      ['/api/v1/nodes', '/nodes', 200],
      ['/api/v1/openapi.json', '/openapi.json', 200],
    ];
    for (const [path, url, status] of calls) {
      const answer = await app.inject(`/api/v1${url}`);
      expect(answer.statusCode, url).toBe(status);
      check(path, status, String(answer.headers['content-type']), answer.body);
    }
    expect((await app.inject('/api/v1/tasks?colour=red')).json()).toEqual({ problem: 'Unrecognized key: "colour"' });
  });

  it('says what went wrong in the same words everywhere, and nothing of how it is made', async () => {
    const failures: [error: Error, status: number, problem: RegExp][] = [
      [new GitError('network', 'fetch', 'the host is away'), 502, /could not be read: the host is away/],
      [new BusyError('try again later'), 503, /try again later/],
      [new TypeError('x is not a function'), 500, /could not be made/],
    ];
    for (const [error, status, problem] of failures) {
      const failing = async (): Promise<never> => Promise.reject(error);
      const { app } = serve({ task: failing, output: failing });
      for (const url of ['/tasks/run', '/tasks/run/output/stdout']) {
        const answer = await app.inject(`/api/v1${url}`);
        expect([answer.statusCode, answer.json()]).toEqual([status, { problem: expect.stringMatching(problem) }]);
      }
    }
  });
});
