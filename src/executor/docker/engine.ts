/**
 * The one door to the engine: the only place that builds dockerode, puts a deadline on every call and turns what went
 * wrong into kinds of errors. Requests are made one by one through dockerode's transport, since its own methods wait for
 * ever on an answer that breaks off half way.
 */
import type { Agent, IncomingMessage } from 'node:http';
import { Duplex, type Readable } from 'node:stream';
import type Docker from 'dockerode';
import type { Clock } from '../../runtime.ts';
import { ExecutorError } from '../executor.ts';
import { DeadlineError, withDeadline } from './deadline.ts';
import { type EngineSettings, engineTransport, opaque } from './engine-transport.ts';
import { loadDockerode } from './lean-dockerode.ts';
import { tellsOfDiskTrouble } from './verdict.ts';

/** A list of every container and image of a busy machine stays far below this. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
const SUCCESS_STATUSES = [200, 201, 204, 304];

export interface EngineRequest {
  method: 'GET' | 'POST' | 'DELETE';
  /** Without a query, already escaped. */
  path: string;
  query?: Readonly<Record<string, string | number | boolean | readonly string[]>>;
  /** Sent as JSON. */
  body?: object;
  /** Sent as it is; excludes `body`. */
  bytes?: Buffer;
  /** Credentials for a registry, as the engine wants them in a header. */
  registryAuth?: string;
  /** For the answer, or for its beginning where it is a stream. Default: the setting's. */
  timeoutMs?: number;
  /** Ends the call, or the stream that it opened. */
  signal?: AbortSignal;
}

/** The engine's own refusal. */
export class EngineResponseError extends ExecutorError {
  readonly status: number;
  constructor(status: number, message: string, options: { cause?: unknown } = {}) {
    super(tellsOfDiskTrouble(message) ? 'engine-full' : 'engine-error', message, options);
    this.status = status;
  }
}

export function hasStatus(error: unknown, ...statuses: number[]): boolean {
  return error instanceof EngineResponseError && statuses.includes(error.status);
}

/** True when the connection, not the request, is what failed: the same call may succeed later. */
export function isConnectionLoss(error: unknown): boolean {
  return error instanceof ExecutorError && (error.kind === 'engine-unavailable' || error.kind === 'engine-timeout');
}

export class Engine {
  readonly clock: Clock;
  readonly #settings: EngineSettings;
  readonly #closing = new AbortController();
  #connection: { docker: Docker; agent: Agent } | null = null;

  constructor(settings: EngineSettings, clock: Clock) {
    this.#settings = settings;
    this.clock = clock;
  }

  /** The answer as JSON; null when it has no body. @throws ExecutorError, or the signal's reason when that aborts. */
  async json<T>(request: EngineRequest): Promise<T> {
    return await this.#call(request, async (signal) => {
      const text = (await readAll(await this.#dial(request, signal), MAX_ANSWER_BYTES)).toString('utf8');
      return (text.trim() === '' ? null : JSON.parse(text)) as T;
    });
  }

  /**
   * The answer's body as a stream, as soon as the engine begins to answer. The deadline covers the beginning only.
   * @throws ExecutorError, or the signal's reason when that aborts.
   */
  async stream(request: EngineRequest): Promise<Readable> {
    return await this.#call(request, async (signal) => await this.#dial(request, signal));
  }

  /** A two-way connection (attach). @throws ExecutorError, or the signal's reason when that aborts. */
  async hijack(request: EngineRequest): Promise<Duplex> {
    return await this.#call(request, async (signal) => {
      const stream = await this.#dial(request, signal, { hijack: true });
      if (stream instanceof Duplex) {
        // Whoever reads it learns of a loss by its `close`; an error that nobody listens to would end the process.
        stream.on('error', () => {});
        const close = () => stream.destroy();
        signal.addEventListener('abort', close, { once: true });
        stream.once('close', () => signal.removeEventListener('abort', close));
        return stream;
      }
      stream.destroy();
      throw new ExecutorError('engine-error', 'the engine did not open a two-way connection');
    });
  }

  /** Aborts when the engine is not to be used any more. */
  get closed(): AbortSignal {
    return this.#closing.signal;
  }

  /** Ends every call and stream. */
  close(): void {
    this.#closing.abort();
    this.#connection?.agent.destroy();
  }

  async #call<T>(request: EngineRequest, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const timeoutMs = request.timeoutMs ?? this.#settings.callTimeoutMs;
    const signals = [this.#closing.signal, ...(request.signal ? [request.signal] : [])];
    const what = `${request.method} ${request.path}`;
    try {
      return await withDeadline(this.clock, timeoutMs, signals, work);
    } catch (cause) {
      request.signal?.throwIfAborted();
      if (this.#closing.signal.aborted) {
        throw new ExecutorError('engine-unavailable', 'the connection to the engine was closed', { cause });
      }
      if (cause instanceof DeadlineError) {
        const message = `the engine did not answer ${what} within ${timeoutMs} ms`;
        throw new ExecutorError('engine-timeout', message, { cause });
      }
      throw toExecutorError(cause, what);
    }
  }

  async #dial(request: EngineRequest, signal: AbortSignal, how: { hijack?: true } = {}): Promise<Readable> {
    const { docker } = this.#connect();
    const bytes = request.bytes ?? (how.hijack ? Buffer.alloc(0) : undefined);
    const { promise, resolve, reject } = Promise.withResolvers<Readable>();
    docker.modem.dial(
      {
        // The transport appends the query where the path ends in a question mark.
        path: `${request.path}?`,
        method: request.method,
        // An empty `_body` is sent as no body at all; without the key the query would become the body.
        options: { _query: serialise(request.query ?? {}), _body: request.body ?? {} },
        // An empty file makes the length of the request exactly zero, so that nothing can be taken for standard input.
        ...(bytes === undefined ? {} : { file: bytes }),
        ...(how.hijack ? { hijack: true, headers: { 'Content-Type': 'text/plain' } } : {}),
        ...(request.registryAuth === undefined
          ? {}
          : { headers: opaque({ 'X-Registry-Auth': request.registryAuth }, 'Headers') }),
        isStream: true,
        statusCodes: Object.fromEntries(SUCCESS_STATUSES.map((status) => [status, true])),
        abortSignal: signal,
      },
      (error, result) => {
        if (error !== null && error !== undefined) reject(error);
        else if (signal.aborted) {
          // Too late: whoever asked has gone, so nobody would read it.
          (result as Readable).destroy();
          reject(signal.reason);
        } else resolve(result as IncomingMessage);
      },
    );
    return await promise;
  }

  /** Built at the first call, so that a wrong address or a missing certificate is an error that callers see. */
  #connect(): { docker: Docker; agent: Agent } {
    this.#connection ??= connect(this.#settings);
    return this.#connection;
  }
}

function connect(settings: EngineSettings): { docker: Docker; agent: Agent } {
  const { agent, place } = engineTransport(settings);
  const Dockerode = loadDockerode();
  return { docker: new Dockerode({ ...place, agent } as Docker.DockerOptions), agent };
}

function serialise(query: NonNullable<EngineRequest['query']>): Record<string, string | readonly string[]> {
  return Object.fromEntries(
    Object.entries(query).map(([name, value]) => [name, typeof value === 'object' ? value : String(value)]),
  );
}

/** Reads a body to its end, and fails when it breaks off. */
export async function readAll(stream: Readable, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    const part = chunk as Buffer;
    bytes += part.length;
    if (bytes > maxBytes)
      throw new ExecutorError('engine-error', `the engine's answer is longer than ${maxBytes} bytes`);
    chunks.push(part);
  }
  return Buffer.concat(chunks);
}

const LOST_CONNECTION_CODES = new Set([
  'ENOENT',
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EACCES',
  'EPERM',
  'EPIPE',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ETIMEDOUT',
  'HPE_INVALID_CONSTANT',
  'ERR_STREAM_PREMATURE_CLOSE',
]);

function toExecutorError(cause: unknown, what: string): ExecutorError {
  if (cause instanceof ExecutorError) return cause;
  const { statusCode, code } = (typeof cause === 'object' && cause !== null ? cause : {}) as Record<string, unknown>;
  const text = cause instanceof Error ? cause.message : String(cause);
  if (typeof statusCode === 'number') {
    // The transport puts the status in front of the engine's own words.
    return new EngineResponseError(statusCode, text.replace(/^\(HTTP code \d+\) unexpected - /, '').trim(), { cause });
  }
  if (typeof code === 'string') {
    const isTls =
      code.startsWith('ERR_TLS') || code.includes('CERT') || code.startsWith('ERR_SSL') || code === 'EPROTO';
    if (isTls || LOST_CONNECTION_CODES.has(code)) {
      return new ExecutorError('engine-unavailable', `the engine can't be reached (${code}): ${text}`, { cause });
    }
  }
  return new ExecutorError('engine-error', `${what} failed: ${text}`, { cause });
}
