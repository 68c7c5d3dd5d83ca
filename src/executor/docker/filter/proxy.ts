/**
 * The filter's socket: takes calls, has each judged, and carries on those that pass.
 *
 * One call a connection, and each goes to the engine as a request that is written here, on a connection of its own. So
 * there is nothing that could be smuggled behind a call. Everything has a bound: connections, heads, bodies, the time in
 * which a call has to be there.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Emit } from '../../../observe/events.ts';
import { ExecutorError } from '../../executor.ts';
import { BUILT_IMAGE_CHANGES } from '../busybox-image.ts';
import { EngineResponseError, isConnectionLoss } from '../engine.ts';
import type { EngineTransport } from '../engine-transport.ts';
import type { Admission } from './admit.ts';
import { answerJson, answerRaw, Refused } from './answer.ts';
import { type Call, readCall } from './calls.ts';
import { EngineLost, type Outgoing, relay, relayUpgrade } from './relay.ts';
import { MAX_SPEC_BYTES } from './spec-check.ts';

/** A task takes three while it runs, a container that waits for one two. */
const MAX_CONNECTIONS = 2_048;
const MAX_HEAD_BYTES = 32 * 1024;
const HEAD_LIMIT_MS = 10_000;
const CALL_LIMIT_MS = 60_000;
/** Of all specifications that are being read at the same time. */
const MAX_BODIES_BYTES = 8 * MAX_SPEC_BYTES;
/** A busybox with its links. */
const MAX_IMPORT_BYTES = 40 * 1024 * 1024;
/** Base64 of a URL. */
const REGISTRY_AUTH = /^[A-Za-z0-9_-]{1,16384}={0,2}$/;
const SHOWN_TARGET_CHARACTERS = 200;

export interface ProxyParts {
  admission: Admission;
  transport: EngineTransport;
  emit: Emit;
}

export class FilterProxy {
  readonly server: Server;
  readonly #parts: ProxyParts;
  readonly #sockets = new Set<Duplex>();
  #bodiesBytes = 0;
  #engineIsLost = false;

  constructor(parts: ProxyParts) {
    this.#parts = parts;
    this.server = createServer(
      {
        maxHeaderSize: MAX_HEAD_BYTES,
        headersTimeout: HEAD_LIMIT_MS,
        requestTimeout: CALL_LIMIT_MS,
        insecureHTTPParser: false,
        // Missed by `checkHead`, which tells of it.
        requireHostHeader: false,
        keepAlive: false,
        noDelay: true,
      },
      (request, response) => void this.#serve(request, response),
    );
    this.server.maxConnections = MAX_CONNECTIONS;
    this.server.maxRequestsPerSocket = 1;
    // A task may be silent for hours.
    this.server.timeout = 0;
    this.server.on('upgrade', (request, socket: Duplex, head: Buffer) => void this.#upgrade(request, socket, head));
    this.server.on('connect', (request, socket: Duplex) =>
      this.#refuse(request, socket, 'CONNECT is no call of the worker'),
    );
    this.server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) =>
      this.#answerRefusal(request, response, new Refused(417, 'Expect is not understood')),
    );
    this.server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
      // Left, without having said anything wrong.
      if (error.code === 'ECONNRESET' || error.code === 'EPIPE') socket.destroy();
      else {
        this.#parts.emit('filter.refused', { method: null, target: null, reason: error.message, status: 400 });
        answerRaw(socket, 400, `not a request: ${error.code ?? 'malformed'}`);
      }
    });
    this.server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  /** Takes no more calls, and breaks off those that are under way: the worker takes its containers up again. */
  async close(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.shouldKeepAlive = false;
    try {
      const call = this.#callOf(request);
      const bytes = bodyBytes(request);
      const hasBody = call.kind === 'create' || call.kind === 'import';
      if (!hasBody && bytes > 0) throw new Refused(400, 'this call has no body');
      const readBody = (): Promise<Uint8Array> => this.#readBody(request, bytes);
      const admitted = await this.#parts.admission.admit(call, readBody, registryAuthOf(request));
      switch (admitted.kind) {
        case 'answer':
          answerJson(response, 200, admitted.value);
          break;
        case 'forward':
          await this.#forward(admitted.outgoing, response);
          await admitted.after?.();
          break;
        case 'import':
          await this.#forward(importOf(call, admitted.outgoing, request, bytes), response);
          await admitted.after();
          break;
        case 'upgrade':
          throw new Refused(400, 'attaching needs an upgraded connection');
      }
      this.#engineIsLost = false;
    } catch (error) {
      this.#fail(request, response, error);
    }
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    // Until it is joined with the engine's, nobody else listens.
    const onError = (): void => void socket.destroy();
    socket.on('error', onError);
    try {
      const call = this.#callOf(request);
      if (request.headers.upgrade !== 'tcp') throw new Refused(400, 'only an upgrade to tcp is understood');
      if (call.kind !== 'container' || call.verb !== 'attach') throw new Refused(403, 'only attaching upgrades');
      if (bodyBytes(request) > 0) throw new Refused(400, 'this call has no body');
      const admitted = await this.#parts.admission.admit(call, () => Promise.reject(new Error('no body')), null);
      if (admitted.kind !== 'upgrade') throw new Error('an attach call was not taken for one');
      await relayUpgrade(this.#parts.transport, admitted.outgoing, socket, head);
    } catch (error) {
      if (this.#isLoss(error)) socket.destroy();
      else {
        const { status, message } = refusalOf(error);
        this.#tell(request, status, message);
        answerRaw(socket, status, message);
      }
    }
  }

  #callOf(request: IncomingMessage): Call {
    checkHead(request);
    const call = readCall(request.method ?? '', request.url ?? '');
    if (call === null) throw new Refused(403, 'not a call that the worker makes of an engine');
    return call;
  }

  async #forward(outgoing: Outgoing, response: ServerResponse): Promise<void> {
    await relay(this.#parts.transport, outgoing, response);
  }

  async #readBody(request: IncomingMessage, bytes: number): Promise<Uint8Array> {
    if (bytes > MAX_SPEC_BYTES) throw new Refused(413, `the body is longer than ${MAX_SPEC_BYTES} bytes`);
    if (this.#bodiesBytes + bytes > MAX_BODIES_BYTES) throw new Refused(503, 'too many specifications at a time');
    this.#bodiesBytes += bytes;
    try {
      const chunks: Buffer[] = [];
      // As many as were announced: the parser sees to that.
      for await (const chunk of request) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks);
    } finally {
      this.#bodiesBytes -= bytes;
    }
  }

  #fail(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    if (this.#isLoss(error) || response.headersSent) response.destroy();
    else this.#answerRefusal(request, response, refusalOf(error));
  }

  #answerRefusal(request: IncomingMessage, response: ServerResponse, { status, message }: Refused): void {
    this.#tell(request, status, message);
    response.shouldKeepAlive = false;
    answerJson(response, status, { message });
    // What else it wants to send is not waited for.
    response.once('finish', () => request.destroy());
  }

  #refuse(request: IncomingMessage, socket: Duplex, reason: string): void {
    socket.on('error', () => socket.destroy());
    this.#tell(request, 403, reason);
    answerRaw(socket, 403, reason);
  }

  /** That something is not there, or in use, is no refusal but an answer. */
  #tell(request: IncomingMessage, status: number, reason: string): void {
    if (status === 404 || status === 409) return;
    const target = (request.url ?? '').slice(0, SHOWN_TARGET_CHARACTERS);
    this.#parts.emit('filter.refused', { method: request.method ?? null, target, reason, status });
  }

  /** The worker is to see a broken connection, as without a filter. */
  #isLoss(error: unknown): boolean {
    if (!(error instanceof EngineLost) && !isConnectionLoss(error)) return false;
    if (!this.#engineIsLost) this.#parts.emit('filter.engine-lost', { err: error });
    this.#engineIsLost = true;
    return true;
  }
}

function importOf(call: Call, outgoing: Outgoing, request: IncomingMessage, bytes: number): Outgoing {
  if (call.kind !== 'import') throw new Error('not an import');
  if (bytes > MAX_IMPORT_BYTES) throw new Refused(413, `the archive is longer than ${MAX_IMPORT_BYTES} bytes`);
  const changes = BUILT_IMAGE_CHANGES.map((change) => ['changes', change] as const);
  const query = [['fromSrc', '-'], ['repo', call.image], ...changes] as const;
  return { ...outgoing, query, body: { stream: request, bytes, contentType: 'application/x-tar' } };
}

/** Headers on which two readers could disagree are refused, though none of them is passed on. @throws Refused */
function checkHead({ rawHeaders, headers, httpVersion }: IncomingMessage): void {
  if (httpVersion !== '1.1') throw new Refused(400, 'only HTTP/1.1 is understood');
  const names = rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase());
  if (headers.host === undefined) throw new Refused(400, 'there is no Host');
  if (new Set(names).size !== names.length) throw new Refused(400, 'a header is there twice');
  if (headers['transfer-encoding'] !== undefined)
    throw new Refused(400, 'bodies come with their length, not in chunks');
}

/** @throws Refused */
function bodyBytes({ headers }: IncomingMessage): number {
  const length = headers['content-length'];
  if (length === undefined) return 0;
  if (!/^(0|[1-9][0-9]{0,9})$/.test(length)) throw new Refused(400, 'Content-Length is no number');
  return Number(length);
}

/** The one header that is passed on, with a pull; null: there is none. @throws Refused */
function registryAuthOf({ headers }: IncomingMessage): string | null {
  const given = headers['x-registry-auth'];
  if (given === undefined) return null;
  if (typeof given === 'string' && REGISTRY_AUTH.test(given)) return given;
  throw new Refused(400, 'X-Registry-Auth is not what the worker writes');
}

function refusalOf(error: unknown): Refused {
  if (error instanceof Refused) return error;
  if (error instanceof EngineResponseError) return new Refused(error.status, error.message, { cause: error });
  const message = error instanceof ExecutorError ? error.message : 'the filter failed';
  return new Refused(500, message, { cause: error });
}
