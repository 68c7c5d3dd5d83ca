/**
 * A box as the product finds it: a plain Debian without Node.js, as a container of the test's engine, whose socket it gets.
 * A box that boots has systemd as its first process.
 */
import { mkdirSync, statSync } from 'node:fs';
import { debianBase } from './debian-base.ts';
import type { PrivateEngine } from './engine.ts';
import { installMissing, type ProgramEnd, runProgram, tryProgram } from './programs.ts';
import { until } from './until.ts';

/** What the documentation asks for. */
const NEEDED = ['git', 'libatomic1'];
const IMAGE = 'dgrid-test-box:local';
const SOCKET = '/run/docker.sock';
const BOOT_BOUND_MS = 60_000;
const COMMAND_BOUND_MS = 240_000;
/** With systemd: of these some would reach through to the machine below, and the rest is of no use here. */
const MASKED = [
  'systemd-sysctl.service',
  'systemd-modules-load.service',
  'systemd-udevd.service',
  'systemd-remount-fs.service',
  'systemd-logind.service',
  'getty.target',
  'console-getty.service',
  'proc-sys-fs-binfmt_misc.automount',
  'dev-hugepages.mount',
  'sys-kernel-debug.mount',
  'sys-kernel-tracing.mount',
];

export interface BoxOptions {
  /** Directories of this machine, and where the box has them. */
  volumes?: Readonly<Record<string, string>>;
  env?: Readonly<Record<string, string>>;
}

export class BoxImage {
  readonly #engine: PrivateEngine;
  readonly #env: NodeJS.ProcessEnv;
  readonly #image: string;

  private constructor(engine: PrivateEngine, home: string, image: string) {
    this.#engine = engine;
    this.#env = { PATH: process.env['PATH'], HOME: home, DOCKER_CONFIG: home, DOCKER_HOST: engine.host };
    this.#image = image;
  }

  /**
   * @param home a directory of the test's, for the docker command's own files
   * @param options.boots with systemd
   */
  static async make(engine: PrivateEngine, home: string, options: { boots?: boolean } = {}): Promise<BoxImage> {
    await installMissing({ docker: 'docker.io' });
    mkdirSync(home, { recursive: true });
    const packages = [...NEEDED, 'busybox-static', ...(options.boots ? ['systemd', 'systemd-sysv'] : [])];
    const made = new BoxImage(engine, home, IMAGE);
    await made.docker(['import', await debianBase(packages), IMAGE]);
    return made;
  }

  docker(args: readonly string[]): Promise<string> {
    return runProgram('docker', args, { env: this.#env, boundMs: COMMAND_BOUND_MS });
  }

  /** Runs a command in a box of its own, to its end. */
  run(command: readonly string[], options: BoxOptions = {}): Promise<ProgramEnd> {
    return tryProgram('docker', ['run', '--rm', ...this.#common(options), this.#image, ...command], {
      env: this.#env,
      boundMs: COMMAND_BOUND_MS,
    });
  }

  /** A box that stays. @param options.boots with systemd as its first process, and ready when that is */
  async start(options: BoxOptions & { boots?: boolean } = {}): Promise<Box> {
    const command = options.boots ? bootCommand() : ['sleep', '3600'];
    const more = options.boots ? BOOT_OPTIONS : [];
    const args = ['run', '--detach', ...more, ...this.#common(options), this.#image, ...command];
    const box = new Box(this.#env, (await this.docker(args)).trim());
    if (options.boots) await box.booted();
    return box;
  }

  #common({ volumes = {}, env = {} }: BoxOptions): string[] {
    // The engine has no network of its own to give to containers, so they share the machine's.
    const args = ['--network', 'host', '--volume', `${this.#engine.socketPath}:${SOCKET}`];
    for (const [here, there] of Object.entries(volumes)) args.push('--volume', `${here}:${there}`);
    for (const [name, value] of Object.entries({ HOME: '/root', ...env })) args.push('--env', `${name}=${value}`);
    return args;
  }

  /** Its number, as the socket of the test's engine has it. */
  get socketGroup(): string {
    return String(statSync(this.#engine.socketPath).gid);
  }
}

/** Systemd mounts and makes control groups; it gets no more than that needs, so that the machine's own settings are safe. */
const BOOT_OPTIONS = [
  '--cap-add=SYS_ADMIN',
  '--security-opt=seccomp=unconfined',
  '--security-opt=apparmor=unconfined',
  '--cgroupns=host',
  '--volume=/sys/fs/cgroup:/sys/fs/cgroup',
  '--tmpfs=/run:exec',
  '--tmpfs=/run/lock',
  '--env=container=docker',
];

function bootCommand(): string[] {
  const mask = MASKED.map((unit) => `ln -sf /dev/null /etc/systemd/system/${unit}`).join('; ');
  return ['sh', '-c', `${mask}; exec /lib/systemd/systemd --show-status=false --unit=multi-user.target`];
}

export class Box {
  readonly #env: NodeJS.ProcessEnv;
  readonly #id: string;

  constructor(env: NodeJS.ProcessEnv, id: string) {
    this.#env = env;
    this.#id = id;
  }

  /** Whatever the exit code. */
  try(command: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<ProgramEnd> {
    const variables = Object.entries(env).flatMap(([name, value]) => ['--env', `${name}=${value}`]);
    return tryProgram('docker', ['exec', ...variables, this.#id, ...command], {
      env: this.#env,
      boundMs: COMMAND_BOUND_MS,
    });
  }

  /** A shell script's standard output. @throws Error when it does not end with 0. */
  async sh(script: string): Promise<string> {
    const { code, stdout, stderr } = await this.try(['sh', '-c', script]);
    if (code !== 0) throw new Error(`${script}: exit code ${code}\n${stdout}\n${stderr}`);
    return stdout;
  }

  async booted(): Promise<void> {
    const state = async (): Promise<string> => (await this.try(['systemctl', 'is-system-running'])).stdout.trim();
    await until('the box has booted', async () => /^(running|degraded)$/.test(await state()), BOOT_BOUND_MS);
  }
}
