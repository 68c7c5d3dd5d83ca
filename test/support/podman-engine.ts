/**
 * Podman's service with Docker's interface, for tests: as root or as an ordinary user, with storage, state and
 * configuration of its own. It needs root, and installs `podman` where Debian or Ubuntu lacks it.
 */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Daemon, endProcessesOf } from './daemon.ts';
import { EngineApi } from './engine-api.ts';
import { type OrdinaryUser, ordinaryUser } from './ordinary-user.ts';
import { installMissing, tryProgram } from './programs.ts';

/** crun, which Podman would take first, refuses machines with both versions of cgroups mounted. */
const config = (runtime: string): string => `[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[engine.runtimes]
runc = [${JSON.stringify(runtime)}]
`;

/**
 * Podman as root asks for more processes than a machine may allow that is a container itself; what keeps a task from too
 * many is its cgroup.
 */
const RUNTIME = `#!/bin/sh
before=
bundle=
for word; do
  if [ "$before" = --bundle ]; then bundle=$word; fi
  before=$word
done
if [ -n "$bundle" ]; then
  ${JSON.stringify(process.execPath)} -e '
    const fs = require("fs"), file = process.argv[1], spec = JSON.parse(fs.readFileSync(file));
    spec.process.rlimits = spec.process.rlimits.filter(({ type }) => type !== "RLIMIT_NPROC");
    fs.writeFileSync(file, JSON.stringify(spec));
  ' "$bundle/config.json"
fi
exec runc "$@"
`;
const NEEDED = {
  podman: 'podman',
  runc: 'runc',
  catatonit: 'catatonit',
  newuidmap: 'uidmap',
  slirp4netns: 'slirp4netns',
  'fuse-overlayfs': 'fuse-overlayfs',
};

export class PodmanEngine extends EngineApi {
  readonly #directory: string;
  readonly #user: OrdinaryUser | null;
  #daemon: Daemon | null = null;

  // Made by `start` only.
  private constructor(directory: string, user: OrdinaryUser | null) {
    super(join(user?.runtimeDir ?? directory, 's'));
    this.#directory = directory;
    this.#user = user;
  }

  /** @throws Error that says what is missing */
  static async start(options: { rootless: boolean }): Promise<PodmanEngine> {
    await installMissing(NEEDED);
    const directory = await mkdtemp('/tmp/dgp-');
    await chmod(directory, 0o755);
    const engine = new PodmanEngine(directory, options.rootless ? await ordinaryUser(directory) : null);
    try {
      await engine.#launch();
      return engine;
    } catch (error) {
      await engine.stop();
      throw error;
    }
  }

  get user(): OrdinaryUser | null {
    return this.#user;
  }

  /** Ends the service; its containers run on, each under its own monitor. */
  async restart(): Promise<void> {
    await this.#daemon?.stop();
    await this.#launch();
  }

  async stop(): Promise<void> {
    if (this.#daemon !== null) {
      const { body } = await this.api<{ Id: string }[]>('GET', '/containers/json?all=true');
      for (const { Id } of body) await this.api('DELETE', `/containers/${Id}?force=true&v=true`);
    }
    await this.#daemon?.stop();
    await endProcessesOf(this.#directory);
    // As its own user sees it: files of the ids in its range are nobody else's.
    if (this.#user !== null)
      await this.#run(this.#user.as(['podman', ...this.#flags(), 'unshare', 'rm', '-rf', this.#path('data')]));
    await tryProgram('umount', ['--lazy', '--recursive', join(this.#home(), 'data', 'overlay')]);
    await this.#user?.remove();
    await rm(this.#directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }

  async #run(argv: readonly string[]): Promise<void> {
    const [command = '', ...args] = argv;
    await tryProgram(command, args, { cwd: this.#home(), env: this.#env() });
  }

  /** Its own user can write here. */
  #home(): string {
    return this.#user?.home ?? this.#directory;
  }

  #path(name: string): string {
    return join(this.#home(), name);
  }

  #flags(): string[] {
    return [`--root=${this.#path('data')}`, `--runroot=${this.#path('state')}`, `--tmpdir=${this.#path('tmp')}`];
  }

  #env(): Record<string, string> {
    return {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      HOME: this.#home(),
      CONTAINERS_CONF: join(this.#directory, 'c.conf'),
    };
  }

  async #launch(): Promise<void> {
    const runtime = join(this.#directory, 'runc');
    await writeFile(runtime, RUNTIME, { mode: 0o755 });
    await writeFile(join(this.#directory, 'c.conf'), config(this.#user === null ? runtime : '/usr/sbin/runc'));
    const argv = ['podman', ...this.#flags(), 'system', 'service', '--time=0', this.host];
    this.#daemon = await Daemon.start(this.#user?.as(argv, this.#env()) ?? argv, {
      log: join(this.#directory, 'log'),
      cwd: this.#home(),
      env: this.#env(),
      probe: async () => {
        const { status } = await this.api('GET', '/_ping');
        if (status !== 200) throw new Error(`status ${status}`);
      },
    });
  }
}
