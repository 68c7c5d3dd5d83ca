/** What answers the requests of `dgrid dashboard`: the pages, to this machine alone. */
import type { Server } from 'node:http';
import fastify, { type FastifyInstance } from 'fastify';
import { addAccess } from '../../observe/http/access.ts';
import { addPages, answerUnroutable, type PagesOptions } from '../../pages/routes.ts';

const MAX_BODY_BYTES = 1024;

export interface DashboardAppOptions extends PagesOptions {
  /** A loopback address. */
  host: string;
  /** Told of each request. */
  onAsked: () => void;
}

/** @param server whose requests are given to it, once it is made. */
export async function createDashboardApp(server: Server, options: DashboardAppOptions): Promise<FastifyInstance> {
  const app = fastify({
    bodyLimit: MAX_BODY_BYTES,
    serverFactory: () => server,
    forceCloseConnections: true,
    frameworkErrors: answerUnroutable,
  });
  app.addHook('onRequest', async () => options.onAsked());
  addAccess(app, { token: null, host: options.host, clock: options.clock, emit: () => undefined });
  addPages(app, options);
  await app.ready();
  return app;
}
