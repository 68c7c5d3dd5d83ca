/** The pages on loopback, as the product serves them, of documents that a test gives and changes. */
import fastify from 'fastify';
import type { StreamOutput } from '../../src/ledger/results.ts';
import {
  type NodeList,
  type Overview,
  PAGES_SCHEMA_VERSION,
  type TaskDetail,
  type TaskList,
} from '../../src/pages/model.ts';
import { addPages } from '../../src/pages/routes.ts';
import type { PagesSource } from '../../src/pages/source.ts';
import { listTasks, type TaskQuery } from '../../src/pages/task-list.ts';
import { systemClock } from '../../src/runtime.ts';
import { taskDetail } from './pages-task-detail.ts';

/** A source whose documents are what was last set. */
export class GivenSource implements PagesSource {
  #overview: Overview;
  #changes = 0;
  readonly #listeners = new Set<() => void>();

  /** Thrown instead of an answer for any task. */
  taskError: Error | null = null;

  constructor(overview: Overview) {
    this.#overview = overview;
  }

  get now(): Overview {
    return this.#overview;
  }

  set(overview: Overview): void {
    this.#changes += 1;
    this.#overview = { ...overview, revision: `${overview.revision}+${this.#changes}` };
    for (const listener of this.#listeners) listener();
  }

  async overview(): Promise<Overview> {
    return this.#overview;
  }

  async task(id: string): Promise<TaskDetail | null> {
    if (this.taskError) throw this.taskError;
    const row = [...this.#overview.tasks, ...this.#overview.recent].find(({ task_id }) => task_id === id);
    return row ? taskDetail(row) : null;
  }

  async tasks(query: TaskQuery): Promise<TaskList> {
    const { recent, tasks } = this.#overview;
    const queuedRow = (): never => {
      throw new Error('all rows are given');
    };
    return listTasks(query, { open: tasks, queued: () => [], recent, queuedRow });
  }

  async nodes(): Promise<NodeList> {
    return { schema_version: PAGES_SCHEMA_VERSION, nodes: this.#overview.nodes };
  }

  async output(id: string, stream: 'stdout' | 'stderr'): Promise<StreamOutput | null> {
    const output = (await this.task(id))?.[stream];
    return output ? { bytes: Buffer.from(output.text), totalBytes: output.total_bytes, whole: output.whole } : null;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}

export interface ServedPages {
  source: GivenSource;
  url: string;
  /** Every request is answered with 401 while it is set. */
  asksWho: boolean;
  /** Streams of changes are answered with 503 while it is set. */
  refusesStreams: boolean;
  stop(): Promise<void>;
}

/** @param port 0: any. */
export async function servePages(overview: Overview, port = 0): Promise<ServedPages> {
  const source = new GivenSource(overview);
  const ended = new AbortController();
  const server = fastify({ forceCloseConnections: true });
  const served: ServedPages = {
    source,
    url: '',
    asksWho: false,
    refusesStreams: false,
    async stop() {
      ended.abort();
      await server.close();
    },
  };
  server.addHook('onRequest', async ({ url }, reply) => {
    if (served.asksWho) return reply.code(401).send({ problem: 'who are you?' });
    if (served.refusesStreams && url.endsWith('/events')) return reply.code(503).send({ problem: 'too many' });
  });
  addPages(server, { source, version: overview.version, clock: systemClock, signal: ended.signal });
  await server.listen({ host: '127.0.0.1', port });
  const address = server.server.address();
  if (typeof address !== 'object' || address === null) throw new Error('the server listens on no port');
  served.url = `http://127.0.0.1:${address.port}/`;
  return served;
}
