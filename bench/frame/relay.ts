/** Counts what goes over the wire: hands TCP streams on to a server on loopback, and adds up the bytes each way. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export interface Traffic {
  up: number;
  down: number;
}

export class ByteRelay {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #targetPort: number;
  #up = 0;
  #down = 0;

  private constructor(targetPort: number) {
    this.#targetPort = targetPort;
    this.#server = createServer((client) => this.#join(client));
  }

  static async start(targetPort: number): Promise<ByteRelay> {
    const relay = new ByteRelay(targetPort);
    relay.#server.listen(0, '127.0.0.1');
    await once(relay.#server, 'listening');
    return relay;
  }

  /** The same address, but by way of this relay. */
  url(serverUrl: string): string {
    const url = new URL(serverUrl);
    url.port = String((this.#server.address() as AddressInfo).port);
    return url.href;
  }

  /** Since the last call. */
  take(): Traffic {
    const taken = { up: this.#up, down: this.#down };
    this.#up = 0;
    this.#down = 0;
    return taken;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #join(client: Socket): void {
    const server = connect({ port: this.#targetPort, host: '127.0.0.1', noDelay: true });
    client.setNoDelay(true);
    client.on('data', (chunk) => {
      this.#up += chunk.length;
    });
    server.on('data', (chunk) => {
      this.#down += chunk.length;
    });
    client.pipe(server);
    server.pipe(client);
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroySoon();
      });
    }
  }
}
