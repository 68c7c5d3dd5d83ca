/**
 * The executor port on a container engine with Docker's interface.
 *
 * State: the names of the containers that this process is responsible for. A name is taken before its container is
 * created and given back once it is removed, so that cleaning up never meets a container between two of our steps.
 */
import type { DockerSettings } from '../../config/settings.ts';
import type { Emit } from '../../observe/events.ts';
import type { Clock, RandomHex } from '../../runtime.ts';
import { essence } from '../../secrets/secret.ts';
import { MaskTable } from '../../secrets/stream-mask.ts';
import { type NodeId, taskId } from '../../task/id.ts';
import {
  type CleanReport,
  type CleanStep,
  type EngineInfo,
  type Executor,
  ExecutorError,
  type FoundRun,
  type Job,
  type PoolStats,
  type Readiness,
  type Reclaimable,
  type Run,
  type RunEnd,
  type RunKey,
} from '../executor.ts';
import { canTravel } from './bootstrap.ts';
import { BUILT_IMAGE } from './busybox-image.ts';
import { type CleanContext, clean } from './clean.ts';
import { type ContainerSpec, containerSpec, type SpecContext, taskEnv } from './container-spec.ts';
import { Containers, type ListedContainer } from './containers.ts';
import { Engine } from './engine.ts';
import { type EngineDetails, EngineFacts } from './engine-facts.ts';
import { findRuns } from './found-runs.ts';
import { HandOvers } from './hand-overs.ts';
import { type EnsuredImage, type ImageProspect, Images, type PresentImage } from './images.ts';
import { LABEL } from './labels.ts';
import { isNetworkAllowed } from './network-list.ts';
import { Networks } from './networks.ts';
import { OwnedImages } from './owned-images.ts';
import { reclaimable } from './reclaimable.ts';
import { RegistryCredentials } from './registry-credentials.ts';
import type { RunContext } from './run.ts';
import { startRun } from './start-run.ts';
import type { WarmContainer } from './warm-container.ts';
import { type Wanted, WarmPool } from './warm-pool.ts';

const NONCE_BYTES = 16;
const NAME_SUFFIX_BYTES = 4;

export interface DockerExecutorOptions {
  settings: DockerSettings;
  /** Names the grid on labels, so that two grids on one engine keep apart. */
  gridId: string;
  nodeId: NodeId;
  /** Of each of the two output streams. */
  maxOutputBytes: number;
  /** Where the list of images that this worker brought is kept. */
  ownedImagesFile: string;
  /** A directory for notes on which containers were given which task. */
  handOversDir: string;
  clock: Clock;
  randomHex: RandomHex;
  emit: Emit;
  /** Told of secrets that become known here, so that the log can mask them. */
  learnSecret?: (secret: string) => void;
  /** Runs that the caller still needs although they ended, beside those that were started or taken up here. */
  isLive?: (key: RunKey) => boolean;
}

type Surroundings = Pick<SpecContext, 'engineCpus' | 'networkMode' | 'quirks'>;

export class DockerExecutor implements Executor {
  readonly #options: DockerExecutorOptions;
  readonly #engine: Engine;
  readonly #facts: EngineFacts;
  readonly #containers: Containers;
  readonly #owned: OwnedImages;
  readonly #images: Images;
  readonly #networks: Networks;
  readonly #handOvers: HandOvers;
  readonly #pool: WarmPool;
  readonly #namesInUse = new Set<string>();

  constructor(options: DockerExecutorOptions) {
    const { settings, clock, emit } = options;
    this.#options = options;
    this.#engine = new Engine(settings, clock);
    this.#facts = new EngineFacts(this.#engine);
    this.#containers = new Containers(this.#engine, emit);
    this.#owned = new OwnedImages(options.ownedImagesFile);
    this.#images = new Images(this.#engine, this.#facts, this.#owned, settings, {
      engine: this.#engine,
      credentials: new RegistryCredentials({
        configDir: settings.dockerConfigDir,
        clock,
        emit,
        onSecret: options.learnSecret ?? (() => {}),
      }),
      timeoutMs: settings.imagePullTimeoutMs,
      stallMs: settings.imagePullStallMs,
      random: () => Number.parseInt(options.randomHex(4), 16) / 2 ** 32,
      emit,
    });
    this.#networks = new Networks(this.#engine);
    this.#handOvers = new HandOvers(options.handOversDir, { clock, emit });
    this.#pool = new WarmPool(
      {
        ...options,
        maxContainers: settings.warmPoolSize,
        idleMs: settings.warmPoolIdleMs,
        handOvers: this.#handOvers,
        contextFor: (name) => this.#contextFor({ name }),
        isInUse: (name) => this.#namesInUse.has(name),
        usual: () => this.#usual(),
      },
      this.#containers,
    );
  }

  async probe(signal?: AbortSignal): Promise<EngineInfo> {
    const { network } = this.#options.settings;
    const info = await this.#facts.probe(signal);
    // Without it nothing can be run here, and to wait for it is better than to take tasks from others.
    if ((await this.#networks.modeOf(network)) === null) throw missingDefaultNetwork(network);
    return info;
  }

  /** More than the port has, for whoever looks for what is wrong. @throws ExecutorError */
  async describe(signal: AbortSignal): Promise<EngineDetails> {
    return await this.#facts.details(signal);
  }

  /** Whether there is exactly one network of this name. @throws ExecutorError */
  async hasNetwork(name: string): Promise<boolean> {
    return (await this.#networks.modeOf(name)) !== null;
  }

  /** What `ensureImage` would find; brings nothing. @throws ExecutorError, or the signal's reason when that aborts. */
  async lookUpImage(image: string, signal: AbortSignal): Promise<ImageProspect> {
    return await this.#images.lookUp(image, signal);
  }

  /** All containers of this node: those of tasks, and those that wait for one. @throws ExecutorError */
  async ownContainers(): Promise<ListedContainer[]> {
    const { gridId, nodeId } = this.#options;
    return await this.#containers.list([`${LABEL.grid}=${gridId}`, `${LABEL.node}=${nodeId}`]);
  }

  async ensureImage(image: string, signal?: AbortSignal): Promise<EnsuredImage> {
    return await this.#images.ensure(image, signal);
  }

  foresee(images: readonly string[]): void {
    this.#images.foresee(images);
  }

  async start(job: Job): Promise<Run> {
    const { randomHex } = this.#options;
    if (!this.#images.isAllowed(job.image)) {
      throw new ExecutorError('rejected', `image ${JSON.stringify(job.image)} is not on the operator's list`);
    }
    const looked = job.pinned ? this.#images.byId(job.pinned.id) : this.#images.present(job.image);
    const [image, around] = await Promise.all([looked, this.#surroundings(job)]);
    if (image === null) throw new ExecutorError('image-unavailable', `image ${job.image} is not there`);
    const nonce = randomHex(NONCE_BYTES);
    const ofRun = { name: job.image, digest: job.pinned?.digest ?? image.digest };
    const spec = this.#specOf(job, nonce, { ...image, digest: ofRun.digest }, around);
    const told = { image: ofRun, mask: maskFor(job) };
    if (job.program.kind === 'script' && canTravel(job.program.script, taskEnv(job), job.secrets)) {
      const warm = this.#pool.take({ spec, image: { id: image.id, name: job.image } });
      const run = warm && (await this.#handOver(warm, job, job.program.script, told));
      if (run) return run;
    }
    const name = `dgrid-${job.key.taskId}-${job.key.epoch}-${randomHex(NAME_SUFFIX_BYTES)}`;
    const context = this.#contextFor({ name });
    try {
      return await startRun({ job, name, nonce, spec, ...told }, context);
    } catch (error) {
      context.onRemoved(); // whatever is left of it is a leftover now
      throw error;
    }
  }

  prepare(readiness: Readiness): void {
    this.#pool.prepare(readiness);
  }

  poolStats(): PoolStats | null {
    return this.#pool.stats;
  }

  async findRuns(nodeId: NodeId): Promise<FoundRun[]> {
    return await findRuns(nodeId, this.#contextFor(null), {
      gridId: this.#options.gridId,
      handOvers: this.#handOvers,
      emit: this.#options.emit,
      contextFor: (container) => this.#contextFor(container),
      imageOf: (id, name) => this.#imageOf(id, name),
    });
  }

  async reclaimable(signal?: AbortSignal): Promise<Reclaimable[]> {
    const waiting = this.#pool.stats?.waiting ?? 0;
    return await reclaimable({ ...this.#cleaning(), settings: this.#options.settings, waiting }, signal);
  }

  async clean(step: CleanStep, signal?: AbortSignal): Promise<CleanReport> {
    // No image goes while a container of it waits.
    if (step.kind === 'own-image' || step.kind === 'dangling-images') await this.#pool.empty();
    return await clean(step, this.#cleaning(), signal);
  }

  #cleaning(): CleanContext {
    const { settings, gridId, nodeId, emit, isLive } = this.#options;
    return {
      engine: this.#engine,
      containers: this.#containers,
      images: this.#images,
      owned: this.#owned,
      handOvers: this.#handOvers,
      settings,
      gridId,
      nodeId,
      emit,
      isInUse: (name: string, key: RunKey) => this.#namesInUse.has(name) || isLive?.(key) === true,
      emptyPool: async () => {
        const waiting = this.#pool.stats?.waiting ?? 0;
        await this.#pool.empty();
        return waiting;
      },
    };
  }

  async close(): Promise<void> {
    await this.#pool.close();
    this.#engine.close();
    await this.#owned.settled();
  }

  /** @returns null when it could not be: the task needs a container of its own then. */
  async #handOver(
    warm: WarmContainer,
    job: Job,
    script: string,
    told: { image: RunEnd['image']; mask: MaskTable | null },
  ): Promise<Run | null> {
    const { emit, gridId } = this.#options;
    try {
      return await warm.handOver(job, script, told, gridId, this.#handOvers);
    } catch (error) {
      this.#pool.discard(warm);
      emit('pool.failed', { container: warm.name, task: job.key.taskId, err: error });
      return null;
    }
  }

  /** For a task that asks for nothing in particular. */
  async #usual(): Promise<Wanted | null> {
    const { nodeId, settings } = this.#options;
    const { cpus, memoryBytes, timeoutMs } = settings;
    for (const name of [settings.image, BUILT_IMAGE]) {
      const image = this.#images.isAllowed(name) ? await this.#images.inspect(name) : null;
      if (image === null) continue;
      const key = { taskId: taskId('none'), nodeId, incarnation: 'none', epoch: 0 };
      const program = { kind: 'script', script: '' } as const;
      const job = { key, attempt: 0, image: name, program, env: {}, cpus, memoryBytes, timeoutMs };
      return { spec: this.#specOf(job, '', image, await this.#surroundings(job)), image: { id: image.id, name } };
    }
    return null;
  }

  /** @throws ExecutorError of kind `rejected` for a network that is not allowed, or that the task asks for in vain. */
  async #networkMode(job: Job): Promise<string> {
    const { settings } = this.#options;
    const network = job.network ?? settings.network;
    if (!isNetworkAllowed(network, settings)) {
      throw new ExecutorError('rejected', `network ${JSON.stringify(network)} is not on the operator's list`);
    }
    const mode = await this.#networks.modeOf(network);
    if (mode !== null) return mode;
    if (network === settings.network) throw missingDefaultNetwork(network);
    // No trouble of the engine's: that would stop all other tasks too, and waiting makes no network.
    const remedy = 'let the operator create it, or require a label of nodes that have it';
    throw new ExecutorError('rejected', `network: ${JSON.stringify(network)} does not exist on this node; ${remedy}`);
  }

  #specOf(job: Job, nonce: string, image: PresentImage, around: Surroundings): ContainerSpec {
    const { gridId, maxOutputBytes, settings } = this.#options;
    const ofImage = { imageId: image.id, imageDigest: image.digest, imageVolumes: image.volumes };
    return containerSpec(job, settings, { gridId, nonce, maxOutputBytes, ...around, ...ofImage });
  }

  /** What of the engine the container depends on; all but the network is asked once. */
  async #surroundings(job: Job): Promise<Surroundings> {
    const [engineCpus, quirks, networkMode] = await Promise.all([
      this.#facts.cpus(),
      this.#facts.quirks(),
      this.#networkMode(job),
    ]);
    return { engineCpus, quirks, networkMode };
  }

  /** @param container of which only the name is known before it is made. */
  #contextFor(container: { name: string; id?: string } | null): RunContext {
    if (container !== null) this.#namesInUse.add(container.name);
    return {
      containers: this.#containers,
      facts: this.#facts,
      clock: this.#options.clock,
      maxOutputBytes: this.#options.maxOutputBytes,
      closed: this.#engine.closed,
      onRemoved: () => {
        if (container === null) return;
        this.#namesInUse.delete(container.name);
        if (container.id !== undefined) void this.#handOvers.forget(container.id);
      },
    };
  }

  async #imageOf(id: string, name: string): Promise<RunEnd['image']> {
    // A container outlives its image's name, and even its image.
    const found = await this.#images.inspect(id).catch(() => null);
    return { name, digest: found?.digest ?? id };
  }
}

function maskFor({ secrets = [] }: Job): MaskTable | null {
  return secrets.length === 0 ? null : new MaskTable(secrets.map(({ bytes }) => essence(bytes)));
}

function missingDefaultNetwork(network: string): ExecutorError {
  const remedy = 'create it with docker network create, or set DOCKER_NETWORK to one that is there';
  return new ExecutorError('engine-unavailable', `the engine has no network ${JSON.stringify(network)}: ${remedy}`);
}
