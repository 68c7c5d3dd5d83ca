/**
 * The baselines of everything that runs containers: the engine's own API with nothing around it, and `docker run`.
 *
 * What the bare calls ask for is what the worker asked for: its request is caught on its way to the engine and sent again
 * under another name.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import type { Duplex } from 'node:stream';
import { bootstrapInput } from '../../src/executor/docker/bootstrap.ts';
import { hermeticEnv } from '../../test/support/temp.ts';

export const IMAGE = 'busybox:stable';

export interface BareRun {
  /** From before the first call to the first byte of output. */
  firstByteMs: number;
  /** From before the first call until the container was gone again. */
  wholeMs: number;
}

const MAX_ANSWER_BYTES = 1024 ** 2;
/** Of a container that only says a word. */
const RUN_BOUND_MS = 60_000;
let made = 0;

export class BareEngine {
  readonly #socketPath: string;
  /** The body of a create request. */
  readonly #spec: object;

  constructor(socketPath: string, spec: object) {
    this.#socketPath = socketPath;
    this.#spec = spec;
  }

  /** create → attach → wait → start → script on standard input → end → inspect → remove, as the worker does. */
  run(script: string): Promise<BareRun> {
    return inTime('the bare calls', this.#run(script));
  }

  async #run(script: string): Promise<BareRun> {
    made += 1;
    const startedMs = performance.now();
    const { Id: id } = JSON.parse(
      await this.#call('POST', `/containers/create?name=bare-${process.pid}-${made}`, this.#spec),
    ) as { Id: string };
    const attached = await this.#attach(id);
    let firstByteMs = Number.NaN;
    attached.on('data', (frame: Buffer) => {
      if (Number.isNaN(firstByteMs) && isOutput(frame)) firstByteMs = performance.now() - startedMs;
    });
    const ended = await this.#open('POST', `/containers/${id}/wait?condition=next-exit`);
    await this.#call('POST', `/containers/${id}/start`);
    attached.write(bootstrapInput(script));
    await read(ended);
    if (!attached.readableEnded) await once(attached, 'end');
    const { State } = JSON.parse(await this.#call('GET', `/containers/${id}/json`)) as { State: { ExitCode: number } };
    if (State.ExitCode !== 0) throw new Error(`the bare container ended with ${State.ExitCode}`);
    await this.#call('DELETE', `/containers/${id}?force=true&v=true`);
    attached.destroy();
    return { firstByteMs, wholeMs: performance.now() - startedMs };
  }

  async #call(method: string, path: string, body?: object): Promise<string> {
    return read(await this.#open(method, path, body));
  }

  /** Resolves when the answer begins. */
  async #open(method: string, path: string, body?: object): Promise<IncomingMessage> {
    const data = body === undefined ? undefined : JSON.stringify(body);
    const sent = request({
      socketPath: this.#socketPath,
      method,
      path,
      agent: false,
      headers:
        data === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(data) },
    });
    sent.end(data);
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    if ((answer.statusCode ?? 500) >= 400) throw new Error(`${method} ${path}: ${await read(answer)}`);
    return answer;
  }

  async #attach(id: string): Promise<Duplex> {
    const path = `/containers/${id}/attach?stream=1&stdout=1&stderr=1&stdin=1`;
    const headers = { Connection: 'Upgrade', Upgrade: 'tcp' };
    const sent = request({ socketPath: this.#socketPath, method: 'POST', path, agent: false, headers });
    sent.end();
    const [, socket] = (await once(sent, 'upgrade')) as [IncomingMessage, Duplex, Buffer];
    return socket;
  }
}

async function inTime(what: string, work: Promise<BareRun>): Promise<BareRun> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`${what} took more than ${RUN_BOUND_MS} ms`)), RUN_BOUND_MS);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** `docker run` of the same image and a script that says the same. */
export async function dockerRun(host: string, home: string, script: string): Promise<BareRun> {
  const startedMs = performance.now();
  const args = ['run', '--rm', '--network', 'none', IMAGE, '/bin/sh', '-c', script];
  const child: ChildProcess = spawn('docker', args, {
    env: hermeticEnv(home, { DOCKER_HOST: host, DOCKER_CONFIG: home }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let firstByteMs = Number.NaN;
  let said = '';
  child.stdout?.once('data', () => {
    firstByteMs = performance.now() - startedMs;
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`docker run: ${said}`);
  return { firstByteMs, wholeMs: performance.now() - startedMs };
}

/** A frame of standard output: the bootstrap's own word goes to standard error. */
function isOutput(chunk: Buffer): boolean {
  for (let at = 0; at + 8 <= chunk.length; at += 8 + chunk.readUInt32BE(at + 4)) if (chunk[at] === 1) return true;
  return false;
}

async function read(stream: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of stream) {
    text += String(chunk);
    if (text.length > MAX_ANSWER_BYTES) throw new Error('the engine does not stop answering');
  }
  return text;
}
