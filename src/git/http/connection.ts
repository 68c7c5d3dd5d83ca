/**
 * HTTP requests to one Git host over connections that are kept open. Says nothing of Git: bytes out, bytes in, and the
 * kinds of failure of the house.
 *
 * Bounds: an answer has `maxAnswerBytes` at most, unpacked too; a request ends at its deadline. Redirects are followed for
 * requests that change nothing, at most `MAX_REDIRECTS` in a row, never from https to http.
 */
import { readFileSync } from 'node:fs';
import { Agent, type IncomingMessage, request as plainRequest, type RequestOptions } from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';
import { getCACertificates } from 'node:tls';
import { gunzipSync } from 'node:zlib';
import type { Emit } from '../../observe/events.ts';
import type { Clock } from '../../runtime.ts';
import { GitError } from '../errors.ts';
import { Collector } from './collector.ts';
import { proxyFor } from './proxy.ts';

const MAX_REDIRECTS = 5;
const MAX_SOCKETS = 4;
const KEEP_ALIVE_MS = 60_000;
const STATUS_WORDS_CHARS = 300;
const GUNZIP_CHUNK_BYTES = 256 * 1024;

export interface HttpRequest {
  method: 'GET' | 'POST';
  url: URL;
  headers: Readonly<Record<string, string>>;
  body?: Buffer;
  maxAnswerBytes: number;
  deadlineMs: number;
  signal?: AbortSignal | undefined;
  /** For errors: as `ls-remote` or `push`. */
  operation: string;
}

export interface HttpAnswer {
  status: number;
  headers: IncomingMessage['headers'];
  body: Buffer;
  /** Where the answer came from in the end. */
  url: URL;
}

/** The answer has no end, or a later one than anybody can use. What came of it is thrown away. */
export class AnswerTooLongError extends GitError {
  constructor(operation: string, origin: string, maxAnswerBytes: number) {
    super('corrupt-remote', operation, `${origin} answers with more than ${maxAnswerBytes} bytes`);
  }
}

/** Why this process cannot reach the host by itself, although another program may: certificates, kinds of proxies. */
export class UnreachableByUs extends Error {
  override readonly name = 'UnreachableByUs';
}

export class Connection {
  readonly #clock: Clock;
  readonly #env: NodeJS.ProcessEnv;
  readonly #emit: Emit;
  readonly #agents = new Map<string, Agent>();

  /** @param env the operator's: proxies and certificate authorities are named there. */
  constructor(parts: { clock: Clock; env: NodeJS.ProcessEnv; emit: Emit }) {
    this.#clock = parts.clock;
    this.#env = parts.env;
    this.#emit = parts.emit;
  }

  /** Whatever the status is. @throws GitError; UnreachableByUs */
  async send(request: HttpRequest): Promise<HttpAnswer> {
    const over = new AbortController();
    const ended = new AbortController();
    const stop = (): void => over.abort();
    request.signal?.addEventListener('abort', stop, { once: true });
    if (request.signal?.aborted) over.abort();
    let late = false;
    void this.#clock.sleep(request.deadlineMs, ended.signal).then(() => {
      late = !ended.signal.aborted;
      if (late) over.abort();
    });
    try {
      return await this.#follow(request, over.signal);
    } catch (cause) {
      if (cause instanceof AnswerTooLongError) collectGarbageSoon();
      if (cause instanceof GitError || cause instanceof UnreachableByUs) throw cause;
      throw this.#failure(request, cause, late);
    } finally {
      ended.abort();
      request.signal?.removeEventListener('abort', stop);
    }
  }

  /** Ends every connection that waits for another request. */
  close(): void {
    for (const agent of this.#agents.values()) agent.destroy();
    this.#agents.clear();
  }

  async #follow(request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
    let { url } = request;
    for (let redirects = 0; ; redirects += 1) {
      const answer = await this.#sendOnce({ ...request, url }, signal);
      const { location } = answer.headers;
      if (answer.status < 300 || answer.status >= 400 || location === undefined || request.method !== 'GET') {
        return { ...answer, url };
      }
      const next = URL.parse(location, url);
      const allowed = next && (next.protocol === 'https:' || (next.protocol === 'http:' && url.protocol === 'http:'));
      if (!allowed || redirects === MAX_REDIRECTS) {
        throw new GitError('network', request.operation, `${url.origin} redirects to where nobody may follow`);
      }
      // What proves who we are is meant for the host that it was given for.
      if (next.origin !== request.url.origin) request = { ...request, headers: withoutSecrets(request.headers) };
      url = next;
    }
  }

  async #sendOnce(request: HttpRequest, signal: AbortSignal): Promise<Omit<HttpAnswer, 'url'>> {
    try {
      return await this.#exchange(request, signal);
    } catch (error) {
      // The other side had closed a connection that we thought open. Only what changes nothing is asked again unseen.
      const { staleConnection } = error as { staleConnection?: boolean };
      if (staleConnection !== true || request.operation === 'push' || signal.aborted) throw error;
      return this.#exchange(request, signal);
    }
  }

  #exchange(request: HttpRequest, signal: AbortSignal): Promise<Omit<HttpAnswer, 'url'>> {
    const { url, body } = request;
    const options: RequestOptions = {
      method: request.method,
      agent: this.#agentFor(url),
      signal,
      headers: {
        ...request.headers,
        'Accept-Encoding': 'gzip',
        ...(body ? { 'Content-Length': body.length } : {}),
      },
    };
    const { promise, resolve, reject } = Promise.withResolvers<Omit<HttpAnswer, 'url'>>();
    const sent = (url.protocol === 'https:' ? tlsRequest : plainRequest)(url, options);
    let answered = false;
    sent.once('error', (error) => {
      reject(Object.assign(error, { staleConnection: sent.reusedSocket && !answered }));
    });
    sent.once('response', (message) => {
      answered = true;
      const tell = (receivedBytes: number): void => {
        this.#emit('git.request', {
          operation: request.operation,
          status: message.statusCode ?? 0,
          sent_bytes: body?.length ?? 0,
          received_bytes: receivedBytes,
        });
      };
      readBody(message, request, tell).then(
        (content) => resolve({ status: message.statusCode ?? 0, headers: message.headers, body: content }),
        (error: unknown) => {
          message.destroy();
          reject(error);
        },
      );
    });
    sent.end(body);
    return promise;
  }

  #agentFor(url: URL): Agent {
    const known = this.#agents.get(url.origin);
    if (known) return known;
    const proxy = proxyFor(url, this.#env);
    if (proxy === 'unsupported') throw new UnreachableByUs('the proxy that is set is of a kind that only git can use');
    const common = {
      keepAlive: true,
      keepAliveMsecs: KEEP_ALIVE_MS,
      maxSockets: MAX_SOCKETS,
      ...(proxy ? { proxyEnv: proxy } : {}),
    };
    const agent = url.protocol === 'https:' ? new TlsAgent({ ...common, ...this.#trust() }) : new Agent(common);
    this.#agents.set(url.origin, agent);
    return agent;
  }

  /** Whom git would trust on this machine: what the operator names, or else what the machine and Node know. */
  #trust(): { ca: string[]; cert?: string; key?: string } {
    const { GIT_SSL_CAINFO, CURL_CA_BUNDLE, SSL_CERT_FILE, GIT_SSL_CERT, GIT_SSL_KEY } = this.#env;
    const bundle = GIT_SSL_CAINFO ?? CURL_CA_BUNDLE ?? SSL_CERT_FILE;
    try {
      return {
        ca: bundle ? [readFileSync(bundle, 'utf8')] : [...getCACertificates('default'), ...getCACertificates('system')],
        ...(GIT_SSL_CERT ? { cert: readFileSync(GIT_SSL_CERT, 'utf8') } : {}),
        ...(GIT_SSL_KEY ? { key: readFileSync(GIT_SSL_KEY, 'utf8') } : {}),
      };
    } catch (cause) {
      throw new UnreachableByUs(`a certificate file cannot be read: ${(cause as Error).message}`, { cause });
    }
  }

  #failure(request: HttpRequest, cause: unknown, late: boolean): Error {
    const { operation, url, signal } = request;
    if (signal?.aborted) return new GitError('aborted', operation, `git ${operation} was aborted`, { cause });
    if (late) {
      const message = `${url.origin} did not finish its answer within ${request.deadlineMs} ms`;
      return new GitError('deadline', operation, message, { cause });
    }
    const { code = '', message } = cause as NodeJS.ErrnoException;
    if (tellsOfTrust(code)) return new UnreachableByUs(`${url.origin}: ${message} (${code})`, { cause });
    return new GitError('network', operation, `${url.origin}: ${message}`, { cause });
  }
}

/**
 * The pieces of an answer lie outside of the heap, where V8 lets 64 MiB and more of them gather before it looks: a
 * host that answers without an end would take the memory of a small box. So they are collected on the way, and what there was
 * of such an answer at its end, where the program was started with `--expose-gc`.
 */
const COLLECT_EVERY_BYTES = 4 * 1024 * 1024;

function collectGarbageSoon(): void {
  // By then nothing on the stack holds it any more.
  setImmediate(() => globalThis.gc?.());
}

/** @param tell how much came, as it came; not called for an answer that was cut off or is too long. */
async function readBody(
  message: IncomingMessage,
  request: HttpRequest,
  tell: (receivedBytes: number) => void,
): Promise<Buffer> {
  const { maxAnswerBytes, operation, url } = request;
  const tooLong = (): GitError => new AnswerTooLongError(operation, url.origin, maxAnswerBytes);
  if (Number(message.headers['content-length'] ?? 0) > maxAnswerBytes) throw tooLong();
  const collector = new Collector(maxAnswerBytes);
  let copied = 0;
  for await (const chunk of message) {
    if (!collector.add(chunk as Buffer)) throw tooLong();
    copied += (chunk as Buffer).length;
    if (copied < COLLECT_EVERY_BYTES) continue;
    copied = 0;
    globalThis.gc?.({ type: 'minor' });
  }
  if (!message.complete) throw new Error('the answer was cut off');
  const whole = collector.take();
  tell(whole.length);
  if (message.headers['content-encoding'] !== 'gzip') return whole;
  try {
    return gunzipSync(whole, { maxOutputLength: maxAnswerBytes, chunkSize: GUNZIP_CHUNK_BYTES });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLong();
    throw new GitError('network', operation, `${url.origin} sends what does not unpack`, { cause });
  }
}

function withoutSecrets(headers: Readonly<Record<string, string>>): Record<string, string> {
  const { Authorization: _, ...rest } = headers;
  return rest;
}

/** Trust is a matter of this process and its list of authorities: git may know better. */
function tellsOfTrust(code: string): boolean {
  return /CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS_|ERR_SSL_/.test(code);
}

/**
 * The failure that a status tells of; null when it is none. @param host for the text.
 */
export function failureOf(answer: HttpAnswer, operation: string): GitError | null {
  const { status, headers, url } = answer;
  if (status >= 200 && status < 300) return null;
  const type = headers['content-type'] ?? '';
  const words = type.startsWith('text/plain') ? answer.body.toString('utf8').trim().slice(0, STATUS_WORDS_CHARS) : '';
  const message = `${url.origin} answers ${status}${words === '' ? '' : `: ${words}`}`;
  const asked = headers['retry-after'];
  const retryAfterMs = asked === undefined ? null : pauseMs(asked, headers.date);
  if (retryAfterMs !== null) return new GitError('throttled', operation, message, { retryAfterMs });
  return new GitError(kindOf(status), operation, message);
}

function kindOf(status: number): GitError['kind'] {
  if (status === 401 || status === 403 || status === 407) return 'auth';
  if (status === 404 || status === 410) return 'not-found';
  if (status === 429) return 'throttled';
  if (status === 408 || status >= 500) return 'network';
  return 'unknown';
}

/** Seconds, or a date: that one is compared with the host's own clock, never with ours. */
export function pauseMs(asked: string, date: string | undefined): number | null {
  if (/^\d+$/.test(asked)) return Number(asked) * 1000;
  const waitMs = Date.parse(asked) - Date.parse(date ?? '');
  return Number.isFinite(waitMs) ? Math.max(0, waitMs) : null;
}
