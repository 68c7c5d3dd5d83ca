/**
 * Listens for HTTP requests. What answers them is loaded with the first one: many workers are never asked, and it takes
 * about 20 MiB.
 *
 * Bounds: connections are few and short.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { FastifyInstance } from 'fastify';
import type { AppOptions } from './app.ts';

export interface HttpServer {
  port: number;
  close: () => Promise<void>;
}

export interface HttpOptions extends AppOptions {
  host: string;
  port: number;
}

const MAX_CONNECTIONS = 64;
const REQUEST_TIMEOUT_MS = 10_000;

/** @throws the system's error when the address can't be listened on. */
export async function startHttpServer(options: HttpOptions): Promise<HttpServer> {
  let app: Promise<FastifyInstance> | null = null;
  const load = async (): Promise<FastifyInstance> => {
    const { createApp } = await import('./app.ts');
    return await createApp(server, options);
  };
  const server = createServer((request, response) => {
    app ??= load().catch((error: unknown) => {
      app = null;
      throw error;
    });
    app.then(
      (made) => made.routing(request, response),
      () => response.writeHead(500).end(),
    );
  });
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  server.setTimeout(REQUEST_TIMEOUT_MS);
  server.maxConnections = MAX_CONNECTIONS;
  server.listen({ host: options.host, port: options.port });
  await once(server, 'listening');
  // A connection that could not be accepted, for want of descriptors say, is no reason for the worker to end.
  server.on('error', () => {});
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : options.port,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
