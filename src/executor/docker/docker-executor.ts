/**
 * The executor port on a container engine with Docker's interface.
 *
 * State: the names of the containers that this process is responsible for. A name is taken before its container is
 * created and given back once it is removed, so that cleaning up never meets a container between two of our steps.
 */
import type { DockerSettings } from '../../config/settings.ts';
import type { Emit } from '../../observe/events.ts';
import type { Clock, RandomHex } from '../../runtime.ts';
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
  type Run,
  type RunEnd,
  type RunKey,
} from '../executor.ts';
import { canTravel } from './bootstrap.ts';
import { BUILT_IMAGE } from './busybox-image.ts';
import { clean } from './clean.ts';
import { type ContainerSpec, containerSpec, type SpecContext, taskEnv } from './container-spec.ts';
import { Containers } from './containers.ts';
import { Engine } from './engine.ts';
import { EngineFacts } from './engine-facts.ts';
import { findRuns } from './found-runs.ts';
import { HandOvers } from './hand-overs.ts';
import { Images, type PresentImage } from './images.ts';
import { OwnedImages } from './owned-images.ts';
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
  /** Runs that the caller still needs although they ended, beside those that were started or taken up here. */
  isLive?: (key: RunKey) => boolean;
}

type Machine = Pick<SpecContext, 'engineCpus' | 'quirks'>;

export class DockerExecutor implements Executor {
  readonly #options: DockerExecutorOptions;
  readonly #engine: Engine;
  readonly #facts: EngineFacts;
  readonly #containers: Containers;
  readonly #owned: OwnedImages;
  readonly #images: Images;
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
    this.#images = new Images(this.#engine, this.#facts, this.#owned, settings, emit);
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
    return await this.#facts.probe(signal);
  }

  async ensureImage(image: string, signal?: AbortSignal): Promise<{ name: string; digest: string; pullMs: number }> {
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
    const [image, machine] = await Promise.all([this.#images.present(job.image), this.#machine()]);
    if (image === null) throw new ExecutorError('image-unavailable', `image ${job.image} is not there`);
    const nonce = randomHex(NONCE_BYTES);
    const spec = this.#specOf(job, nonce, image, machine);
    const ofRun = { name: job.image, digest: image.digest };
    if (job.program.kind === 'script' && canTravel(job.program.script, taskEnv(job))) {
      const warm = this.#pool.take({ spec, image: { id: image.id, name: job.image } });
      const run = warm && (await this.#handOver(warm, job, job.program.script, ofRun));
      if (run) return run;
    }
    const name = `dgrid-${job.key.taskId}-${job.key.epoch}-${randomHex(NAME_SUFFIX_BYTES)}`;
    const context = this.#contextFor({ name });
    try {
      return await startRun({ job, name, nonce, spec, image: ofRun }, context);
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

  async clean(step: CleanStep, signal?: AbortSignal): Promise<CleanReport> {
    const { settings, gridId, nodeId, emit, isLive } = this.#options;
    const context = {
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
    };
    // No image goes while a container of it waits.
    if (step.kind === 'own-images' || step.kind === 'dangling-images') await this.#pool.empty();
    return await clean(step, context, signal);
  }

  async close(): Promise<void> {
    await this.#pool.close();
    this.#engine.close();
    await this.#owned.settled();
  }

  /** @returns null when it could not be: the task needs a container of its own then. */
  async #handOver(warm: WarmContainer, job: Job, script: string, image: RunEnd['image']): Promise<Run | null> {
    const { emit, gridId } = this.#options;
    try {
      return await warm.handOver(job, script, image, gridId, this.#handOvers);
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
      return { spec: this.#specOf(job, '', image, await this.#machine()), image: { id: image.id, name } };
    }
    return null;
  }

  #specOf(job: Job, nonce: string, image: PresentImage, machine: Machine): ContainerSpec {
    const { gridId, maxOutputBytes, settings } = this.#options;
    return containerSpec(job, settings, { gridId, nonce, maxOutputBytes, ...machine, imageVolumes: image.volumes });
  }

  /** Both are asked once. */
  async #machine(): Promise<Machine> {
    const [engineCpus, quirks] = await Promise.all([this.#facts.cpus(), this.#facts.quirks()]);
    return { engineCpus, quirks };
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
