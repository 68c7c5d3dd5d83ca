/**
 * One container that was made and started before its task is known, and waits for it on standard input.
 *
 *     waiting ──handOver──▶ a run, like any other from then on
 *        └────────drop────▶ removed
 *
 * Either happens once. While it waits, both connections to the engine that a run needs are open, so that giving it its
 * task takes no call. The worker's death closes them, and standard input with them, which ends the container.
 */
import type { MaskTable } from '../../secrets/stream-mask.ts';
import type { Job, RunEnd } from '../executor.ts';
import { bootstrapInput, readBootstrapFailure, readInitFailure } from './bootstrap.ts';
import { type ContainerSpec, taskEnv } from './container-spec.ts';
import type { HandOvers } from './hand-overs.ts';
import { DockerRun, type RunContext } from './run.ts';
import { bringUp, send, type UpContainer } from './start-run.ts';

export interface WarmPlan {
  name: string;
  nonce: string;
  spec: ContainerSpec;
}

export class WarmContainer {
  readonly name: string;
  readonly #nonce: string;
  readonly #up: UpContainer;
  readonly #context: RunContext;
  readonly #startedMs: number;
  /** Resolves when it can't be given a task any more, for whatever reason. */
  readonly gone: Promise<void>;

  private constructor(plan: WarmPlan, up: UpContainer, context: RunContext) {
    this.name = plan.name;
    this.#nonce = plan.nonce;
    this.#up = up;
    this.#context = context;
    this.#startedMs = context.clock.monotonicMs();
    const ended = up.ended.catch(() => {}); // nothing more would be heard of its end, which comes to the same
    this.gone = Promise.race([up.output.over, ended]);
  }

  /** @throws ExecutorError; nothing is left behind then, as far as the engine can be reached. */
  static async make(plan: WarmPlan, context: RunContext): Promise<WarmContainer> {
    const up = await bringUp(plan, context);
    return new WarmContainer(plan, up, context);
  }

  get #id(): string {
    return this.#up.containerId;
  }

  get waitedMs(): number {
    return this.#context.clock.monotonicMs() - this.#startedMs;
  }

  /** It started, and has said nothing since: whatever there is to hear of it later is the task's. */
  get isFit(): boolean {
    return this.#up.startError === null && this.#up.output.isSilent && !this.#up.connection.signal.aborted;
  }

  /**
   * Makes it the run of a task. Its time begins now.
   * @throws when it can't be: it was sent nothing then, so the task may be given to another one.
   */
  async handOver(
    job: Job,
    script: string,
    { image, mask }: { image: RunEnd['image']; mask: MaskTable | null },
    gridId: string,
    notes: HandOvers,
  ): Promise<DockerRun> {
    const { clock } = this.#context;
    const began = clock.monotonicMs();
    const { waitedMs } = this;
    const { key, attempt } = job;
    const labels = { gridId, key, attempt, program: 'script', nonce: this.#nonce, image } as const;
    const input = bootstrapInput(script, taskEnv(job), job.secrets);
    await notes.note(this.#id, { labels, waitedMs });
    if (!this.isFit) {
      await notes.forget(this.#id);
      throw new Error('the container ended while it was given its task');
    }
    this.#up.output.hide(mask);
    send(this.#up.attached, input);
    const now = clock.monotonicMs();
    return new DockerRun(
      {
        containerId: this.#id,
        key: job.key,
        program: 'script',
        nonce: this.#nonce,
        image,
        mask,
        timeoutMs: job.timeoutMs,
        remainingMs: job.timeoutMs,
        output: this.#up.output,
        ended: this.#up.ended,
        startError: null,
        startedAtMs: clock.wallMs(),
        startMs: now - began,
        waitedMs,
        adopted: false,
      },
      {
        ...this.#context,
        onRemoved: () => {
          this.#context.onRemoved();
          void notes.forget(this.#id);
        },
      },
    );
  }

  /** @throws ExecutorError when it could not be removed; what is left of it is found by its labels. */
  async drop(): Promise<void> {
    this.#up.connection.abort();
    try {
      await this.#context.containers.remove(this.#id);
    } finally {
      this.#context.onRemoved();
    }
  }

  /**
   * How it ended by itself.
   * @returns `isUnable`: its image has no shell, or not what waiting takes, so that another one would end like it.
   */
  async postMortem(): Promise<{ exitCode: number | null; isUnable: boolean }> {
    const { output, startError } = this.#up;
    if (startError !== null) return { exitCode: startError.exitCode, isUnable: true };
    const found = await this.#context.containers.inspect(this.#id);
    const exitCode = found?.state.status === 'ended' ? found.state.exitCode : null;
    const { bytes } = output.stderr();
    const failure = readBootstrapFailure(exitCode, bytes, this.#nonce);
    const isUnable = readInitFailure(exitCode, bytes) !== null || (failure !== null && failure !== 'incomplete');
    return { exitCode, isUnable };
  }
}
