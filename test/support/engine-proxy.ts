/**
 * A socket in front of an engine that can be told to stall: calls are accepted and never answered, streams that are open
 * say nothing more. Callers that use a connection once (as the worker does) can also be watched call by call.
 */
import { once } from 'node:events';
import { createConnection, createServer, type Server, type Socket } from 'node:net';

export interface EngineCall {
  method: string;
  /** With its query. */
  path: string;
}

type Watcher = (call: EngineCall) => void | Promise<void>;

interface Pair {
  client: Socket;
  engine: Socket;
}

export class EngineProxy {
  readonly socketPath: string;
  readonly #enginePath: string;
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  readonly #forgotten = new Set<Socket>();
  #passing: PromiseWithResolvers<void> | null = null;
  /** Awaited before a call is passed on. */
  onCall: Watcher | null = null;
  /** Awaited when the engine begins to answer, before the caller gets any of it. */
  onAnswer: Watcher | null = null;
  /** Calls that came while nothing was passed on. */
  swallowedCalls = 0;

  private constructor(socketPath: string, enginePath: string) {
    this.socketPath = socketPath;
    this.#enginePath = enginePath;
    this.#server = createServer({ allowHalfOpen: true }, (client) => this.#serve(client));
  }

  static async start(socketPath: string, enginePath: string): Promise<EngineProxy> {
    const proxy = new EngineProxy(socketPath, enginePath);
    proxy.#server.listen(socketPath);
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get host(): string {
    return `unix://${this.socketPath}`;
  }

  /** From now on nothing passes, in either direction, until `release`. */
  swallow(): void {
    this.#passing ??= Promise.withResolvers<void>();
    for (const { client, engine } of this.#pairs) {
      client.pause();
      engine.pause();
    }
  }

  /** Everything goes on where it stopped; the engine sees also the calls whose callers have left meanwhile. */
  release(): void {
    this.#passing?.resolve();
    this.#passing = null;
    for (const { client, engine } of this.#pairs) {
      client.resume();
      engine.resume();
    }
  }

  /** New connections work again; those that are open now stay silent for good, as behind a router that lost its memory. */
  forget(): void {
    for (const { client, engine } of this.#pairs) {
      engine.destroy();
      client.removeAllListeners('close').removeAllListeners('end');
      this.#forgotten.add(client);
    }
    this.#pairs.clear();
    this.#passing = null;
  }

  /** Breaks every connection that is open. */
  cut(): void {
    for (const { client, engine } of this.#pairs) {
      client.destroy();
      engine.destroy();
    }
  }

  async stop(): Promise<void> {
    for (const client of this.#forgotten) client.destroy();
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#passing?.resolve();
    this.cut();
    await closed;
  }

  #serve(client: Socket): void {
    const engine = createConnection({ path: this.#enginePath, allowHalfOpen: true });
    const pair: Pair = { client, engine };
    this.#pairs.add(pair);
    let call: EngineCall | null = null;
    let answered = false;
    if (this.#passing) {
      this.swallowedCalls += 1;
      client.pause();
      engine.pause();
    }
    const end = () => {
      if (!this.#pairs.delete(pair)) return;
      client.destroy();
      engine.destroy();
    };
    /** Hands on what one side says, one piece after the other, each once `watch` is done with it. */
    const pass = (from: Socket, to: Socket, watch: (chunk: Buffer) => void | Promise<void>): void => {
      let before = Promise.resolve();
      from.on('data', (chunk: Buffer) => {
        from.pause();
        before = before.then(async () => {
          await watch(chunk);
          while (this.#passing) await this.#passing.promise;
          if (to.writable) to.write(chunk);
          from.resume();
        });
      });
    };
    pass(client, engine, (chunk) => {
      if (call !== null) return undefined;
      const [method = '', path = ''] = chunk.toString('latin1').split(' ', 2);
      call = { method, path };
      return this.onCall?.(call);
    });
    pass(engine, client, () => {
      if (answered || call === null) return undefined;
      answered = true;
      return this.onAnswer?.(call);
    });
    // What the one side has said to its end, the other may still answer.
    client.on('end', () => engine.end());
    engine.on('end', () => client.end());
    for (const socket of [client, engine]) socket.on('error', end).on('close', end);
  }
}
