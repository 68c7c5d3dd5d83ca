/**
 * What must not be touched: files that anybody may write, in places that can be guessed; a process; listeners on loopback
 * and on an abstract socket; secrets in the worker's environment.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const CONTENT = 'nobody was here\n';
const ANYBODY_MAY_WRITE = 0o666;
const ANYBODY_MAY_ADD = 0o777;

/** What every secret begins with, so that a task can look for it without being told. */
export const SECRET_PREFIX = 'canary-';

export class Canaries {
  /** Of this worker. */
  readonly secrets: readonly string[] = [newSecret(), newSecret()];
  readonly #directories: readonly string[];
  readonly #process: ChildProcess;
  readonly #listeners: Server[] = [];
  /** Not a path: it has no file. */
  readonly abstractName = `dgrid-canary-${randomBytes(4).toString('hex')}`;
  port = 0;
  connections = 0;

  private constructor(directories: readonly string[], child: ChildProcess) {
    this.#directories = directories;
    this.#process = child;
  }

  /** @param engineData the directory where the engine keeps what is its own */
  static async place(engineData: string): Promise<Canaries> {
    const inEngine = join(engineData, 'canary');
    mkdirSync(inEngine);
    const directories = [mkdtempSync(join(tmpdir(), 'dgrid-canary-')), inEngine];
    for (const directory of directories) {
      chmodSync(directory, ANYBODY_MAY_ADD);
      writeFileSync(join(directory, 'file'), CONTENT);
      chmodSync(join(directory, 'file'), ANYBODY_MAY_WRITE);
    }
    // Longer than any theme takes; where the tests are killed it goes by itself.
    const child = spawn('sleep', ['900'], { argv0: 'dgrid-canary', stdio: 'ignore' });
    await once(child, 'spawn');
    const canaries = new Canaries(directories, child);
    await canaries.#listen();
    return canaries;
  }

  get files(): string[] {
    return this.#directories.map((directory) => join(directory, 'file'));
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** What became of them; empty: nothing. */
  harm(): string[] {
    const found: string[] = [];
    for (const directory of this.#directories) {
      const names = readdirSync(directory);
      if (names.join() !== 'file') found.push(`in ${directory}: ${names.join(', ')}`);
      const file = join(directory, 'file');
      if (readFileSync(file, 'utf8') !== CONTENT) found.push(`${file} was written to`);
      if ((statSync(file).mode & 0o777) !== ANYBODY_MAY_WRITE) found.push(`${file} has another mode`);
    }
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) found.push('the process was ended');
    if (/^State:\s+[Tt]/m.test(readFileSync(`/proc/${this.pid}/status`, 'utf8'))) found.push('the process was stopped');
    if (this.connections > 0) found.push(`${this.connections} connections came`);
    return found;
  }

  async remove(): Promise<void> {
    const ended = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await ended;
    for (const server of this.#listeners) server.close();
    for (const directory of this.#directories) rmSync(directory, { recursive: true, force: true });
  }

  async #listen(): Promise<void> {
    const tcp = createServer((socket) => {
      this.connections += 1;
      socket.destroy();
    });
    tcp.listen(0, '127.0.0.1');
    await once(tcp, 'listening');
    this.port = (tcp.address() as AddressInfo).port;
    const abstract = createServer((socket) => {
      this.connections += 1;
      socket.destroy();
    });
    abstract.listen(`\0${this.abstractName}`);
    await once(abstract, 'listening');
    this.#listeners.push(tcp, abstract);
  }
}

function newSecret(): string {
  return `${SECRET_PREFIX}${randomBytes(8).toString('hex')}`;
}
