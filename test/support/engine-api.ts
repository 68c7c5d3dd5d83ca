/** What tests ask of any engine with Docker's interface, at its socket and past everything of ours. */
import { request } from 'node:http';
import { busyboxRootTar, findBusybox } from '../../src/executor/docker/busybox-image.ts';
import { LABEL } from '../../src/executor/docker/labels.ts';
import { buildTar, type TarEntry } from '../../src/executor/docker/tar.ts';

export interface EngineAnswer<T = unknown> {
  status: number;
  body: T;
}

export class EngineApi {
  readonly socketPath: string;

  constructor(socketPath: string) {
    this.socketPath = socketPath;
  }

  get host(): string {
    return `unix://${this.socketPath}`;
  }

  /** One plain request; the body is parsed when it is JSON. */
  async api<T = unknown>(method: string, path: string, body?: Buffer | object): Promise<EngineAnswer<T>> {
    const data = body === undefined || Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
    const contentType = Buffer.isBuffer(body) ? 'application/x-tar' : 'application/json';
    const { promise, resolve, reject } = Promise.withResolvers<EngineAnswer<T>>();
    const sent = request(
      { socketPath: this.socketPath, method, path, agent: false, headers: data ? { 'Content-Type': contentType } : {} },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('error', reject);
        answer.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          resolve({ status: answer.statusCode ?? 0, body: parseOr(text) as T });
        });
      },
    );
    sent.on('error', reject);
    sent.end(data);
    return await promise;
  }

  /** Imports a root file system under a name. `changes`: Dockerfile lines. */
  async importImage(name: string, tar: Buffer, changes: readonly string[] = []): Promise<void> {
    // In one, which every engine reads.
    const repo = name.includes('/') ? name : `docker.io/library/${name}`;
    const query = new URLSearchParams({ fromSrc: '-', repo });
    for (const change of changes) query.append('changes', change);
    const { status, body } = await this.api('POST', `/images/create?${query.toString()}`, tar);
    if (status !== 200 || JSON.stringify(body).includes('errorDetail')) {
      throw new Error(`import of ${name} failed: ${JSON.stringify(body)}`);
    }
  }

  /** An image with a shell and its tools, packed from this machine's busybox. */
  async importBusybox(name = 'busybox:stable', changes: readonly string[] = []): Promise<void> {
    const { body } = await this.api<{ Arch: string }>('GET', '/version');
    const busybox = await findBusybox(body.Arch);
    if (busybox === null) throw new Error('no static busybox on this machine: install busybox-static');
    await this.importImage(name, busyboxRootTar(busybox), changes);
  }

  /** An image with one program and no shell: busybox under the name of one of its tools. */
  async importWithoutShell(name: string, tool: string): Promise<void> {
    const { body } = await this.api<{ Arch: string }>('GET', '/version');
    const busybox = await findBusybox(body.Arch);
    if (busybox === null) throw new Error('no static busybox on this machine: install busybox-static');
    const entries: TarEntry[] = [{ kind: 'file', path: tool, mode: 0o755, content: busybox.binary }];
    await this.importImage(name, buildTar(entries));
  }

  /** Containers that carry one of our labels, in any state. @param gridId of this grid only */
  async countLeftovers(gridId?: string): Promise<number> {
    const label = gridId === undefined ? LABEL.grid : `${LABEL.grid}=${gridId}`;
    const filters = encodeURIComponent(JSON.stringify({ label: [label] }));
    const { body } = await this.api<unknown[]>('GET', `/containers/json?all=true&filters=${filters}`);
    return body.length;
  }
}

function parseOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
