/** The worker's image, built from docker/Dockerfile on an engine of the test's, and what the docker command can do with it. */
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { debianBase } from './debian-base.ts';
import type { PrivateEngine } from './engine.ts';
import { hasProgram, installMissing, type ProgramEnd, runProgram, tryProgram } from './programs.ts';
import { until } from './until.ts';

export const ROOT = join(import.meta.dirname, '../..');
export const WORKER_IMAGE = 'dgrid-worker:test';

const BASE_IMAGE = 'dgrid-test-base:local';
const BUILD_BOUND_MS = 600_000;
const HEALTH_BOUND_MS = 30_000;
const PROXY_VARIABLES = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'http_proxy', 'https_proxy', 'no_proxy'];

export class WorkerImage {
  readonly #engine: PrivateEngine;
  readonly #env: NodeJS.ProcessEnv;

  private constructor(engine: PrivateEngine, home: string) {
    this.#engine = engine;
    this.#env = { PATH: process.env['PATH'], HOME: home, DOCKER_CONFIG: home, DOCKER_HOST: engine.host };
  }

  /** @param home a directory of the test's, for the docker command's own files */
  static async build(engine: PrivateEngine, home: string): Promise<WorkerImage> {
    await installMissing({ docker: 'docker.io' });
    mkdirSync(home, { recursive: true });
    const image = new WorkerImage(engine, home);
    await image.docker(['import', await debianBase(), BASE_IMAGE]);
    const args = {
      BUILD_BASE: BASE_IMAGE,
      RUNTIME_BASE: BASE_IMAGE,
      NODE_EXTRA_CA_CERTS: '/etc/ssl/certs/ca-certificates.crt',
      VERSION: '0.0.0-test',
      REVISION: 'test',
      ...(await registryOfThisMachine()),
      ...Object.fromEntries(PROXY_VARIABLES.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : []))),
    };
    // The engine has no network of its own to give to containers, so they share the machine's.
    const command = ['build', '--network', 'host', '--file', 'docker/Dockerfile', '--tag', WORKER_IMAGE];
    for (const [name, value] of Object.entries(args)) command.push('--build-arg', `${name}=${value}`);
    const withBuildKit = (await tryProgram('docker', ['buildx', 'version'], { env: image.#env })).code === 0;
    await runProgram('docker', [...command, '.'], {
      cwd: ROOT,
      env: { ...image.#env, DOCKER_BUILDKIT: withBuildKit ? '1' : '0' },
      boundMs: BUILD_BOUND_MS,
    });
    return image;
  }

  docker(args: readonly string[]): Promise<string> {
    return runProgram('docker', args, { env: this.#env });
  }

  async inspect<T>(kind: 'image' | 'container', name: string): Promise<T> {
    const [found] = JSON.parse(await this.docker([kind, 'inspect', name])) as T[];
    if (found === undefined) throw new Error(`no ${kind} ${name}`);
    return found;
  }

  /** Runs a container to its end: locked down as docs/install.md says, on the engine's socket. */
  run(
    args: readonly string[],
    options: { env?: Record<string, string>; entrypoint?: string } = {},
  ): Promise<ProgramEnd> {
    const lockedDown = '--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges';
    const command = `run --rm --network host ${lockedDown}`.split(' ');
    command.push('--group-add', this.socketGroup);
    command.push('--volume', `${this.#engine.socketPath}:/var/run/docker.sock`);
    command.push('--env-file', join(ROOT, 'docker/profiles/edge.env'));
    for (const [name, value] of Object.entries(options.env ?? {})) command.push('--env', `${name}=${value}`);
    if (options.entrypoint !== undefined) command.push('--entrypoint', options.entrypoint);
    return tryProgram('docker', [...command, WORKER_IMAGE, ...args], { env: this.#env });
  }

  /** Runs Compose on these files, as a program or as a plug-in, whichever is there. */
  async compose(files: readonly string[], env: Record<string, string>, args: readonly string[]): Promise<ProgramEnd> {
    const isPlugin = (await tryProgram('docker', ['compose', 'version'], { env: this.#env })).code === 0;
    if (!isPlugin && !hasProgram('docker-compose')) await installMissing({ 'docker-compose': 'docker-compose' });
    const [program, ...first] = isPlugin ? ['docker', 'compose'] : ['docker-compose'];
    const all = [...first, '--project-name', 'dgrid-test', ...files.flatMap((file) => ['--file', file]), ...args];
    return tryProgram(program ?? '', all, { env: { ...this.#env, ...env } });
  }

  async untilHealthy(container: string): Promise<void> {
    const health = async (): Promise<string> => {
      const { State } = await this.inspect<{ State: { Health?: { Status: string }; Status: string } }>(
        'container',
        container,
      );
      if (State.Status !== 'running') throw new Error(`${container} ended:\n${await this.logs(container)}`);
      return State.Health?.Status ?? 'none';
    };
    await until(`${container} is healthy`, async () => (await health()) === 'healthy', HEALTH_BOUND_MS);
  }

  async logs(container: string): Promise<string> {
    const { stdout, stderr } = await tryProgram('docker', ['logs', container], { env: this.#env });
    return stdout + stderr;
  }

  /** Its number, as the socket of the test's engine has it. */
  get socketGroup(): string {
    return String(statSync(this.#engine.socketPath).gid);
  }
}

async function registryOfThisMachine(): Promise<Record<string, string>> {
  const registry = (await runProgram('npm', ['config', 'get', 'registry'], { env: process.env })).trim();
  return { NPM_CONFIG_REGISTRY: registry };
}
