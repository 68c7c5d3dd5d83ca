/**
 * Listens for HTTP requests. What answers them is loaded with the first one: many workers are never asked, and it takes
 * about 20 MiB.
 *
 * Bounds: connections are few, requests small and in a hurry. Whoever sends slowly, or nothing, is cut off.
 */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
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

export interface ListenOptions {
  host: string;
  port: number;
  /**
   * Makes what answers the requests of this server. Tried again with the next request where it fails.
   * @param signal aborted when the server is to end: answers that last have to end with it.
   */
  load: (server: Server, signal: AbortSignal) => Promise<FastifyInstance>;
}

const MAX_CONNECTIONS = 64;
const REQUEST_TIMEOUT_MS = 10_000;
const HEADERS_TIMEOUT_MS = 5_000;
/** How often it is looked for requests that take longer than that. */
const CONNECTION_CHECK_MS = 2_500;
/** With the request line, and so with the address that is asked for. */
const MAX_HEADER_BYTES = 16 * 1024;
const MAX_HEADERS = 64;
/** Connections of whoever asks again and again are made anew now and then, so that none is held for ever. */
const MAX_REQUESTS_PER_CONNECTION = 1_000;

/** @throws the system's error when the address can't be listened on. */
export function startHttpServer(options: HttpOptions): Promise<HttpServer> {
  const load = async (server: Server, signal: AbortSignal): Promise<FastifyInstance> => {
    const { createApp } = await import('./app.ts');
    return await createApp(server, options, signal);
  };
  return listen({ host: options.host, port: options.port, load });
}

/** @throws the system's error when the address can't be listened on. */
export async function listen(options: ListenOptions): Promise<HttpServer> {
  const ending = new AbortController();
  let app: Promise<FastifyInstance> | null = null;
  const limits = {
    maxHeaderSize: MAX_HEADER_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    headersTimeout: HEADERS_TIMEOUT_MS,
    connectionsCheckingInterval: CONNECTION_CHECK_MS,
  };
  const server = createServer(limits, (request, response) => {
    app ??= options.load(server, ending.signal).catch((error: unknown) => {
      app = null;
      throw error;
    });
    app.then(
      (made) => made.routing(request, response),
      () => response.writeHead(500).end(),
    );
  });
  server.maxHeadersCount = MAX_HEADERS;
  server.maxRequestsPerSocket = MAX_REQUESTS_PER_CONNECTION;
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
      ending.abort();
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
