/**
 * A real registry, Debian's `docker-registry`, on loopback, behind a relay that notes what it is asked for and with which
 * credentials, and that can answer in the registry's place: with an error, never, or by cutting the line.
 *
 * Where the program is not installed, it is unpacked from Debian's package: installing that would start it as a service.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from './free-port.ts';
import { digestOf, imageOf, MANIFEST_TYPE } from './registry.ts';
import { until } from './until.ts';

const run = promisify(execFile);
const PROGRAM = 'docker-registry';
const CACHE = join(import.meta.dirname, '../../node_modules/.cache', PROGRAM);

/** The only account of a private registry, and how its password file spells it. */
export const REGISTRY_USER = 'robot';
export const REGISTRY_PASSWORD = 'canary-4c1d7e90ab52/+x?';
const PASSWORD_HASH_SALT = '$2y$05$dgridtestsdgridtestsde';

export interface Asked {
  method: string;
  path: string;
  authorization: string | null;
  /** The line was closed before the answer was complete. */
  cut: boolean;
  /** The beginning of a layer has been sent, and no more will be. */
  stalled: boolean;
}

/** `hang`: none at all; `stall`: of a layer only the beginning. */
type Answer = { status: number; body?: string } | 'hang' | 'stall' | 'cut' | null;

/** What is longer is a layer, what is shorter describes an image. */
const MIN_LAYER_BYTES = 100_000;

export class DockerRegistry {
  readonly asked: Asked[] = [];
  readonly #stalled: ServerResponse[] = [];
  /** What the relay answers itself; null: the registry does. */
  instead: (method: string, path: string) => Answer = () => null;
  readonly #directory: string;
  readonly #program: ChildProcess;
  readonly #port: number;
  readonly #relay: Server;
  readonly #authorization: string | null;

  private constructor(directory: string, program: ChildProcess, port: number, relay: Server, isPrivate: boolean) {
    this.#directory = directory;
    this.#program = program;
    this.#port = port;
    this.#relay = relay;
    const account = Buffer.from(`${REGISTRY_USER}:${REGISTRY_PASSWORD}`).toString('base64');
    this.#authorization = isPrivate ? `Basic ${account}` : null;
    relay.on('request', (request, response) => this.#serve(request, response));
  }

  /** @param options.isPrivate wants REGISTRY_USER and REGISTRY_PASSWORD for everything */
  static async start(options: { isPrivate?: boolean } = {}): Promise<DockerRegistry> {
    const binary = await registryProgram();
    const directory = await mkdtemp('/tmp/dgr-');
    const port = await freePort();
    const { stdout: hash } = await run('perl', [
      '-e',
      'print crypt($ARGV[0], $ARGV[1])',
      REGISTRY_PASSWORD,
      PASSWORD_HASH_SALT,
    ]);
    await writeFile(join(directory, 'htpasswd'), `${REGISTRY_USER}:${hash}\n`);
    const auth = { htpasswd: { realm: 'tests', path: join(directory, 'htpasswd') } };
    const config = {
      version: '0.1',
      log: { level: 'error', accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: join(directory, 'data') } },
      http: { addr: `127.0.0.1:${port}` },
      ...(options.isPrivate ? { auth } : {}),
    };
    // JSON is YAML too.
    await writeFile(join(directory, 'config.yml'), JSON.stringify(config));
    const program = spawn(binary, ['serve', join(directory, 'config.yml')], { stdio: 'ignore' });
    await once(program, 'spawn');
    const answers = () =>
      fetch(`http://127.0.0.1:${port}/v2/`).then(
        () => true,
        () => false,
      );
    await until('the registry to answer', answers, 30_000);
    const relay = createServer();
    relay.listen(0, '127.0.0.1');
    await once(relay, 'listening');
    return new DockerRegistry(directory, program, port, relay, options.isPrivate === true);
  }

  async stop(): Promise<void> {
    this.#relay.closeAllConnections();
    this.#relay.close();
    const ended = once(this.#program, 'exit');
    this.#program.kill('SIGKILL');
    await ended;
    await rm(this.#directory, { recursive: true, force: true });
  }

  /** As it stands in images' names. */
  get address(): string {
    return `127.0.0.1:${(this.#relay.address() as AddressInfo).port}`;
  }

  /** Pushes an image of one layer, and moves the tag to it. @returns its full name and the digest of its manifest */
  async push(path: string, tag: string, layer: Buffer): Promise<{ name: string; digest: string }> {
    const { config, manifest, digest } = imageOf([layer]);
    for (const blob of [config, layer]) {
      const begun = await this.#send('POST', `/v2/${path}/blobs/uploads/`);
      const place = new URL(begun.headers.get('location') ?? '', this.#origin);
      place.searchParams.set('digest', digestOf(blob));
      await this.#send('PUT', `${place.pathname}${place.search}`, blob, 'application/octet-stream');
    }
    await this.#send('PUT', `/v2/${path}/manifests/${tag}`, manifest, MANIFEST_TYPE);
    return { name: `${this.address}/${path}:${tag}`, digest };
  }

  get #origin(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async #send(method: string, path: string, body?: Buffer, type?: string): Promise<Response> {
    const headers = {
      ...(type ? { 'Content-Type': type } : {}),
      ...(this.#authorization ? { Authorization: this.#authorization } : {}),
    };
    const answer = await fetch(`${this.#origin}${path}`, {
      method,
      headers,
      ...(body ? { body: Uint8Array.from(body) } : {}),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return answer;
  }

  /** Cuts the lines on which a layer stands still. */
  cutStalled(): void {
    for (const response of this.#stalled.splice(0)) response.destroy();
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const [method, path] = [request.method ?? '', request.url ?? ''];
    const asked: Asked = {
      method,
      path,
      authorization: request.headers.authorization ?? null,
      cut: false,
      stalled: false,
    };
    this.asked.push(asked);
    response.on('close', () => {
      asked.cut = !response.writableFinished;
    });
    const own = this.instead(method, path);
    if (own === 'hang') return;
    if (own === 'cut') {
      request.socket.destroy();
      return;
    }
    if (own !== null && own !== 'stall') {
      response.statusCode = own.status;
      response.end(own.body);
      return;
    }
    const onward = httpRequest(`${this.#origin}${path}`, { method, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      if (own !== 'stall' || Number(answer.headers['content-length']) < MIN_LAYER_BYTES) {
        answer.pipe(response);
        return;
      }
      answer.once('data', (chunk: Buffer) => {
        answer.destroy();
        response.write(chunk.subarray(0, 1000), () => {
          asked.stalled = true;
          this.#stalled.push(response);
        });
      });
    });
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  }
}

async function registryProgram(): Promise<string> {
  const cached = join(CACHE, 'usr/bin', PROGRAM);
  const places = ['/usr/bin', '/usr/local/bin', ...(process.env['PATH'] ?? '').split(':')];
  const installed = [cached, ...places.map((place) => join(place, PROGRAM))].find((path) => existsSync(path));
  if (installed !== undefined) return installed;
  if (!existsSync('/etc/debian_version')) throw new Error(`${PROGRAM} is not installed`);
  await mkdir(CACHE, { recursive: true });
  const fetchPackage = () => run('apt-get', ['download', PROGRAM], { cwd: CACHE });
  await fetchPackage().catch(async () => {
    await run('apt-get', ['update'], { maxBuffer: 1 << 24 });
    await fetchPackage();
  });
  const [archive = ''] = (await readdir(CACHE)).filter((name) => name.endsWith('.deb'));
  await run('dpkg-deb', ['--extract', join(CACHE, archive), CACHE]);
  await rm(join(CACHE, archive));
  return cached;
}
