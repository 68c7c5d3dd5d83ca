/**
 * The executor port on a container engine with Docker's interface.
 *
 * State: the names of the containers that this process is responsible for. A name is taken before its container is
 * created and given back once it is removed, so that cleaning up never meets a container between two of our steps.
 */
import type { DockerSettings } from '../../config/settings.ts';
import type { Emit } from '../../observe/events.ts';
import type { Clock, RandomHex } from '../../runtime.ts';
import type { NodeId } from '../../task/id.ts';
import {
  type CleanReport,
  type CleanStep,
  type EngineInfo,
  type Executor,
  ExecutorError,
  type FoundRun,
  type Job,
  type Run,
  type RunEnd,
  type RunKey,
} from '../executor.ts';
import { clean } from './clean.ts';
import { containerSpec } from './container-spec.ts';
import { Containers } from './containers.ts';
import { Engine } from './engine.ts';
import { EngineFacts } from './engine-facts.ts';
import { findRuns } from './found-runs.ts';
import { Images } from './images.ts';
import { OwnedImages } from './owned-images.ts';
import type { RunContext } from './run.ts';
import { startRun } from './start-run.ts';

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
  clock: Clock;
  randomHex: RandomHex;
  emit: Emit;
  /** Runs that the caller still needs although they ended, beside those that were started or taken up here. */
  isLive?: (key: RunKey) => boolean;
}

export class DockerExecutor implements Executor {
  readonly #options: DockerExecutorOptions;
  readonly #engine: Engine;
  readonly #facts: EngineFacts;
  readonly #containers: Containers;
  readonly #owned: OwnedImages;
  readonly #images: Images;
  readonly #namesInUse = new Set<string>();

  constructor(options: DockerExecutorOptions) {
    const { settings, clock, emit } = options;
    this.#options = options;
    this.#engine = new Engine(settings, clock);
    this.#facts = new EngineFacts(this.#engine);
    this.#containers = new Containers(this.#engine, emit);
    this.#owned = new OwnedImages(options.ownedImagesFile);
    this.#images = new Images(this.#engine, this.#facts, this.#owned, settings, emit);
  }

  async probe(signal?: AbortSignal): Promise<EngineInfo> {
    return await this.#facts.probe(signal);
  }

  async ensureImage(image: string, signal?: AbortSignal): Promise<{ name: string; digest: string; pullMs: number }> {
    return await this.#images.ensure(image, signal);
  }

  async start(job: Job): Promise<Run> {
    const { gridId, maxOutputBytes, randomHex, settings } = this.#options;
    if (!this.#images.isAllowed(job.image)) {
      throw new ExecutorError('rejected', `image ${JSON.stringify(job.image)} is not on the operator's list`);
    }
    const [image, engineCpus] = await Promise.all([this.#images.inspect(job.image), this.#facts.cpus()]);
    if (image === null) throw new ExecutorError('image-unavailable', `image ${job.image} is not there`);
    const nonce = randomHex(NONCE_BYTES);
    const spec = containerSpec(job, settings, {
      gridId,
      nonce,
      maxOutputBytes,
      engineCpus,
      imageVolumes: image.volumes,
    });
    const name = `dgrid-${job.key.taskId}-${job.key.epoch}-${randomHex(NAME_SUFFIX_BYTES)}`;
    const context = this.#contextFor(name);
    try {
      return await startRun({ job, name, nonce, spec, image: { name: job.image, digest: image.digest } }, context);
    } catch (error) {
      context.onRemoved(); // whatever is left of it is a leftover now
      throw error;
    }
  }

  async findRuns(nodeId: NodeId): Promise<FoundRun[]> {
    return await findRuns(nodeId, this.#contextFor(null), {
      gridId: this.#options.gridId,
      emit: this.#options.emit,
      contextFor: (name) => this.#contextFor(name),
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
      settings,
      gridId,
      nodeId,
      emit,
      isInUse: (name: string, key: RunKey) => this.#namesInUse.has(name) || isLive?.(key) === true,
    };
    return await clean(step, context, signal);
  }

  async close(): Promise<void> {
    this.#engine.close();
    await this.#owned.settled();
  }

  #contextFor(name: string | null): RunContext {
    if (name !== null) this.#namesInUse.add(name);
    return {
      containers: this.#containers,
      facts: this.#facts,
      clock: this.#options.clock,
      maxOutputBytes: this.#options.maxOutputBytes,
      closed: this.#engine.closed,
      onRemoved: () => {
        if (name !== null) this.#namesInUse.delete(name);
      },
    };
  }

  async #imageOf(id: string, name: string): Promise<RunEnd['image']> {
    // A container outlives its image's name, and even its image.
    const found = await this.#images.inspect(id).catch(() => null);
    return { name, digest: found?.digest ?? id };
  }
}
