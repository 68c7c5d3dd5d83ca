/** Bytes to a socket, as no HTTP library would send them, and what comes back until the other side is done. */
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const PATIENCE_MS = 5_000;

export interface RawAnswer {
  /** Of each answer on the connection. */
  statuses: number[];
  text: string;
}

/** @param target the path of a Unix socket, or a port of this machine. @param patienceMs for an answer that does not end */
export async function sendRaw(
  target: string | { port: number },
  bytes: string | Buffer,
  patienceMs = PATIENCE_MS,
): Promise<RawAnswer> {
  const where = typeof target === 'string' ? { path: target } : { host: '127.0.0.1', ...target };
  const socket = createConnection({ ...where, allowHalfOpen: true });
  await once(socket, 'connect');
  // A refusal may come while there is still something to send.
  socket.on('error', () => {});
  const over = new Promise<void>((resolve) => {
    for (const event of ['close', 'end'] as const) socket.once(event, () => resolve());
  });
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.write(bytes);
  await Promise.race([over, delay(patienceMs)]);
  socket.destroy();
  const text = Buffer.concat(chunks).toString('latin1');
  return { text, statuses: [...text.matchAll(/^HTTP\/1\.1 (\d{3}) /gm)].map(([, status]) => Number(status)) };
}

export function rawRequest(
  method: string,
  target: string,
  body: string | Buffer = '',
  headers: readonly string[] = [],
): Buffer {
  const bytes = Buffer.from(body);
  const head = [`${method} ${target} HTTP/1.1`, 'Host: docker', 'Connection: close', ...headers];
  if (bytes.length > 0) head.push('Content-Type: application/json', `Content-Length: ${bytes.length}`);
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), bytes]);
}
