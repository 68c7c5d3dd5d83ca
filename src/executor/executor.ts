/**
 * The executor port: what the agent needs of a container engine.
 *
 * Call order for one task: `start` → await `run.ended` → (the caller makes the result durable) → `run.dispose`.
 * `start` may overlap for different tasks. `stop` and `dispose` are idempotent. Nothing is removed before `dispose`, so
 * that a worker which dies in between finds the container again through `adopt`.
 */

import type { Secret } from '../secrets/secret.ts';
import type { NodeId, TaskId } from '../task/id.ts';
import type { CapturedOutput } from '../task/result.ts';

/** What identifies one execution. Written as labels on the container. */
export interface RunKey {
  taskId: TaskId;
  nodeId: NodeId;
  /** The incarnation of the worker that made the claim. */
  incarnation: string;
  /** Fencing number of the claim. */
  epoch: number;
}

export interface Job {
  key: RunKey;
  attempt: number;
  image: string;
  /** What `ensureImage` found under that name: the container is made of this, wherever the name may point by then. */
  pinned?: { id: string; digest: string | null };
  program: { kind: 'script'; script: string } | { kind: 'command'; argv: readonly string[] };
  env: Readonly<Record<string, string>>;
  /** By name; left out: the operator's. */
  network?: string;
  /** For a script: files in memory, in the directory that DGRID_SECRETS_DIR names, and masked in what it prints. */
  secrets?: readonly Secret[];
  cpus: number;
  memoryBytes: number;
  timeoutMs: number;
}

/** Why we ended a container ourselves; remembered first, because an exit code of 137 tells nothing. */
export type StopReason = 'timeout' | 'cancelled' | 'handed-back' | 'fenced' | 'withdrawn';

export type RunVerdict =
  /** `childOutOfMemory`: a process of the task was killed for lack of memory, and the task ended with 0 all the same. */
  | { kind: 'exited'; exitCode: number; outOfMemory: boolean; childOutOfMemory?: true }
  /** The process could not be started because of the task itself: missing binary, not executable. */
  | { kind: 'unstartable'; exitCode: number | null; message: string }
  /** We stopped it. */
  | { kind: 'stopped'; reason: StopReason; exitCode: number | null }
  /** The container vanished or never got its script: nothing can be said of the task, it may be tried again. */
  | { kind: 'vanished'; message: string };

export interface RunEnd {
  verdict: RunVerdict;
  stdout: CapturedOutput;
  stderr: CapturedOutput;
  /** The engine was away when the task ended, so what it wrote last may be missing. */
  outputIsCut?: true;
  /** It is left out, because secrets in it could not be masked. */
  outputIsWithheld?: true;
  startedAtMs: number | null;
  finishedAtMs: number;
  timingsMs: { pull: number | null; start: number | null; run: number | null; collect: number | null };
  usage: { cpuSeconds: number | null; peakMemoryBytes: number | null };
  image: { name: string; digest: string | null };
}

/** The beginning of what a stream holds so far. Whatever is kept of the stream in the end begins with these bytes. */
export interface WrittenStream {
  bytes: Uint8Array;
  /** False when the task wrote more than that. */
  isWhole: boolean;
}

export interface Run {
  readonly key: RunKey;
  /** Its container had been made ahead, and waited for a task. */
  readonly isWarm?: boolean;
  /** Never rejects for what the task did; rejects with ExecutorError when the engine failed us for good. */
  readonly ended: Promise<RunEnd>;
  /**
   * What the task has written so far, with its secrets masked: what may yet become one is held back. Empty while it is not known.
   * @param maxBytes of each stream
   */
  written(maxBytes: number): { stdout: WrittenStream; stderr: WrittenStream };
  /** Asks the process to end (TERM, then KILL after a short grace). The first reason given stays. */
  stop(reason: StopReason): void;
  /** Removes the container and all that belongs to it. Never throws for what is gone already. */
  dispose(): Promise<void>;
}

/** A container of this node found after a restart: running, or ended and not yet removed. */
export interface FoundRun {
  key: RunKey;
  attempt: number;
  state: 'running' | 'ended' | 'created';
  /** Takes the run up again: output from its beginning as far as the engine kept it, the rest of its time limit. */
  resume(job: { timeoutMs: number; image: string }): Run;
  /** Kills and removes it. */
  discard(): Promise<void>;
}

/** What a container may use of the machine. */
export type TaskLimit = 'memory' | 'cpus' | 'pids';

export interface EngineInfo {
  name: string;
  version: string;
  apiVersion: string;
  cgroupVersion: '1' | '2' | 'unknown';
  /** Whether the weight of a task takes effect; null: the engine does not say. */
  weighsCpus: boolean | null;
  /** The engine's data directory, whose file system the disk threshold watches; null when it does not say. */
  dataRoot: string | null;
  cpus: number;
  memoryBytes: number;
  /** Limits that it would leave away from a task's container without a word. */
  missingLimits: readonly TaskLimit[];
}

export interface ImageUsage {
  id: string;
  name: string;
  bytes: number;
}

/** One step of freeing disk space, in the engine's terms. Carried out by `clean`, planned by `host/healing.ts`. */
export type CleanStep =
  /** Containers of this node that ended, and that nobody needs. */
  | { kind: 'own-containers' }
  /** Containers that were made ahead of tasks. */
  | { kind: 'waiting-containers' }
  /** One image that this worker brought, by its full name. */
  | { kind: 'own-image'; image: string }
  | { kind: 'dangling-images' }
  | { kind: 'build-cache' };

/** A step that has something to remove now. */
export interface Reclaimable {
  step: CleanStep;
  /** What it is likely to free: of images what they share with none that stay. 0: none, null: not known before. */
  bytes: number | null;
  inodes: number | null;
  /** The image that most tasks need: only when nothing else has helped. */
  isLastResort: boolean;
}

export interface CleanReport {
  step: CleanStep['kind'];
  removed: string[];
}

/**
 * Whether containers may be made ahead of tasks. `fill`: as many as are useful; `hold`: what waits may stay, nothing is
 * added; `empty`: nothing may wait.
 */
export type Readiness = 'fill' | 'hold' | 'empty';

/** Figures on containers that were made ahead of tasks. */
export interface PoolStats {
  limit: number;
  waiting: number;
  /** Scripts that found one, and scripts that did not. */
  hits: number;
  misses: number;
  /** Ended while they waited. */
  died: number;
  kinds: { image: string; network: string; cpus: number; memory_bytes: number; waiting: number }[];
}

export interface Executor {
  /** @throws ExecutorError */
  probe(signal?: AbortSignal): Promise<EngineInfo>;
  /**
   * Makes the image present by the pull policy. Progress goes to the events.
   * @returns the local name to run (differs from `image` only for a default image that had to be built on the spot), and
   *   what it stands for now.
   * @throws ExecutorError of kind `image-unavailable` when it can't be had.
   */
  ensureImage(
    image: string,
    signal?: AbortSignal,
  ): Promise<{ name: string; id: string | null; digest: string | null; pullMs: number }>;
  /** Tasks of these images are being claimed: what has to be known of an image can be found out meanwhile. Never throws. */
  foresee(images: readonly string[]): void;
  /** Creates and starts a container. @throws ExecutorError */
  start(job: Job): Promise<Run>;
  /**
   * Said again and again while the worker runs, for the first time when it has taken its place in the grid. Until then
   * nothing is made ahead; and what an earlier life made ahead and gave to no task is removed from then on.
   */
  prepare(readiness: Readiness): void;
  /** null: this executor makes nothing ahead. */
  poolStats(): PoolStats | null;
  /** All containers that carry this node's label and have a task. @throws ExecutorError */
  findRuns(nodeId: NodeId): Promise<FoundRun[]>;
  /**
   * What `clean` could remove now, images by their last use, the longest ago first. Changes nothing.
   * @throws ExecutorError
   */
  reclaimable(signal?: AbortSignal): Promise<Reclaimable[]>;
  /** Removes only what carries our labels (or, for dangling images and build cache, what the operator allowed). */
  clean(step: CleanStep, signal?: AbortSignal): Promise<CleanReport>;
  close(): Promise<void>;
}

export const EXECUTOR_ERROR_KINDS = [
  /** The engine does not answer, or its socket is not there. */
  'engine-unavailable',
  /** It accepted the call and did not answer within the deadline. */
  'engine-timeout',
  /** The disk under the engine is full, read-only or broken: no container can be made here now, of whatever task. */
  'engine-full',
  'image-unavailable',
  /** What the task asks for is not on the operator's lists, above a cap, or not to be had on this node. */
  'rejected',
  'engine-error',
] as const;
export type ExecutorErrorKind = (typeof EXECUTOR_ERROR_KINDS)[number];

export class ExecutorError extends Error {
  override readonly name = 'ExecutorError';
  readonly kind: ExecutorErrorKind;
  constructor(kind: ExecutorErrorKind, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.kind = kind;
  }
}
