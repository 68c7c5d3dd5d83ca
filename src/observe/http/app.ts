/**
 * What the worker tells over HTTP: whether it lives, whether it would take a task, and how it is; and, where a secret is
 * set, what it is told of pushes.
 *
 * Bounds: no request body is read but the webhook's, and answers are small.
 */
import type { Server } from 'node:http';
import fastify, { type FastifyInstance } from 'fastify';
import { addPushHook, type HookCounts, type PushHook } from './push-hook.ts';

/** What the pages show; everything is asked for at each request. */
export interface HealthSource {
  /** Empty when the worker would claim a task now. */
  reasons: () => { reason: string; text: string }[];
  details: () => Record<string, unknown>;
}

export interface AppOptions {
  source: HealthSource;
  /** null: there is no webhook. */
  hook: PushHook | null;
}

const MAX_BODY_BYTES = 1024;

/** @param server whose requests are given to it, once it is made. */
export async function createApp(server: Server, options: AppOptions): Promise<FastifyInstance> {
  const app = fastify({ bodyLimit: MAX_BODY_BYTES, serverFactory: () => server, forceCloseConnections: true });
  const hookCounts = options.hook && addPushHook(app, options.hook);
  addRoutes(app, options.source, hookCounts);
  await app.ready();
  return app;
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
