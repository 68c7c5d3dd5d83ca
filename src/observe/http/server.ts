/**
 * What the worker tells over HTTP: whether it lives, whether it would take a task, and how it is.
 *
 * Bounds: no request body is read, answers are small, connections are few and short.
 */
import fastify, { type FastifyInstance } from 'fastify';

/** What the pages show; everything is asked for at each request. */
export interface HealthSource {
  /** Empty when the worker would claim a task now. */
  reasons: () => { reason: string; text: string }[];
  details: () => Record<string, unknown>;
}

export interface HttpOptions {
  host: string;
  port: number;
  source: HealthSource;
}

const MAX_CONNECTIONS = 64;
const REQUEST_TIMEOUT_MS = 10_000;
const MAX_BODY_BYTES = 1024;

/** @throws the system's error when the address can't be listened on. */
export async function startHttpServer(options: HttpOptions): Promise<{ port: number; close: () => Promise<void> }> {
  const server = fastify({
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: REQUEST_TIMEOUT_MS,
    forceCloseConnections: true,
  });
  server.server.maxConnections = MAX_CONNECTIONS;
  addRoutes(server, options.source);
  await server.listen({ host: options.host, port: options.port });
  const address = server.server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : options.port,
    close: () => server.close(),
  };
}

function addRoutes(server: FastifyInstance, source: HealthSource): void {
  server.get('/livez', async () => ({ status: 'alive' }));
  server.get('/readyz', async (_request, reply) => {
    const reasons = source.reasons();
    if (reasons.length > 0) void reply.code(503);
    return { status: reasons.length === 0 ? 'ready' : 'not ready', reasons };
  });
  server.get('/health', async () => ({ ...source.details(), paused: source.reasons() }));
}
