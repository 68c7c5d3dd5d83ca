/**
 * What the worker tells over HTTP: whether it lives, whether it would take a task, and how it is; and, where a secret is
 * set, what it is told of pushes.
 *
 * Bounds: no request body is read but the webhook's, answers are small, connections are few and short.
 */
import fastify, { type FastifyInstance } from 'fastify';
import { addPushHook, type HookCounts, type PushHook } from './push-hook.ts';

/** What the pages show; everything is asked for at each request. */
export interface HealthSource {
  /** Empty when the worker would claim a task now. */
  reasons: () => { reason: string; text: string }[];
  details: () => Record<string, unknown>;
}

export interface HttpServer {
  port: number;
  close: () => Promise<void>;
}

export interface HttpOptions {
  host: string;
  port: number;
  source: HealthSource;
  /** null: there is no webhook. */
  hook: PushHook | null;
}

const MAX_CONNECTIONS = 64;
const REQUEST_TIMEOUT_MS = 10_000;
const MAX_BODY_BYTES = 1024;

/** @throws the system's error when the address can't be listened on. */
export async function startHttpServer(options: HttpOptions): Promise<HttpServer> {
  const server = fastify({
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: REQUEST_TIMEOUT_MS,
    forceCloseConnections: true,
  });
  server.server.maxConnections = MAX_CONNECTIONS;
  const hookCounts = options.hook && addPushHook(server, options.hook);
  addRoutes(server, options.source, hookCounts);
  await server.listen({ host: options.host, port: options.port });
  const address = server.server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : options.port,
    close: () => server.close(),
  };
}

function addRoutes(server: FastifyInstance, source: HealthSource, hookCounts: (() => HookCounts) | null): void {
  server.get('/livez', async () => ({ status: 'alive' }));
  server.get('/readyz', async (_request, reply) => {
    const reasons = source.reasons();
    if (reasons.length > 0) void reply.code(503);
    return { status: reasons.length === 0 ? 'ready' : 'not ready', reasons };
  });
  server.get('/health', async () => ({
    ...source.details(),
    ...(hookCounts ? { webhook: hookCounts() } : {}),
    paused: source.reasons(),
  }));
}
