/**
 * A socket in front of an engine through which the worker speaks with it. Sees when the first byte of a task's output
 * comes by, and what the worker asks for when it makes a container.
 */
import { once } from 'node:events';
import { createConnection, createServer, type Server, type Socket } from 'node:net';

interface Watch {
  text: Buffer;
  resolve: (atMs: number) => void;
}

const CREATE = Buffer.from('POST /containers/create');
const HEADERS_END = Buffer.from('\r\n\r\n');
const MAX_REQUEST_BYTES = 1024 ** 2;

export class EngineTap {
  readonly socketPath: string;
  /** The body of the last create request of a container that takes a script. */
  lastSpec: object | null = null;
  readonly #server: Server;
  readonly #watches = new Set<Watch>();
  readonly #sockets = new Set<Socket>();

  private constructor(socketPath: string, enginePath: string) {
    this.socketPath = socketPath;
    this.#server = createServer({ allowHalfOpen: true }, (client) => this.#join(client, enginePath));
  }

  static async start(socketPath: string, enginePath: string): Promise<EngineTap> {
    const tap = new EngineTap(socketPath, enginePath);
    tap.#server.listen(socketPath);
    await once(tap.#server, 'listening');
    return tap;
  }

  get host(): string {
    return `unix://${this.socketPath}`;
  }

  /** When the engine first says this text, on the monotonic clock of this process. @throws Error in vain */
  async says(text: string, boundMs: number): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const watch = { text: Buffer.from(text), resolve };
    this.#watches.add(watch);
    const late = setTimeout(() => reject(new Error(`waited ${boundMs} ms in vain for "${text}"`)), boundMs);
    try {
      return await promise;
    } finally {
      clearTimeout(late);
      this.#watches.delete(watch);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #join(client: Socket, enginePath: string): void {
    const engine = createConnection({ path: enginePath, allowHalfOpen: true });
    let asked: Buffer | null = Buffer.alloc(0);
    client.on('data', (chunk: Buffer) => {
      if (asked !== null) asked = this.#readSpec(Buffer.concat([asked, chunk]));
    });
    engine.on('data', (chunk: Buffer) => {
      const atMs = performance.now();
      for (const { text, resolve } of this.#watches) if (chunk.includes(text)) resolve(atMs);
    });
    client.pipe(engine);
    engine.pipe(client);
    for (const socket of [client, engine]) {
      this.#sockets.add(socket);
      const other = socket === client ? engine : client;
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
  }

  /** @returns what was gathered of a request to create a container; null once there is no more to learn from it. */
  #readSpec(gathered: Buffer): Buffer | null {
    const { length } = gathered;
    if (!gathered.subarray(0, CREATE.length).equals(CREATE.subarray(0, length))) return null;
    const end = gathered.indexOf(HEADERS_END);
    if (end < 0) return length > MAX_REQUEST_BYTES ? null : gathered;
    const size = /^content-length: *(\d+)/im.exec(gathered.toString('latin1', 0, end))?.[1];
    const body = gathered.subarray(end + HEADERS_END.length);
    if (size === undefined || Number(size) > MAX_REQUEST_BYTES) return null;
    if (body.length < Number(size)) return gathered;
    const spec = JSON.parse(body.toString('utf8')) as { OpenStdin?: boolean };
    if (spec.OpenStdin === true) this.lastSpec = spec;
    return null;
  }
}
