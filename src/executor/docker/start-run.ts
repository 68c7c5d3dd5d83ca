/**
 * Brings one container into being: create → attach → ask to be told of its end → start → hand over the script. In this
 * order nothing of its output and not its end can be missed, however short it is.
 *
 * When a step fails, the container is removed again. When the answer to a step is lost, the container is looked for by
 * its name, which was chosen here.
 */
import type { Duplex } from 'node:stream';
import type { MaskTable } from '../../secrets/stream-mask.ts';
import { ExecutorError, type Job, type RunEnd } from '../executor.ts';
import { bootstrapInput, bootstrapReadyLine } from './bootstrap.ts';
import type { ContainerSpec } from './container-spec.ts';
import { EngineResponseError, hasStatus, isConnectionLoss } from './engine.ts';
import { DockerRun, type RunContext, type RunStart } from './run.ts';
import { TaskOutput } from './task-output.ts';

export interface StartPlan {
  job: Job;
  name: string;
  nonce: string;
  spec: ContainerSpec;
  image: RunEnd['image'];
  mask: MaskTable | null;
}

/** @throws ExecutorError; nothing is left behind then, as far as the engine can be reached. */
export async function startRun(plan: StartPlan, context: RunContext): Promise<DockerRun> {
  const { clock } = context;
  const began = clock.monotonicMs();
  const { job } = plan;
  const up = await bringUp(plan, context);
  const { startError } = up;
  up.output.hide(plan.mask);
  if (startError === null && job.program.kind === 'script') {
    send(up.attached, bootstrapInput(job.program.script, {}, job.secrets));
  }
  const run: RunStart = {
    containerId: up.containerId,
    key: job.key,
    program: job.program.kind,
    nonce: plan.nonce,
    image: plan.image,
    mask: plan.mask,
    timeoutMs: job.timeoutMs,
    remainingMs: job.timeoutMs,
    output: up.output,
    ended: startError === null ? up.ended : null,
    startError,
    startedAtMs: startError === null ? clock.wallMs() : null,
    startMs: clock.monotonicMs() - began,
    waitedMs: null,
    adopted: false,
  };
  // Nothing more will be heard of a container that did not start.
  if (startError !== null) up.connection.abort();
  return new DockerRun(run, context);
}

export interface UpContainer {
  containerId: string;
  attached: Duplex;
  output: TaskOutput;
  ended: Promise<void>;
  /** Closes what is open to it. A container that waits on standard input ends with that. */
  connection: AbortController;
  /** Why the program could not be started, where that is its own fault; null when it runs. */
  startError: RunStart['startError'];
}

/** @throws ExecutorError; nothing is left behind then, as far as the engine can be reached. */
export async function bringUp(
  plan: Pick<StartPlan, 'name' | 'nonce' | 'spec'>,
  context: RunContext,
): Promise<UpContainer> {
  const { clock, containers, maxOutputBytes } = context;
  const containerId = await create(plan, context);
  const connection = new AbortController();
  try {
    const attached = await containers.attach(containerId, plan.spec.AttachStdin, connection.signal);
    const output = new TaskOutput(attached, bootstrapReadyLine(plan.nonce), maxOutputBytes, clock);
    const { ended } = await containers.wait(containerId, 'next-exit', connection.signal);
    const startError = await start(containerId, context);
    return { containerId, attached, output, ended, connection, startError };
  } catch (error) {
    connection.abort();
    await removeQuietly(containerId, context);
    throw error;
  }
}

async function create({ name, spec }: Pick<StartPlan, 'name' | 'spec'>, context: RunContext): Promise<string> {
  try {
    return await context.containers.create(name, spec);
  } catch (error) {
    // It may have been created all the same.
    if (isConnectionLoss(error)) await removeQuietly(name, context);
    if (hasStatus(error, 404)) throw new ExecutorError('image-unavailable', messageOf(error), { cause: error });
    throw error;
  }
}

/** @returns why the program could not be started, where that is the task's own fault; null when it runs. */
async function start(containerId: string, { containers }: RunContext): Promise<RunStart['startError']> {
  try {
    await containers.start(containerId);
    return null;
  } catch (error) {
    const found = await containers.inspect(containerId);
    if (found === null) throw error;
    const { state } = found;
    // The answer was lost, the container was not.
    if (isConnectionLoss(error) && state.status !== 'created') return null;
    const isProgramsFault =
      error instanceof EngineResponseError &&
      error.kind !== 'engine-full' &&
      (error.status === 400 || error.status === 404 || state.exitCode === 126 || state.exitCode === 127);
    if (!isProgramsFault || state.status !== 'created') throw error;
    return { exitCode: state.exitCode === 0 ? null : state.exitCode, message: state.error || error.message };
  }
}

/** Not awaited: a task that does not read, or is gone already, must not hold us up. Its output tells what became of it. */
export function send(attached: Duplex, input: Buffer): void {
  attached.write(input);
}

async function removeQuietly(idOrName: string, { containers, onRemoved }: RunContext): Promise<void> {
  try {
    await containers.remove(idOrName);
    onRemoved();
  } catch {
    // The first error is the one to tell. The container carries our labels, so the next clean-up finds it.
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
