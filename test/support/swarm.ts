/**
 * A Docker swarm of several machines, each with an engine of its own: one manager, the others workers. The stack that is
 * deployed on it is docker/stack.yaml as it stands.
 */
import { mkdirSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { NodeState } from '../../src/ledger/state-codec.ts';
import { decodeNodeState } from '../../src/ledger/state-codec.ts';
import { BridgedHosts } from './bridged-hosts.ts';
import { PrivateEngine } from './engine.ts';
import { git } from './git.ts';
import { installMissing, runProgram, tryProgram } from './programs.ts';
import { until } from './until.ts';
import type { LogEntry } from './worker-process.ts';

const STACK_FILE = join(import.meta.dirname, '../../docker/stack.yaml');
const STACK = 'dgrid';
export const SERVICE = `${STACK}_worker`;
const LOAD_BOUND_MS = 180_000;

export interface SwarmNode {
  hostName: string;
  address: string;
  engine: PrivateEngine;
}

export interface WorkerContainer {
  node: SwarmNode;
  id: string;
  running: boolean;
}

interface UpdateStatus {
  State?: string;
  StartedAt?: string;
}

export class TestSwarm {
  readonly hosts: BridgedHosts;
  readonly nodes: SwarmNode[] = [];
  readonly #directory: string;

  private constructor(hosts: BridgedHosts, directory: string) {
    this.hosts = hosts;
    this.#directory = directory;
  }

  /** @param directory of the test, for what belongs to the docker command and to the engines' sockets */
  static async start(hostNames: readonly string[], directory: string): Promise<TestSwarm> {
    await installMissing({ docker: 'docker.io' });
    mkdirSync(directory, { recursive: true });
    const swarm = new TestSwarm(BridgedHosts.create(hostNames), directory);
    try {
      for (const { address, command, hostName } of swarm.hosts.hosts) {
        const engine = await PrivateEngine.start({ command });
        swarm.nodes.push({ hostName, address, engine });
        // One name for all sockets, as on machines of their own.
        symlinkSync(engine.directory, join(directory, hostName));
      }
      const [first] = swarm.nodes as [SwarmNode];
      // Every life's log is wanted in the end.
      const init = ['swarm', 'init', '--task-history-limit', '30', '--advertise-addr', first.address];
      await swarm.docker(init);
      const token = (await swarm.docker(['swarm', 'join-token', '--quiet', 'worker'])).trim();
      for (const node of swarm.nodes.slice(1)) {
        const join = ['swarm', 'join', '--token', token, '--advertise-addr', node.address, `${first.address}:2377`];
        await swarm.docker(join, { node });
      }
      for (const { hostName } of swarm.nodes) {
        await swarm.docker(['node', 'update', '--label-add', 'dgrid=worker', hostName]);
      }
      return swarm;
    } catch (error) {
      await swarm.stop();
      throw error;
    }
  }

  /** On the manager, unless told otherwise. */
  docker(
    args: readonly string[],
    options: { node?: SwarmNode | undefined; env?: NodeJS.ProcessEnv } = {},
  ): Promise<string> {
    const node = options.node ?? this.nodes[0];
    if (!node) throw new Error('there is no engine yet');
    return runProgram('docker', args, { env: this.#env(node, options.env), boundMs: LOAD_BOUND_MS });
  }

  /** The socket of whichever node it is mounted on. */
  get socketTemplate(): string {
    return join(this.#directory, '{{.Node.Hostname}}', 's');
  }

  /** Its number, which is the same on all of them. */
  get socketGroup(): number {
    const [first] = this.nodes;
    if (!first) throw new Error('there is no engine yet');
    return statSync(first.engine.socketPath).gid;
  }

  /** @param env the variables of the file, @param extra more files of the same kind */
  async deploy(env: Readonly<Record<string, string>>, extra: readonly string[] = []): Promise<void> {
    const files = [STACK_FILE, ...extra].flatMap((file) => ['--compose-file', file]);
    // There is no registry to ask which image a name stands for.
    await this.docker(['stack', 'deploy', '--resolve-image', 'never', '--detach=true', ...files, STACK], { env });
  }

  /** How the last update stands; `none` before the first, and for a moment after one was asked for. */
  async update(): Promise<{ state: string; startedAt: string | null }> {
    const text = await this.docker(['service', 'inspect', '--format', '{{json .UpdateStatus}}', SERVICE]);
    const status = JSON.parse(text) as UpdateStatus | null;
    return { state: status?.State ?? 'none', startedAt: status?.StartedAt ?? null };
  }

  /** Of all lives that the swarm still has. */
  async workers(): Promise<WorkerContainer[]> {
    const format = '{{.ID}} {{.State}}';
    const filter = `label=com.docker.swarm.service.name=${SERVICE}`;
    const found: WorkerContainer[] = [];
    for (const node of this.nodes) {
      const lines = await this.docker(['ps', '--all', '--no-trunc', '--filter', filter, '--format', format], { node });
      for (const line of lines.split('\n').filter((each) => each !== '')) {
        const [id = '', state] = line.split(' ');
        found.push({ node, id, running: state === 'running' });
      }
    }
    return found;
  }

  async inspect<T>({ id, node }: WorkerContainer): Promise<T> {
    const [found] = JSON.parse(await this.docker(['container', 'inspect', id], { node })) as [T];
    return found;
  }

  async logOf({ id, node }: WorkerContainer): Promise<LogEntry[]> {
    const { stdout } = await tryProgram('docker', ['logs', id], { env: this.#env(node) });
    return stdout.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as LogEntry] : []));
  }

  async untilHealthy(boundMs: number): Promise<void> {
    const states = async (): Promise<string[]> => {
      const running = (await this.workers()).filter((worker) => worker.running);
      const read = running.map((worker) => this.inspect<{ State: { Health?: { Status: string } } }>(worker));
      return (await Promise.all(read)).map(({ State }) => State.Health?.Status ?? 'none');
    };
    const all = this.nodes.map(() => 'healthy').join();
    await until('a healthy worker on each node', async () => (await states()).join() === all, boundMs).catch(
      async (error: unknown) => {
        throw new Error(`${String(error)}\n${await this.story()}`, { cause: error });
      },
    );
  }

  /** Why things stand as they do. */
  async story(): Promise<string> {
    const tasks = await tryProgram('docker', ['service', 'ps', '--no-trunc', SERVICE], { env: this.#env() });
    const logs = await Promise.all((await this.workers()).map(async (worker) => this.#tail(worker)));
    return [tasks.stdout, tasks.stderr, ...logs].join('\n');
  }

  async removeStack(): Promise<void> {
    await this.docker(['stack', 'rm', '--detach=true', STACK]);
    await until('the workers to go', async () => (await this.workers()).length === 0, 180_000);
  }

  async stop(): Promise<void> {
    for (const node of this.nodes.toReversed()) {
      await tryProgram('docker', ['swarm', 'leave', '--force'], { env: this.#env(node) });
    }
    for (const { engine } of this.nodes) await engine.stop();
    this.hosts.remove();
  }

  async #tail({ id, node }: WorkerContainer): Promise<string> {
    const { stdout, stderr } = await tryProgram('docker', ['logs', '--tail', '20', id], { env: this.#env(node) });
    return `${node.hostName} ${id.slice(0, 12)}:\n${stdout}${stderr}`;
  }

  #env(node: SwarmNode | undefined = this.nodes[0], more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
    const home = this.#directory;
    return { PATH: process.env['PATH'], HOME: home, DOCKER_CONFIG: home, DOCKER_HOST: node?.engine.host, ...more };
  }
}

/** What the nodes of a grid say of themselves, by id. */
export async function nodeStates(repository: string): Promise<Map<string, NodeState>> {
  const listed = await git(repository, ['for-each-ref', '--format=%(refname:lstrip=3)', 'refs/dgrid/nodes/']);
  const states = new Map<string, NodeState>();
  for (const id of listed.split('\n').filter((line) => line !== '')) {
    const text = await git(repository, ['log', '-1', '--format=%B', `refs/dgrid/nodes/${id}`]);
    const decoded = decodeNodeState(text, null);
    if (decoded.kind === 'state') states.set(id, decoded.state);
  }
  return states;
}
