/** The composition root: builds the adapters from the settings, joins them, and lets the worker run. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { assemble, type Worker } from './agent/assemble.ts';
import { GATE_REASONS } from './agent/gate.ts';
import { isWorthALook } from './agent/push-filter.ts';
import { NO_SIGNATURES, type SigningPorts } from './agent/signature-check.ts';
import { MIN_HTTP_TOKEN_LENGTH, MIN_WEBHOOK_SECRET_LENGTH } from './config/options.ts';
import type { Settings } from './config/settings.ts';
import { isImageAllowed } from './executor/docker/allow-list.ts';
import { DockerExecutor } from './executor/docker/docker-executor.ts';
import { gridIdOf } from './executor/docker/grid-id.ts';
import { isNetworkAllowed } from './executor/docker/network-list.ts';
import type { Executor } from './executor/executor.ts';
import { GitError, RETRYABLE, WAITS } from './git/errors.ts';
import { type OpenedRepository, openRepository } from './git/open-repository.ts';
import type { Repository } from './git/repository.ts';
import { InstanceLock } from './host/instance-lock.ts';
import { machineId } from './host/machine-id.ts';
import { NonceMemory } from './host/nonce-memory.ts';
import { Quota } from './host/quota.ts';
import { Sensors } from './host/sensors.ts';
import { findNamespace, type Namespace, namespaceOf } from './ledger/names.ts';
import { FileOutbox } from './ledger/outbox.ts';
import type { Retry } from './ledger/publisher.ts';
import type { Emit } from './observe/events.ts';
import type { HealthDocument } from './observe/health-document.ts';
import { keptSecret } from './observe/http/kept-secret.ts';
import type { PushHook } from './observe/http/push-hook.ts';
import type { HttpOptions } from './observe/http/server.ts';
import { MetricsRecorder } from './observe/metrics/recorder.ts';
import { withRetry } from './retry.ts';
import { type Clock, type RandomFraction, type RandomHex, systemRandomFraction, systemRandomHex } from './runtime.ts';

import { leaveUnsigned, resultSigner } from './signing/result-signer.ts';
import { TaskVerifier } from './signing/task-verifier.ts';
import { healthOf, withCloneSize } from './worker-health.ts';
import { WorkerPages } from './worker-pages.ts';

/** Until the first listing has shown the remote's hash, a remote that is away is asked again at this pace. */
const FIRST_CONTACT_PAUSE_MS = 10_000;

/** Connections are few and are cut off, so it takes no time. */
const CLOSE_PAGES_MS = 5_000;

export interface RunningWorker {
  worker: Worker;
  /** Resolves when the worker has stopped in order. */
  done: Promise<void>;
}

export interface WorkerOptions {
  settings: Settings;
  untilIdle: boolean;
  version: string;
  clock: Clock;
  emit: Emit;
  operatorEnv: NodeJS.ProcessEnv;
  /** Aborted when the worker is asked to stop before it has begun. */
  signal: AbortSignal;
  /** Told of secrets that become known while it runs, so that the log can mask them. */
  learnSecret?: (secret: string) => void;
  /** In the place of the container engine that the settings name. */
  executor?: Executor;
}

/**
 * @throws InstanceLockError when another worker uses the state directory; GitError when the repository can't be had for a
 *   reason that waiting won't mend; the file system's error when the state directory can't be used.
 */
export async function startWorker(options: WorkerOptions): Promise<RunningWorker> {
  const { settings, clock, version } = options;
  const { nodeId, stateDir } = settings;
  // Counting begins with the first event, whenever somebody asks.
  const recorder = settings.httpPort === 0 ? null : new MetricsRecorder(clock);
  let joined: Worker | null = null;
  const pages = settings.httpPort === 0 ? null : new WorkerPages({ settings, version, clock, joined: () => joined });
  const counted = recorder?.countingTo(options.emit) ?? options.emit;
  const emit: Emit = (name, fields) => {
    counted(name, fields);
    pages?.noteEvent(name, fields);
  };
  const learnSecret = options.learnSecret ?? (() => {});
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  const { lockWaitMs: waitMs } = settings;
  const lock = await InstanceLock.acquire({ stateDir, nodeId, clock, waitMs, signal: options.signal, emit });
  let opened: OpenedRepository | null = null;
  const health = (): HealthDocument | null =>
    joined && opened && healthOf({ worker: joined, repository: opened, settings, version, clock });
  // Before the first contact, so that a worker that waits for its repository shows as alive.
  const http = await startHttp(settings, () => joined, { clock, emit, recorder, health, pages, version, learnSecret });
  // In this order: the next worker may be waiting for the lock, and will want the port.
  const release = async (): Promise<void> => {
    if (http) {
      const closed = new AbortController();
      const closing = http.close().finally(() => closed.abort());
      await Promise.race([closing, clock.sleep(CLOSE_PAGES_MS, closed.signal)]);
    }
    await lock.release();
  };
  try {
    const randomHex: RandomHex = systemRandomHex;
    const machine = await machineId({ stateDir, randomHex, clock, emit });
    const repository = openRepository(settings.git, settings.repoPath, {
      clock,
      emit,
      random: systemRandomFraction,
      operatorEnv: options.operatorEnv,
    });
    opened = repository;
    const executor =
      options.executor ??
      openExecutor(settings, {
        clock,
        emit,
        learnSecret,
        // Until this worker has joined, containers of an earlier run may still be taken up, ended ones too.
        isLive: () => joined === null || joined.agent.state === 'starting',
      });
    const sensors = new Sensors({ clock });
    const quota = await Quota.open({
      path: join(stateDir, 'quota.json'),
      maxPerHour: settings.maxTasksPerHour,
      clock,
      emit,
    });
    const namespace =
      namespaceOf(settings.refNamespace) ?? (await firstContact(repository, clock, emit, options.signal));
    const worker = assemble({
      settings,
      ports: {
        repository,
        executor,
        sensors,
        quota,
        signing: await signingPorts(settings, { clock, emit }),
        outbox: new FileOutbox(join(stateDir, 'outbox'), { clock, emit }),
        retry: retryOf(settings, clock, emit, systemRandomFraction),
        clock,
        randomHex,
        emit,
      },
      machine,
      namespace,
      allowsImage: (image) => isImageAllowed(image, settings.docker.allowedImages),
      allowsNetwork: (network) => isNetworkAllowed(network, settings.docker),
      version,
      description: { ...(await sensors.describe()) },
      untilIdle: options.untilIdle,
      learnSecret,
      ...(pages ? { history: pages.history } : {}),
    });
    joined = worker;
    return { worker, done: runUntilStopped(worker, release) };
  } catch (error) {
    await release();
    throw error;
  }
}

/** @throws StateFileError when the memory of signed starts cannot be read or written. */
async function signingPorts(
  { signing, stateDir, maxTaskBytes }: Settings,
  { clock, emit }: { clock: Clock; emit: Emit },
): Promise<SigningPorts> {
  const { trustedKeysFile } = signing;
  const sign = signing.nodeKeyFile === null ? leaveUnsigned : resultSigner(signing.nodeKeyFile, emit);
  if (trustedKeysFile === null) return { ...NO_SIGNATURES, sign };
  return {
    verifier: new TaskVerifier({ ...signing, trustedKeysFile, maxTaskBytes, clock }),
    starts: await NonceMemory.open({ path: join(stateDir, 'signed-starts.jsonl'), clock, emit }),
    sign,
  };
}

async function runUntilStopped(worker: Worker, release: () => Promise<void>): Promise<void> {
  try {
    await worker.agent.run();
  } finally {
    await release();
  }
}

/** @param parts.isLive runs that must be kept although they ended, beside those of this process. */
export function openExecutor(
  settings: Settings,
  parts: { clock: Clock; emit: Emit; learnSecret?: (secret: string) => void; isLive?: () => boolean },
): DockerExecutor {
  return new DockerExecutor({
    settings: settings.docker,
    gridId: gridIdOf(settings.git.repoUrl),
    nodeId: settings.nodeId,
    maxOutputBytes: settings.maxOutputBytes,
    ownedImagesFile: join(settings.stateDir, 'images.json'),
    handOversDir: join(settings.stateDir, 'hand-overs'),
    randomHex: systemRandomHex,
    ...parts,
  });
}

async function firstContact(repository: Repository, clock: Clock, emit: Emit, signal: AbortSignal): Promise<Namespace> {
  for (;;) {
    try {
      return await findNamespace(repository, signal);
    } catch (error) {
      const waits = error instanceof GitError && WAITS[error.kind];
      if (!waits || signal.aborted) throw error;
      emit('poll.failed', { err: error });
      await clock.sleep(FIRST_CONTACT_PAUSE_MS, signal);
    }
  }
}

function retryOf(settings: Settings, clock: Clock, emit: Emit, random: RandomFraction): Retry {
  return (operation, attempt, signal) =>
    withRetry(
      attempt,
      { attempts: settings.git.retryAttempts, baseMs: settings.git.retryBaseMs, retryable: RETRYABLE },
      {
        clock,
        emit,
        random,
        operation,
        signal,
        aborted: (cause) => new GitError('aborted', operation, `${operation} was aborted`, { cause }),
      },
    );
}

/** A second worker on the box finds the port taken: that costs it its pages, not its work. */
async function startHttp(
  settings: Settings,
  joined: () => Worker | null,
  parts: {
    clock: Clock;
    emit: Emit;
    /** null, as the pages, where nothing is served. */
    recorder: MetricsRecorder | null;
    health: () => HealthDocument | null;
    pages: WorkerPages | null;
    version: string;
    learnSecret: (secret: string) => void;
  },
): Promise<{ close: () => Promise<void> } | null> {
  const { clock, emit, health, pages, recorder, version } = parts;
  if (recorder === null || pages === null) return null;
  // Loaded when it is used: a box without the pages does not pay for them.
  const { startHttpServer } = await import('./observe/http/server.ts');
  const options: HttpOptions = {
    host: settings.httpHost,
    port: settings.httpPort,
    source: {
      hasJoined: () => (joined()?.agent.state ?? 'starting') !== 'starting',
      reasons: () => notReady(joined()),
      details: withCloneSize(settings, health, { clock, version }),
    },
    metrics: { recorder, health, gateReasons: GATE_REASONS, version, clock },
    access: {
      token: keptSecret({
        secret: settings.httpToken,
        file: settings.httpTokenFile,
        minLength: MIN_HTTP_TOKEN_LENGTH,
        clock,
        learn: parts.learnSecret,
      }),
      host: settings.httpHost,
      clock,
      emit,
    },
    hook: pushHook(settings, joined, parts),
    pages: pages.parts,
  };
  try {
    const server = await startHttpServer(options);
    emit('http.listening', {
      host: settings.httpHost,
      port: server.port,
      token: options.access.token !== null,
      webhook: options.hook !== null,
    });
    return server;
  } catch (error) {
    emit('http.unavailable', { host: settings.httpHost, port: settings.httpPort, err: error });
    return null;
  }
}

/** Before the worker has joined there is nothing to wake: it begins with a look. */
function pushHook(
  settings: Settings,
  joined: () => Worker | null,
  { clock, emit, learnSecret }: { clock: Clock; emit: Emit; learnSecret: (secret: string) => void },
): PushHook | null {
  const secret = keptSecret({
    secret: settings.webhookSecret,
    file: settings.webhookSecretFile,
    minLength: MIN_WEBHOOK_SECRET_LENGTH,
    clock,
    learn: learnSecret,
  });
  if (secret === null) return null;
  return {
    secret,
    concerns: (push) => {
      const view = joined()?.reader.view;
      return isWorthALook(push, view && Number.isFinite(view.listedAtMs) ? view : null);
    },
    lookNow: () => joined()?.agent.lookNow('webhook'),
    clock,
    emit,
  };
}

/** Before the first contact with the repository there is no worker to ask yet. */
function notReady(worker: Worker | null): { reason: string; text: string }[] {
  const state = worker?.agent.state ?? 'starting';
  const own = state === 'running' ? [] : [{ reason: state, text: `the worker is ${state}` }];
  return [...own, ...(worker?.gate.reasons ?? [])];
}
