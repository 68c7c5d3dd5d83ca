/** A way round that takes its time: hands TCP streams on, each piece late by a while that differs from piece to piece. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface SlowRelayOptions {
  /** Where to listen, and where the server is. */
  address: string;
  serverPort: number;
  /** Each piece is late by something in between. */
  fromMs: number;
  toMs: number;
}

export class SlowRelay {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #options: SlowRelayOptions;

  private constructor(options: SlowRelayOptions) {
    this.#options = options;
    this.#server = createServer((client) => {
      const upstream = connect(options.serverPort, options.address);
      this.#hand(client, upstream);
      this.#hand(upstream, client);
    });
  }

  static async start(options: SlowRelayOptions): Promise<SlowRelay> {
    const relay = new SlowRelay(options);
    relay.#server.listen(0, options.address);
    await once(relay.#server, 'listening');
    return relay;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  stop(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** In order, as TCP has it. */
  #hand(from: Socket, to: Socket): void {
    const { fromMs, toMs } = this.#options;
    this.#sockets.add(from);
    let before: Promise<unknown> = Promise.resolve();
    const late = (action: () => void): void => {
      const due = sleep(fromMs + Math.random() * (toMs - fromMs));
      before = Promise.all([before, due]).then(action);
    };
    from.on('data', (piece) => late(() => to.write(piece)));
    from.on('end', () => late(() => to.end()));
    from.on('error', () => to.destroy());
    from.on('close', () => this.#sockets.delete(from));
  }
}
