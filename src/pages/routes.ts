/**
 * The pages over HTTP: documents under /api/v1, changes as server-sent events, and the page itself.
 *
 * Bounds: so many streams of events at a time, no body is read, and a document is made once for each change however often
 * it is asked for. Whatever goes wrong is answered with a text that says what.
 */
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { readAsset } from '../assets.ts';
import { GitError } from '../git/errors.ts';
import type { Clock } from '../runtime.ts';
import { isTaskId } from '../task/id.ts';
import { sendChanges } from './event-stream.ts';
import { MAX_OUTPUT_STREAM_BYTES } from './limits.ts';
import { API_PREFIX, openApiDocument } from './openapi.ts';
import { endOf } from './output-text.ts';
import { PAGE_FILES, PAGES_DIR } from './page-files.ts';
import type { PagesSource } from './source.ts';
import { taskQuery } from './task-list.ts';
import { BusyError } from './turnstile.ts';

const MAX_EVENT_STREAMS = 16;
const RETRY_AFTER_SECONDS = '5';
/** An end of a connection that is gone without a word is found out by the system. */
const TCP_KEEP_ALIVE_MS = 30_000;
/** The page needs nothing from anywhere else, and may not get it. */
const CONTENT_SECURITY_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const HEADERS = {
  'content-security-policy': CONTENT_SECURITY_POLICY,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
};

export interface PagesOptions {
  source: PagesSource;
  /** Of the product. */
  version: string;
  clock: Clock;
  /** Aborted when the server is to end: streams would hold it up. */
  signal: AbortSignal;
}

type TaskRequest = { Params: { id: string } };
type OutputRequest = { Params: { id: string; stream: string } };

export function addPages(server: FastifyInstance, options: PagesOptions): void {
  void server.register(async (scope) => {
    addHeaders(scope);
    for (const [path, file] of PAGE_FILES) {
      scope.get(path, async (_request, reply) =>
        reply
          .headers({ 'content-type': file.type, 'cache-control': 'no-cache' })
          .send(await readAsset(`${PAGES_DIR}/${file.name}`)),
      );
    }
  });
  void server.register(async (scope) => addApi(scope, options), { prefix: API_PREFIX });
}

function addHeaders(scope: FastifyInstance): void {
  scope.addHook('onSend', async (_request, reply) => void reply.headers(HEADERS));
}

function addApi(scope: FastifyInstance, { source, version, clock, signal }: PagesOptions): void {
  addHeaders(scope);
  scope.addHook('onRequest', async (_request, reply) => void reply.header('cache-control', 'no-cache'));
  scope.setErrorHandler(answerError);
  scope.setNotFoundHandler(async (_request, reply) =>
    reply
      .code(404)
      .send({ problem: `there is no such page: ${API_PREFIX}/openapi.json describes those that there are` }),
  );

  scope.get('/overview', async (request, reply) => {
    const document = await source.overview();
    const tag = `"${document.revision}"`;
    void reply.header('etag', tag);
    return isKnown(request, tag) ? reply.code(304).send() : document;
  });

  scope.get('/tasks', (request) => source.tasks(readQuery(request)));

  scope.get<TaskRequest>('/tasks/:id', async ({ params: { id } }) => {
    const document = isTaskId(id) ? await source.task(id, signal) : null;
    if (!document) throw new NoSuchTaskError('there is no such task');
    return document;
  });

  scope.get<OutputRequest>('/tasks/:id/output/:stream', async ({ params: { id, stream } }, reply) => {
    if (stream !== 'stdout' && stream !== 'stderr') throw new NoSuchTaskError('a task has stdout and stderr');
    const output = isTaskId(id) ? await source.output(id, stream, signal) : null;
    if (!output)
      throw new NoSuchTaskError('there is no such task, or it has no result yet: output comes with the result');
    const end = endOf(output.bytes, MAX_OUTPUT_STREAM_BYTES);
    return reply
      .headers({
        'content-type': 'text/plain; charset=utf-8',
        'x-dgrid-total-bytes': output.totalBytes,
        'x-dgrid-whole': String(output.whole && end.length === output.bytes.length),
      })
      .send(end);
  });

  scope.get('/nodes', async () => source.nodes());

  scope.get('/openapi.json', async () => openApiDocument(version));

  let streams = 0;
  scope.get('/events', { exposeHeadRoute: false }, (request, reply) => {
    if (streams >= MAX_EVENT_STREAMS || signal.aborted) {
      return reply
        .code(503)
        .header('retry-after', RETRY_AFTER_SECONDS)
        .send({ problem: 'too many streams of events are open: close a page, or ask for the overview now and then' });
    }
    streams += 1;
    const gone = AbortSignal.any([signal, closed(reply)]);
    gone.addEventListener('abort', () => (streams -= 1), { once: true });
    // The server ends connections on which nothing passes for a while; on this one that is the rule.
    request.raw.socket.setTimeout(0);
    request.raw.socket.setKeepAlive(true, TCP_KEEP_ALIVE_MS);
    const { raw } = reply.hijack();
    raw.writeHead(200, {
      ...HEADERS,
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
      // Its time-out is gone, so nothing else may come over it.
      connection: 'close',
    });
    sendChanges(raw, { source, clock, gone }).catch(() => raw.destroy());
    return reply;
  });
}

class NoSuchTaskError extends Error {}
class QueryError extends Error {}

/** @throws QueryError that names the fields */
function readQuery(request: FastifyRequest): z.output<typeof taskQuery> {
  const parsed = taskQuery.safeParse(request.query);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => [path.join('.'), message].filter(Boolean).join(' '));
  throw new QueryError(problems.join('; '));
}

function answerError(error: FastifyError, _request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const answer = (code: number, problem: string): FastifyReply =>
    reply.code(code).type('application/json').send({ problem });
  if (error instanceof NoSuchTaskError) return answer(404, error.message);
  if (error instanceof QueryError) return answer(400, error.message);
  if (error instanceof GitError) return answer(502, `the repository could not be read: ${error.message}`);
  if (error instanceof BusyError) {
    void reply.header('retry-after', RETRY_AFTER_SECONDS);
    return answer(503, error.message);
  }
  const code = error.statusCode ?? 500;
  return answer(code, code < 500 ? error.message : 'this answer could not be made');
}

/** For addresses that lead nowhere because they are no addresses. */
export function answerUnroutable(error: FastifyError, _request: unknown, reply: FastifyReply): void {
  void reply
    .code(error.statusCode ?? 400)
    .type('application/json')
    .send({ problem: error.message });
}

function isKnown(request: FastifyRequest, tag: string): boolean {
  const known = request.headers['if-none-match'];
  return known !== undefined && known.split(',').some((one) => one.trim().replace(/^W\//, '') === tag);
}

function closed(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  return gone.signal;
}
