/**
 * A container engine of our own for tests: its own daemon, socket, data and namespaces, no network, nothing of the
 * machine's engine touched. It needs root, and installs `docker.io` where Debian or Ubuntu lacks it.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, open, readdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { createConnection } from 'node:net';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { LABEL } from '../../src/executor/docker/labels.ts';
import { EngineApi } from './engine-api.ts';

const run = promisify(execFile);

const READY_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 30_000;
const PROBE_EVERY_MS = 50;
/** In order of preference; the second works wherever the first does not (in a container, say), but slowly. */
const STORAGE_DRIVERS = ['overlay2', 'vfs'] as const;
const CGROUPS = '/sys/fs/cgroup';
const CONTAINERD_CONFIG = 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n';

export class PrivateEngine extends EngineApi {
  readonly directory: string;
  readonly #storageDriver: string;
  /** Where images and containers lie. */
  readonly dataRoot: string;
  #daemon: ChildProcess | null = null;
  /** What its processes are started by, as `ip netns exec NAME`. */
  readonly #command: readonly string[];
  /** Started apart, as a system's service is: a daemon that is killed does not take it along. */
  #containerd: ChildProcess | null = null;

  // Made by `start` only.
  private constructor(directory: string, storageDriver: string, dataRoot: string, command: readonly string[]) {
    super(join(directory, 's'));
    this.directory = directory;
    this.dataRoot = dataRoot;
    this.#storageDriver = storageDriver;
    this.#command = command;
  }

  /**
   * @param options.liveRestore containers outlive the daemon
   * @param options.dataRoot a directory on a file system that the test wants to fill
   * @param options.command a command that runs the daemon on another host, as `ip netns exec NAME`; it must replace itself
   */
  static async start(
    options: { liveRestore?: boolean; dataRoot?: string; command?: readonly string[] } = {},
  ): Promise<PrivateEngine> {
    await ensureDockerd();
    const failures: unknown[] = [];
    for (const driver of STORAGE_DRIVERS) {
      // Short, because a socket's path has to fit into 108 bytes, and containerd nests its own below.
      const directory = await mkdtemp('/tmp/dge-');
      const dataRoot = options.dataRoot ?? join(directory, 'd');
      const engine = new PrivateEngine(directory, driver, dataRoot, options.command ?? []);
      const config = {
        'live-restore': options.liveRestore === true,
        'exec-opts': ['native.cgroupdriver=cgroupfs'],
        'cgroup-parent': `/${engine.#cgroup}`,
      };
      await writeFile(engine.#path('c.json'), JSON.stringify(config));
      await writeFile(engine.#path('c.toml'), CONTAINERD_CONFIG);
      try {
        await engine.#launch();
        return engine;
      } catch (error) {
        failures.push(error);
        await engine.stop();
      }
    }
    throw new AggregateError(failures, 'no private engine could be started');
  }

  /** Ends the daemon and everything that it started, and removes its files. */
  async stop(): Promise<void> {
    this.resume();
    await this.#removeContainers();
    await this.#end('SIGTERM');
    await end(this.#containerd, 'SIGTERM');
    for (const pid of await this.#processes()) signalQuietly(pid, 'SIGKILL');
    await this.#unmountAll();
    for (const path of this.#cgroups()) await rmdir(path).catch(() => {});
    await rm(this.directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }

  /** As in a crash: the daemon is gone, its containers' processes stay. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** The daemon hangs: it accepts calls and answers none. Its containers run on. */
  pause(): void {
    this.#daemon?.kill('SIGSTOP');
  }

  resume(): void {
    this.#daemon?.kill('SIGCONT');
  }

  /** Brings the daemon back on the same data. `signal`: how the one before is ended, if it still runs. */
  async restart(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    await this.#end(signal);
    await this.#launch();
  }

  /** Resolves when the container of a task has printed the text on standard output. */
  async printed(taskId: string, text: string): Promise<void> {
    const filters = encodeURIComponent(JSON.stringify({ label: [`${LABEL.task}=${taskId}`] }));
    const { body } = await this.api<{ Id: string }[]>('GET', `/containers/json?all=true&filters=${filters}`);
    const path = `/containers/${body[0]?.Id}/logs?stdout=true&follow=true`;
    const sent = request({ socketPath: this.socketPath, path, agent: false });
    sent.end();
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    let seen = '';
    for await (const chunk of answer) {
      seen += String(chunk);
      if (seen.includes(text)) return;
    }
    throw new Error(`the container of ${taskId} ended without printing ${text}`);
  }

  /**
   * What containers leave on this machine outside of the engine's own list: the processes that hold them, and what they
   * keep in memory. Layers and network namespaces are not counted: a daemon that is killed while it makes one forgets
   * it, and offers nobody a way to remove it.
   */
  async remains(): Promise<string[]> {
    const shims = (await this.#processes('containerd-shim')).map(async (pid) => {
      const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      return `shim of ${/\0-id\0([^\0]*)/.exec(line)?.[1] ?? `process ${pid}`}`;
    });
    return [...(await Promise.all(shims)), ...(await this.#mounts('tmpfs'))];
  }

  /** Control groups of containers, which are below one of its own: other engines of the machine have others. */
  async cgroupsOfContainers(): Promise<string[]> {
    const found = await Promise.all(
      this.#cgroups().map(async (path) => {
        const entries = await readdir(path, { withFileTypes: true });
        return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(path, name));
      }),
    );
    return found.flat();
  }

  get #cgroup(): string {
    return basename(this.directory);
  }

  /** In each hierarchy of version 1, or in the one of version 2. */
  #cgroups(): string[] {
    const tops = [CGROUPS, ...readdirSync(CGROUPS).map((name) => join(CGROUPS, name))];
    return tops.map((top) => join(top, this.#cgroup)).filter((path) => existsSync(path));
  }

  #path(name: string): string {
    return join(this.directory, name);
  }

  async #launch(): Promise<void> {
    this.#containerd ??= await this.#spawn('containerd', [
      `--config=${this.#path('c.toml')}`,
      `--address=${this.#path('c')}`,
      `--root=${this.#path('cd')}`,
      `--state=${this.#path('ce')}`,
    ]);
    const connect = async () => {
      const socket = createConnection(this.#path('c'));
      await once(socket, 'connect').finally(() => socket.destroy());
    };
    await this.#ready(this.#containerd, connect);
    await rm(this.#path('p'), { force: true });
    this.#daemon = await this.#spawn('dockerd', [
      `--config-file=${this.#path('c.json')}`,
      `--host=${this.host}`,
      `--containerd=${this.#path('c')}`,
      `--data-root=${this.dataRoot}`,
      `--exec-root=${this.#path('e')}`,
      `--pidfile=${this.#path('p')}`,
      `--storage-driver=${this.#storageDriver}`,
      '--iptables=false',
      '--ip6tables=false',
      '--ip-masq=false',
      '--bridge=none',
    ]);
    const ping = async () => {
      const { status } = await this.api('GET', '/_ping');
      if (status !== 200) throw new Error(`status ${status}`);
    };
    await this.#ready(this.#daemon, ping);
  }

  async #spawn(command: string, argv: string[]): Promise<ChildProcess> {
    const log = await open(this.#path('log'), 'a');
    // A group of its own: an interrupt at the terminal is for the tests, which stop it themselves.
    const [program, ...first] = [...this.#command, command];
    const child = spawn(program ?? command, [...first, ...argv], { detached: true, stdio: ['ignore', log.fd, log.fd] });
    // Asked for before anything else is awaited, or the event would be missed.
    const spawned = once(child, 'spawn');
    await Promise.all([spawned, log.close()]);
    return child;
  }

  async #ready(child: ChildProcess, probe: () => Promise<void>): Promise<void> {
    const deadline = performance.now() + READY_LIMIT_MS;
    for (;;) {
      try {
        await probe();
        return;
      } catch (cause) {
        if (child.exitCode === null && child.signalCode === null && performance.now() < deadline) {
          await pause(PROBE_EVERY_MS);
          continue;
        }
        const tail = (await readFile(this.#path('log'), 'utf8').catch(() => '')).slice(-2000);
        throw new Error(`${child.spawnfile} (${this.#storageDriver}) did not come up: ${tail}`, { cause });
      }
    }
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const daemon = this.#daemon;
    this.#daemon = null;
    await end(daemon, signal);
  }

  async #removeContainers(): Promise<void> {
    try {
      const { body } = await this.api<{ Id: string }[]>('GET', '/containers/json?all=true');
      for (const { Id } of body) await this.api('DELETE', `/containers/${Id}?force=true&v=true`);
    } catch {
      // The daemon is gone; its processes are ended by their ids.
    }
  }

  /** Ids of the processes that name our directory on their command line: containerd and its shims. */
  async #processes(prefix = ''): Promise<number[]> {
    const found: number[] = [];
    for (const name of await readdir('/proc')) {
      if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
      const line = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '');
      const [program = ''] = line.split('\0');
      const isEngine = /(^|\/)(dockerd|containerd[^/]*)$/.test(program) && basename(program).startsWith(prefix);
      if (isEngine && line.includes(this.directory)) found.push(Number(name));
    }
    return found;
  }

  /** In the order in which they were made. */
  async #mounts(type?: string): Promise<string[]> {
    const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').map((line) => line.split(' '));
    return mounts.flatMap(([, path = '', its]) =>
      path.startsWith(`${this.directory}/`) && (type === undefined || type === its) ? [path] : [],
    );
  }

  async #unmountAll(): Promise<void> {
    for (const mount of (await this.#mounts()).toReversed()) {
      await run('umount', ['--lazy', mount]).catch(() => {});
    }
  }
}

async function ensureDockerd(): Promise<void> {
  if (process.getuid?.() !== 0) throw new Error('these tests start a container engine, which needs root');
  const directories = ['/usr/sbin', '/usr/bin', '/usr/local/bin', ...(process.env['PATH'] ?? '').split(':')];
  if (directories.some((directory) => existsSync(join(directory, 'dockerd')))) return;
  if (!existsSync('/etc/debian_version')) throw new Error('dockerd is not installed');
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  await run('apt-get', ['update'], { env, maxBuffer: 1 << 24 });
  await run('apt-get', ['install', '--yes', '--no-install-recommends', 'docker.io', 'busybox-static'], {
    env,
    maxBuffer: 1 << 24,
  });
}

async function end(child: ChildProcess | null, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (child === null || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill(signal);
  const late = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
  await exited;
  clearTimeout(late);
}

function signalQuietly(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // gone already
  }
}

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}
