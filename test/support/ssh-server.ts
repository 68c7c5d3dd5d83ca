/** A real sshd on loopback with keys of its own, serving Git repositories of a temporary directory to the current user. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { initBare } from './git.ts';
import { makeTempDir } from './temp.ts';

const SSHD = '/usr/sbin/sshd';
const START_TIMEOUT_MS = 10_000;

export class SshServer {
  readonly root: string;
  /** A private key that the server accepts. */
  readonly clientKeyFile: string;
  /** A private key that the server does not know. */
  readonly strangerKeyFile: string;
  /** Names the server's true host key. */
  readonly knownHostsFile: string;
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #dispose: () => void;

  private constructor(root: string, port: number, child: ChildProcess, dispose: () => void) {
    this.root = root;
    this.port = port;
    this.#child = child;
    this.#dispose = dispose;
    this.clientKeyFile = join(root, 'client key');
    this.strangerKeyFile = join(root, 'stranger');
    this.knownHostsFile = join(root, 'known hosts');
  }

  static async start(): Promise<SshServer> {
    if (!existsSync(SSHD)) throw new Error(`${SSHD} is missing: install openssh-server to run this test`);
    const dir = makeTempDir('ssh');
    for (const name of ['host', 'client key', 'stranger', 'other host']) {
      execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'test', '-f', dir.sub(name)]);
    }
    const port = await freePort();
    const hostKey = readFileSync(dir.sub('host.pub'), 'utf8');
    writeFileSync(dir.sub('authorized'), readFileSync(dir.sub('client key.pub')), { mode: 0o600 });
    writeFileSync(dir.sub('known hosts'), `[127.0.0.1]:${port} ${hostKey}`);
    writeFileSync(
      dir.sub('sshd_config'),
      [
        `Port ${port}`,
        'ListenAddress 127.0.0.1',
        `HostKey ${dir.sub('host')}`,
        `AuthorizedKeysFile ${dir.sub('authorized')}`,
        'StrictModes no',
        'PasswordAuthentication no',
        'KbdInteractiveAuthentication no',
        'UsePAM no',
        'PidFile none',
        'PermitRootLogin prohibit-password',
        'AcceptEnv GIT_PROTOCOL',
        `SetEnv GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1`,
        '',
      ].join('\n'),
    );
    // sshd of a root user insists on this directory, which the distribution's service makes at boot.
    if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
    const child = spawn(SSHD, ['-D', '-e', '-f', dir.sub('sshd_config')], { stdio: ['ignore', 'ignore', 'pipe'] });
    const server = new SshServer(dir.path, port, child, () => dir.remove());
    try {
      await listening(child);
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  url(name: string): string {
    return `ssh://${userInfo().username}@127.0.0.1:${this.port}${this.repositoryPath(name)}`;
  }

  repositoryPath(name: string): string {
    return join(this.root, `${name}.git`);
  }

  async createRepository(name: string, options: { format?: 'sha1' | 'sha256'; branch?: string } = {}): Promise<string> {
    await initBare(this.repositoryPath(name), options);
    return this.repositoryPath(name);
  }

  /** A known-hosts file that names another key for this server, as after a changed host key. */
  wrongKnownHostsFile(): string {
    const path = join(this.root, 'wrong known hosts');
    writeFileSync(path, `[127.0.0.1]:${this.port} ${readFileSync(join(this.root, 'other host.pub'), 'utf8')}`);
    return path;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const gone = new Promise((resolve) => this.#child.once('exit', resolve));
      this.#child.kill('SIGTERM');
      await gone;
    }
    this.#dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

function listening(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = '';
    const timer = setTimeout(() => reject(new Error(`sshd did not start: ${text}`)), START_TIMEOUT_MS);
    child.stderr?.on('data', (chunk: Buffer) => {
      text = (text + chunk.toString()).slice(-4_000);
      if (!text.includes('Server listening')) return;
      clearTimeout(timer);
      resolve();
    });
    child.once('exit', () => {
      clearTimeout(timer);
      reject(new Error(`sshd ended: ${text}`));
    });
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}
