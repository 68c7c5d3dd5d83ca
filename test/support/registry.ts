/**
 * A registry on loopback that serves images to a real engine, since tests have no other. It counts what it is
 * asked for, and can hold an answer back until told.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

interface Blob {
  type: string;
  bytes: Buffer;
}

export const MANIFEST_TYPE = 'application/vnd.docker.distribution.manifest.v2+json';
const CONFIG_TYPE = 'application/vnd.docker.container.image.v1+json';
const LAYER_TYPE = 'application/vnd.docker.image.rootfs.diff.tar';

export class TestRegistry {
  readonly #server: Server;
  readonly #content = new Map<string, Blob>();
  /** By path. */
  readonly requests: string[] = [];
  #gate: Promise<void> | null = null;

  private constructor(server: Server) {
    this.#server = server;
    server.on('request', (request, response) => {
      const path = request.url ?? '/';
      this.requests.push(`${request.method} ${path}`);
      const answer = async () => {
        if (path.includes('/blobs/') && this.#gate !== null) await this.#gate;
        if (path === '/v2/') return response.end('{}');
        const blob = this.#content.get(path);
        if (blob === undefined) {
          response.statusCode = 404;
          return response.end(JSON.stringify({ errors: [{ code: 'MANIFEST_UNKNOWN', message: 'manifest unknown' }] }));
        }
        response.setHeader('Content-Type', blob.type);
        response.setHeader('Content-Length', blob.bytes.length);
        response.setHeader('Docker-Content-Digest', digestOf(blob.bytes));
        return response.end(request.method === 'HEAD' ? undefined : blob.bytes);
      };
      void answer();
    });
  }

  static async start(): Promise<TestRegistry> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new TestRegistry(server);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  /** Publishes an image. @param layers the lowest first @returns its full name and the digest of its manifest */
  add(path: string, tag: string, ...layers: Buffer[]): { name: string; digest: string } {
    const { config, manifest, digest } = imageOf(layers);
    for (const blob of [config, ...layers]) {
      this.#content.set(`/v2/${path}/blobs/${digestOf(blob)}`, { type: 'application/octet-stream', bytes: blob });
    }
    for (const reference of [tag, digest]) {
      this.#content.set(`/v2/${path}/manifests/${reference}`, { type: MANIFEST_TYPE, bytes: manifest });
    }
    return { name: `${this.address}/${path}:${tag}`, digest };
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Holds layers back until the function that is returned is called. */
  hold(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#gate = promise;
    return () => {
      this.#gate = null;
      resolve();
    };
  }
}

/** An image of uncompressed tars, the lowest first: its parts, and the digest of its manifest. */
export function imageOf(layers: readonly Buffer[]): { config: Buffer; manifest: Buffer; digest: string } {
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      config: { Env: ['PATH=/bin'], Cmd: ['/bin/sh'] },
      rootfs: { type: 'layers', diff_ids: layers.map(digestOf) },
      history: layers.map((_, at) => ({ created_by: `layer ${at}` })),
    }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST_TYPE,
      config: { mediaType: CONFIG_TYPE, size: config.length, digest: digestOf(config) },
      layers: layers.map((layer) => ({ mediaType: LAYER_TYPE, size: layer.length, digest: digestOf(layer) })),
    }),
  );
  return { config, manifest, digest: digestOf(manifest) };
}

export function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
