/** Docker's engine as an ordinary user runs it, for tests. It needs root to make that user, and installs what is missing. */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Daemon, endProcessesOf } from './daemon.ts';
import { EngineApi } from './engine-api.ts';
import { type OrdinaryUser, ordinaryUser } from './ordinary-user.ts';
import { installMissing, tryProgram } from './programs.ts';

const NEEDED = { dockerd: 'docker.io', rootlesskit: 'rootlesskit', newuidmap: 'uidmap' };

export class RootlessDocker extends EngineApi {
  readonly user: OrdinaryUser;
  readonly #directory: string;
  #daemon: Daemon | null = null;

  // Made by `start` only.
  private constructor(directory: string, user: OrdinaryUser) {
    super(join(user.runtimeDir, 's'));
    this.user = user;
    this.#directory = directory;
  }

  /** @throws Error that says what is missing */
  static async start(): Promise<RootlessDocker> {
    await installMissing(NEEDED);
    const directory = await mkdtemp('/tmp/dgr-');
    await chmod(directory, 0o755);
    const engine = new RootlessDocker(directory, await ordinaryUser(directory));
    try {
      await engine.#launch();
      return engine;
    } catch (error) {
      await engine.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    if (this.#daemon !== null) {
      const { body } = await this.api<{ Id: string }[]>('GET', '/containers/json?all=true');
      for (const { Id } of body) await this.api('DELETE', `/containers/${Id}?force=true&v=true`);
    }
    await this.#daemon?.stop();
    await endProcessesOf(this.#directory);
    const [command = '', ...args] = this.user.as(['rootlesskit', 'rm', '-rf', join(this.user.home, 'data')]);
    await tryProgram(command, args, { cwd: this.user.home });
    await this.user.remove();
    await rm(this.#directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }

  /** As dockerd-rootless.sh does, but on the machine's own network: tasks have none, and nothing is published. */
  async #launch(): Promise<void> {
    const { home, runtimeDir } = this.user;
    const kit = ['rootlesskit', '--net=host', '--copy-up=/etc', '--copy-up=/run', '--propagation=rslave'];
    const inKit = [
      'rm -f /run/docker /run/containerd /run/xtables.lock;',
      `exec dockerd --rootless --host=${this.host} --data-root=${home}/data --exec-root=${runtimeDir}/e`,
      `--pidfile=${home}/p --storage-driver=vfs --iptables=false --ip6tables=false --bridge=none`,
    ];
    const argv = this.user.as([...kit, `--state-dir=${runtimeDir}/kit`, 'sh', '-c', inKit.join(' ')]);
    this.#daemon = await Daemon.start(argv, {
      log: join(this.#directory, 'log'),
      cwd: home,
      probe: async () => {
        const { status } = await this.api('GET', '/_ping');
        if (status !== 200) throw new Error(`status ${status}`);
      },
    });
  }
}
