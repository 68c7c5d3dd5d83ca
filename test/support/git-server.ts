/**
 * A smart-HTTP Git server: node:http in front of the real `git http-backend`, so that what a client sees is Git's own
 * behaviour, plus the misbehaviour that a test asks for. Listens on loopback unless told otherwise.
 *
 * Bodies are held in memory, so repositories in tests stay small.
 */
import { spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expectNoCanaryIn } from './canary.ts';
import { git, initBare } from './git.ts';
import { type Ago, type Answer, answer, type Misbehaviour } from './misbehaviour.ts';
import { RefPast } from './ref-past.ts';
import { hermeticEnv, makeTempDir } from './temp.ts';

const REQUEST_KINDS = ['info-refs', 'ls-refs', 'fetch', 'receive-pack', 'other'] as const;
export type RequestKind = (typeof REQUEST_KINDS)[number];

export interface GitRequest {
  kind: RequestKind;
  method: string;
  /** Path without the query. */
  path: string;
  /** What it is for: `git-upload-pack` or `git-receive-pack`, of `info-refs` too. */
  service: string;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Decompressed. */
  body: Buffer;
  /** Counts the requests of this kind, from 1. */
  number: number;
}

export interface GitServerOptions {
  /** Basic authentication is demanded when given. */
  auth?: { user: string; token: string };
  /** The address to listen on; loopback when absent. */
  address?: string;
  /** Keeps what the refs were after each push, for stale listings. */
  keepPast?: boolean;
  /** In front of the git of the backend in PATH: a directory with a wrapper. */
  backendPath?: string;
}

type Interceptor = (request: GitRequest) => Misbehaviour | undefined | Promise<Misbehaviour | undefined>;

export class GitServer {
  readonly root: string;
  readonly counts: Record<RequestKind, number> = {
    'info-refs': 0,
    'ls-refs': 0,
    fetch: 0,
    'receive-pack': 0,
    other: 0,
  };
  bytesIn = 0;
  bytesOut = 0;
  /** Asked before each request that passed authentication. */
  onRequest: Interceptor | null = null;
  auth: { user: string; token: string } | null;
  /** Does not tell Git which protocol the client asked for, as a proxy that drops the header. */
  withoutProtocol = false;
  readonly #dispose: () => void;
  readonly #sockets = new Set<Socket>();
  readonly #address: string;
  readonly #backendPath: string | null;
  readonly #keepPast: boolean;
  readonly #pasts = new Map<string, RefPast>();
  #server: Server | null = null;
  #port = 0;

  private constructor(root: string, dispose: () => void, options: GitServerOptions) {
    this.root = root;
    this.#dispose = dispose;
    this.auth = options.auth ?? null;
    this.#address = options.address ?? '127.0.0.1';
    this.#backendPath = options.backendPath ?? null;
    this.#keepPast = options.keepPast ?? false;
  }

  static async start(options: GitServerOptions = {}): Promise<GitServer> {
    const dir = makeTempDir('server');
    const server = new GitServer(dir.path, () => dir.remove(), options);
    await server.up();
    return server;
  }

  /** A URL without credentials. */
  url(name: string): string {
    return `http://${this.#address}:${this.#port}/${name}.git`;
  }

  get port(): number {
    return this.#port;
  }

  repositoryPath(name: string): string {
    return join(this.root, `${name}.git`);
  }

  /** Makes an empty bare repository that can be pushed to. Answers its path. */
  async createRepository(name: string, options: { format?: 'sha1' | 'sha256'; branch?: string } = {}): Promise<string> {
    const path = this.repositoryPath(name);
    await initBare(path, options);
    await git(path, ['config', 'http.receivepack', 'true']);
    if (this.#keepPast) {
      const past = new RefPast(path);
      await past.remember();
      this.#pasts.set(name, past);
    }
    return path;
  }

  resetCounts(): void {
    for (const kind of REQUEST_KINDS) this.counts[kind] = 0;
    this.bytesIn = 0;
    this.bytesOut = 0;
  }

  /** Listens, on the same port as before if there was one. */
  async up(): Promise<void> {
    if (this.#server) return;
    const server = createServer((request, response) => {
      this.#serve(request, response).catch((error: unknown) => response.destroy(error as Error));
    });
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, this.#address, resolve);
    });
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** Stops listening and breaks every connection. The repositories stay. */
  async down(): Promise<void> {
    const server = this.#server;
    if (!server) return;
    this.#server = null;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** How many connections are open now. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** @throws Error when the canary token of the tests shows in an object of a repository */
  async stop(): Promise<void> {
    await this.down();
    try {
      const names = (await readdir(this.root)).filter((name) => name.endsWith('.git'));
      for (const name of names) await expectNoCanaryIn(join(this.root, name));
    } finally {
      this.#dispose();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const raw = Buffer.concat(chunks);
    this.bytesIn += raw.length;
    const body = request.headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw;
    const url = new URL(request.url ?? '/', 'http://localhost');
    const kind = requestKind(url, body);
    this.counts[kind] += 1;
    if (this.auth && !this.#authorised(request)) {
      response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="test"' }).end('authentication required\n');
      return;
    }
    const asked = await this.onRequest?.({
      kind,
      method: request.method ?? 'GET',
      path: url.pathname,
      service: url.searchParams.get('service') ?? basename(url.pathname),
      headers: request.headers,
      body,
      number: this.counts[kind],
    });
    const exchange = {
      response,
      socket: request.socket,
      carryOut: (ago?: Ago) => this.#carryOut(request, url, body, ago),
      sent: (bytes: number) => {
        this.bytesOut += bytes;
      },
    };
    await answer(exchange, asked);
  }

  async #carryOut(request: IncomingMessage, url: URL, body: Buffer, ago: Ago | undefined): Promise<Answer> {
    const [, name = '', rest = ''] = /^\/([^/]+)\.git(\/.*)$/.exec(decodeURIComponent(url.pathname)) ?? [];
    const past = this.#pasts.get(name);
    if (ago && past) return past.lend(ago, (path) => this.#backend(request, url, body, `/${basename(path)}${rest}`));
    const answered = await this.#backend(request, url, body, decodeURIComponent(url.pathname));
    if (rest === '/git-receive-pack') await past?.remember();
    return answered;
  }

  #authorised(request: IncomingMessage): boolean {
    const expected = `Basic ${Buffer.from(`${this.auth?.user}:${this.auth?.token}`).toString('base64')}`;
    return request.headers.authorization === expected;
  }

  #backend(request: IncomingMessage, url: URL, body: Buffer, pathInfo: string): Promise<Answer> {
    const protocol = this.withoutProtocol ? undefined : request.headers['git-protocol'];
    const child = spawn('git', ['http-backend'], {
      env: hermeticEnv(this.root, {
        GIT_PROJECT_ROOT: this.root,
        GIT_HTTP_EXPORT_ALL: '1',
        PATH_INFO: pathInfo,
        QUERY_STRING: url.search.slice(1),
        REQUEST_METHOD: request.method ?? 'GET',
        CONTENT_TYPE: request.headers['content-type'] ?? '',
        CONTENT_LENGTH: String(body.length),
        REMOTE_ADDR: '127.0.0.1',
        ...(typeof protocol === 'string' ? { GIT_PROTOCOL: protocol } : {}),
        ...(this.#backendPath === null ? {} : { PATH: `${this.#backendPath}:${process.env['PATH'] ?? ''}` }),
      }),
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    return new Promise((resolve, reject) => {
      const out: Buffer[] = [];
      child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
      child.on('error', reject);
      child.on('close', () => resolve(parseCgi(Buffer.concat(out))));
      child.stdin.on('error', () => undefined);
      child.stdin.end(body);
    });
  }
}

function requestKind(url: URL, body: Buffer): RequestKind {
  if (url.pathname.endsWith('/info/refs')) return 'info-refs';
  if (url.pathname.endsWith('/git-receive-pack')) return 'receive-pack';
  if (url.pathname.endsWith('/git-upload-pack')) {
    return body.subarray(0, 64).includes('command=ls-refs') ? 'ls-refs' : 'fetch';
  }
  return 'other';
}

function parseCgi(output: Buffer): Answer {
  const end = output.indexOf('\r\n\r\n');
  if (end < 0) return { status: 500, headers: {}, body: Buffer.from('the backend gave no answer\n') };
  const headers: Record<string, string> = {};
  let status = 200;
  for (const line of output.toString('latin1', 0, end).split('\r\n')) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon);
    const value = line.slice(colon + 1).trim();
    if (name.toLowerCase() === 'status') status = Number.parseInt(value, 10);
    else headers[name] = value;
  }
  return { status, headers, body: output.subarray(end + 4) };
}
