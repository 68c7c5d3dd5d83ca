/**
 * What the worker tells over HTTP: whether it lives, whether it would take a task, how it is, and its figures; and, where a
 * secret is set, what it is told of pushes. Who may ask stands in access.ts.
 *
 * Bounds: no request body is read but the webhook's, and answers are small.
 */
import { readlinkSync } from 'node:fs';
import type { Server } from 'node:http';
import fastify, { type FastifyInstance } from 'fastify';
import { addPages, answerUnroutable, type PagesOptions } from '../../pages/routes.ts';
import type { PagesSource } from '../../pages/source.ts';
import type { MetricsSource } from '../metrics/exposition.ts';
import { type Access, type AccessOptions, addAccess } from './access.ts';
import { addPushHook, type HookCounts, type PushHook } from './push-hook.ts';

/** What the pages show; everything is asked for at each request. */
export interface HealthSource {
  /** Whether it has reached its repository and taken its place in the grid, once. */
  hasJoined: () => boolean;
  /** Empty when the worker would claim a task now. */
  reasons: () => { reason: string; text: string }[];
  details: () => Promise<object>;
}

export interface AppOptions {
  source: HealthSource;
  metrics: MetricsSource;
  access: AccessOptions;
  /** null: there is no webhook. */
  hook: PushHook | null;
  /** Absent: nothing is shown of the grid. */
  pages?: PagesParts;
}

/** Made with the first request. */
export interface PagesParts extends Pick<PagesOptions, 'version' | 'clock'> {
  source: () => Promise<PagesSource>;
}

/**
 * Names the process namespace of the worker that answers, as Linux writes it. Where containers share a network, by this a
 * container's health check knows its own worker from the one before it, which still ends.
 */
const PROCESS_HEADER = 'dgrid-process-namespace';

const MAX_BODY_BYTES = 1024;
/** Prometheus' text format. */
const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';
const MAX_PARAMETER_CHARACTERS = 256;

/**
 * @param server whose requests are given to it, once it is made.
 * @param signal aborted when the server is to end.
 */
export async function createApp(server: Server, options: AppOptions, signal: AbortSignal): Promise<FastifyInstance> {
  const app = fastify({
    bodyLimit: MAX_BODY_BYTES,
    routerOptions: { maxParamLength: MAX_PARAMETER_CHARACTERS },
    serverFactory: () => server,
    forceCloseConnections: true,
    frameworkErrors: answerUnroutable,
  });
  const access = addAccess(app, options.access);
  const hookCounts = options.hook && addPushHook(app, options.hook);
  addRoutes(app, options.source, access, hookCounts);
  addMetrics(app, options.metrics);
  if (options.pages) addPages(app, { ...options.pages, source: await options.pages.source(), signal });
  await app.ready();
  return app;
}

function addRoutes(
  server: FastifyInstance,
  source: HealthSource,
  access: Access,
  hookCounts: (() => HookCounts) | null,
): void {
  server.get('/livez', async () => ({ status: 'alive' }));
  const namespace = processNamespace();
  server.get('/startupz', async (_request, reply) => {
    if (namespace !== null) void reply.header(PROCESS_HEADER, namespace);
    const hasJoined = source.hasJoined();
    if (!hasJoined) void reply.code(503);
    return { status: hasJoined ? 'started' : 'starting' };
  });
  server.get('/readyz', async (request, reply) => {
    const told = source.reasons();
    // The texts name paths and programs of this machine.
    const reasons = access.isTrusted(request) ? told : told.map(({ reason }) => ({ reason }));
    if (reasons.length > 0) void reply.code(503);
    return { status: reasons.length === 0 ? 'ready' : 'not ready', reasons };
  });
  server.get('/health', async () => ({
    ...(await source.details()),
    ...(hookCounts ? { webhook: hookCounts() } : {}),
    paused: source.reasons(),
  }));
}

/** null where there is none to name. */
function processNamespace(): string | null {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return null;
  }
}

/** What writes the figures down is loaded with the first that asks for them: many workers are never asked. */
function addMetrics(server: FastifyInstance, source: MetricsSource): void {
  let exposition: Promise<() => Promise<string>> | null = null;
  const load = async (): Promise<() => Promise<string>> => {
    try {
      return (await import('../metrics/exposition.ts')).createExposition(source);
    } catch (error) {
      exposition = null;
      throw error;
    }
  };
  server.get('/metrics', async (_request, reply) => {
    exposition ??= load();
    const text = await (await exposition)();
    return reply.headers({ 'content-type': METRICS_TYPE, 'cache-control': 'no-store' }).send(text);
  });
}
