/**
 * Carries one call to the engine and its answer back, as a request of the filter's own: nothing of what the caller sent is
 * passed on but what was checked. Bodies and upgraded connections flow at the pace of the slower side, and each side's end
 * reaches the other.
 *
 * A connection to the engine that breaks breaks the caller's, so that the worker takes it for what it is. How long an
 * answer may take is the caller's to decide: when it leaves, the call to the engine ends.
 */
import { type IncomingMessage, request as plainRequest, type RequestOptions, type ServerResponse } from 'node:http';
import { request as tlsRequest } from 'node:https';
import type { Duplex, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { EngineTransport } from '../engine-transport.ts';
import type { Query } from './calls.ts';

export interface Outgoing {
  method: string;
  path: string;
  query?: Query;
  /** Credentials for a registry. */
  registryAuth?: string;
  /** Sent as JSON. */
  json?: object;
  /** Sent as it comes. */
  body?: { stream: Readable; bytes: number; contentType: string };
}

/** The engine could not be reached, or broke off: the caller's connection is to break too. */
export class EngineLost extends Error {
  override readonly name = 'EngineLost';
}

/** Resolves when the answer has gone to the caller in full, or the caller has left. @throws EngineLost */
export async function relay(transport: EngineTransport, outgoing: Outgoing, response: ServerResponse): Promise<void> {
  const gone = new AbortController();
  const onClose = (): void => gone.abort();
  response.once('close', onClose);
  try {
    const answer = await ask(transport, outgoing, gone.signal);
    response.writeHead(answer.statusCode ?? 502, contentHeaders(answer));
    // A wait is answered by its head long before its body: whoever waits needs to know that it is noted.
    response.flushHeaders();
    await pipeline(answer, response);
  } catch (cause) {
    if (!gone.signal.aborted) throw new EngineLost('the engine could not be reached, or broke off', { cause });
  } finally {
    response.off('close', onClose);
  }
}

async function ask(transport: EngineTransport, outgoing: Outgoing, signal: AbortSignal): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const json = outgoing.json === undefined ? null : Buffer.from(JSON.stringify(outgoing.json));
  const { body } = outgoing;
  const headers =
    json !== null
      ? { 'Content-Type': 'application/json', 'Content-Length': json.length }
      : body
        ? { 'Content-Type': body.contentType, 'Content-Length': body.bytes }
        : {};
  const credentials = outgoing.registryAuth === undefined ? {} : { 'X-Registry-Auth': outgoing.registryAuth };
  const sent = requestTo(transport)({
    ...optionsOf(transport, outgoing),
    headers: { ...headers, ...credentials },
    signal,
  });
  sent.once('response', resolve);
  sent.once('error', reject);
  // Later errors are those of the answer, which has its own listeners.
  sent.on('error', () => {});
  if (body) pipeline(body.stream, sent).catch(reject);
  else sent.end(json ?? undefined);
  return await promise;
}

/**
 * Asks for a two-way connection and joins it with the caller's. Resolves when both are closed.
 * @param head what the caller sent already @throws EngineLost before anything was answered
 */
export async function relayUpgrade(
  transport: EngineTransport,
  outgoing: Outgoing,
  caller: Duplex,
  head: Buffer,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<Duplex | IncomingMessage>();
  const headers = { Connection: 'Upgrade', Upgrade: 'tcp', 'Content-Type': 'text/plain', 'Content-Length': 0 };
  // What the task's standard input is told of its end, its output must survive.
  const options = { ...optionsOf(transport, outgoing), headers, allowHalfOpen: true };
  const sent = requestTo(transport)(options);
  const onGone = (): void => void sent.destroy(new Error('the caller has left'));
  caller.once('close', onGone);
  sent.once('upgrade', (_answer, engine: Duplex, first: Buffer) => {
    if (first.length > 0) engine.unshift(first);
    resolve(engine);
  });
  sent.once('response', resolve);
  sent.on('error', reject);
  sent.end();
  let engine: Duplex | IncomingMessage;
  try {
    engine = await promise;
  } catch (cause) {
    throw new EngineLost('the engine could not be reached', { cause });
  } finally {
    caller.off('close', onGone);
  }
  if (isAnswer(engine)) await passRefusal(engine, caller);
  else await join(engine, caller, head);
}

function isAnswer(result: Duplex | IncomingMessage): result is IncomingMessage {
  return 'statusCode' in result;
}

async function join(engine: Duplex, caller: Duplex, head: Buffer): Promise<void> {
  const closed = Promise.all(
    [engine, caller].map((side) => new Promise((resolve) => void side.once('close', resolve))),
  );
  const end = (): void => {
    engine.destroy();
    caller.destroy();
  };
  for (const side of [engine, caller]) side.on('error', end);
  caller.write('HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n');
  caller.write('Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n');
  if (head.length > 0) engine.write(head);
  caller.pipe(engine);
  engine.pipe(caller);
  // Closed without an end is broken off: the other must not wait for more.
  engine.once('close', () => (engine.readableEnded ? undefined : end()));
  caller.once('close', end);
  // Nothing reads the caller's input any more. What was written for it is on its way.
  engine.once('end', () => caller.once('finish', end));
  await closed;
}

/** The engine's own refusal of an upgrade, such as for a container that is gone. */
async function passRefusal(answer: IncomingMessage, caller: Duplex): Promise<void> {
  const head = [`HTTP/1.1 ${answer.statusCode ?? 502} ${answer.statusMessage ?? ''}`, 'Connection: close'];
  for (const [name, value] of Object.entries(contentHeaders(answer))) head.push(`${name}: ${value}`);
  caller.write(`${head.join('\r\n')}\r\n\r\n`);
  await pipeline(answer, caller).catch(() => {});
}

function contentHeaders(answer: IncomingMessage): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name of ['content-type', 'content-length'] as const) {
    const value = answer.headers[name];
    if (value !== undefined) headers[name] = value;
  }
  return headers;
}

function requestTo({ place }: EngineTransport): typeof plainRequest {
  return place.protocol === 'https' ? tlsRequest : plainRequest;
}

function optionsOf({ agent, place }: EngineTransport, { method, path, query = [] }: Outgoing): RequestOptions {
  const { protocol: _, ...where } = place;
  const search = query.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join('&');
  return { ...where, agent, method, path: search === '' ? path : `${path}?${search}` };
}
