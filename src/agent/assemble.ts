/**
 * Joins the parts of a worker around its ports (repository, executor, clock). Builds no adapter, so that the same worker
 * runs in production and in a simulation.
 */
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Settings } from '../config/settings.ts';
import type { Executor } from '../executor/executor.ts';
import type { Repository } from '../git/repository.ts';
import { Healer } from '../host/healer.ts';
import type { HourlyQuota } from '../host/quota.ts';
import type { Sensors } from '../host/sensors.ts';
import { writeStateFile } from '../host/state-file.ts';
import { machineLocalTime } from '../host/working-time.ts';
import { ClaimBook } from '../ledger/claims.ts';
import { DeathWatch } from '../ledger/death-watch.ts';
import { GridReader } from '../ledger/grid-view.ts';
import { Membership } from '../ledger/membership.ts';
import { type Namespace, namespaceOf } from '../ledger/names.ts';
import { Observations } from '../ledger/observations.ts';
import { OrderedRepository } from '../ledger/ordered-repository.ts';
import type { Outbox } from '../ledger/outbox.ts';
import { OutputSweep } from '../ledger/output-sweep.ts';
import { Publisher, type Retry } from '../ledger/publisher.ts';
import { Recorder } from '../ledger/recorder.ts';
import { Settler } from '../ledger/settler.ts';
import { SpecCache } from '../ledger/spec-cache.ts';
import { StateWriter } from '../ledger/state-writer.ts';
import type { Emit } from '../observe/events.ts';
import type { GridHistory } from '../pages/grid-history.ts';
import type { Clock, RandomHex } from '../runtime.ts';
import { SecretKeeper } from '../secrets/keeper.ts';
import type { TaskId } from '../task/id.ts';
import { Agent } from './agent.ts';
import { CountedRepository } from './counted-repository.ts';
import { Cycle } from './cycle.ts';
import { Gate } from './gate.ts';
import { healingSources } from './healing-sources.ts';
import { HealthKeeper } from './health-keeper.ts';
import { HoursKeeper } from './hours-keeper.ts';
import { ImageBreakers } from './image-breakers.ts';
import { machineLoad, nodeInfoOf } from './node-info.ts';
import { OutputFeed } from './output-feed.ts';
import { Prefetch } from './prefetch.ts';
import { type QueueDepth, queueDepthOf } from './queue-depth.ts';
import { RecordingTurn } from './recording-turn.ts';
import { SignatureCheck, type SigningPorts } from './signature-check.ts';
import { discardLeftovers } from './startup.ts';
import { TaskRunner } from './task-runner.ts';

/** How long each node in the recording order gives the one before it. */
const RECORD_STAGGER_MS = 3_000;
const RECORD_REFUSED_BASE_MS = 60_000;
const RECORD_REFUSED_MAX_MS = 3_600_000;
const SIGNING_PAUSE_MS = 60_000;
const RECORD_LOCKED_MS = 5_000;
/** While there is work an observer reads at its poll interval; twice that without a reading is a gap. Some slack for slow hosts. */
const READ_SLACK_MS = 15_000;

export interface WorkerPorts {
  repository: Repository;
  executor: Executor;
  sensors: Pick<Sensors, 'read' | 'readDisks'>;
  quota: HourlyQuota;
  outbox: Outbox;
  signing: SigningPorts;
  retry: Retry;
  clock: Clock;
  randomHex: RandomHex;
  emit: Emit;
}

export interface AssembleOptions {
  settings: Settings;
  ports: WorkerPorts;
  /** What this machine answers to, see host/machine-id.ts. */
  machine: string;
  namespace: Namespace;
  allowsImage: (image: string) => boolean;
  allowsNetwork: (network: string) => boolean;
  version: string;
  description: Record<string, unknown>;
  untilIdle: boolean;
  /** Told of secrets that become known while the worker runs, so that the log can mask them. */
  learnSecret?: (secret: string) => void;
  /** Told of what passes by, for pages. */
  history?: GridHistory;
}

export interface Worker {
  agent: Agent;
  executor: Executor;
  gate: Gate;
  health: HealthKeeper;
  runner: TaskRunner;
  reader: GridReader;
  membership: Membership;
  publisher: Publisher;
  book: ClaimBook;
  quota: HourlyQuota;
  images: ImageBreakers;
  queueDepth: () => QueueDepth;
  /** As it is used here: what pages read of it is counted too. */
  repository: Repository;
  specs: SpecCache;
  observations: Observations;
  /** What this node tells of itself with its signs of life, as of now. */
  nodeInfo: () => Record<string, unknown>;
  /** Tasks that this node leaves alone while it claims others, with the reasons. */
  refusals: () => Record<string, string>[];
}

export function assemble(options: AssembleOptions): Worker {
  const { history, settings, ports, namespace } = options;
  const { clock, emit, executor, outbox, quota, randomHex } = ports;
  const counted = new CountedRepository(ports.repository);
  const repository = new OrderedRepository(counted, clock);
  const { nodeId } = settings;
  // Aborted at the very end of a shutdown: publishing is what the steps before wait for.
  const publishing = new AbortController();
  const reader = new GridReader({ repository, clock, namespace, branch: settings.git.branch });
  const writer = new StateWriter({
    user: { name: settings.git.userName, email: settings.git.userEmail },
    clock,
    randomHex,
    format: () => repository.objectFormat(),
  });
  const publisher = new Publisher({
    repository,
    clock,
    retry: ports.retry,
    emit,
    pushesPerMinute: settings.gitPushesPerMinute,
    signal: publishing.signal,
    onSettled: ({ swap }, outcome) => {
      if (outcome.kind === 'won') reader.apply(swap);
    },
    onFailed: (error) => agent.noteFailure(error),
    riders: () => outputs.riders(),
  });
  const push = publisher.push.bind(publisher);
  const outputSweep = new OutputSweep({ repository, reader, push, clock, emit });
  const outputs: OutputFeed = new OutputFeed({
    mode: settings.followOutput,
    intervalMs: settings.followIntervalMs,
    maxBytes: settings.maxFollowBytes,
    namespace: () => reader.namespace,
    repository,
    writer,
    push,
    spareWaitMs: () => publisher.spareWaitMs,
    onLeft: () => outputSweep.mayBeLeft(),
    clock,
    emit,
  });
  const gate = new Gate();
  const images = new ImageBreakers({ clock, emit });
  // Tasks that this node leaves alone while it claims others.
  const refusals = (): Record<string, string>[] => [
    ...images.refusals.map((refusal) => ({ ...refusal })),
    ...(cycle.unfit ? [{ reason: 'memory', text: `${cycle.unfit.task} ${cycle.unfit.problem}` }] : []),
  ];
  const nodeInfo = (): Record<string, unknown> =>
    nodeInfoOf({
      ...options,
      running: runner.activeTasks,
      paused: gate.reasons,
      refuses: refusals(),
      quotaLeft: quota.left(),
      reading: health.reading?.machine ?? null,
    });
  const observations = new Observations((view, gone) =>
    history?.observe(view, gone, machineLoad(health.reading?.machine ?? null)),
  );
  const membership: Membership = new Membership({
    nodeId,
    machine: options.machine,
    intervalMs: settings.heartbeatIntervalMs,
    ttlMs: settings.nodeTtlMs,
    reader,
    writer,
    push,
    randomHex,
    emit,
    info: nodeInfo,
  });
  const incarnation = (): string => membership.incarnation;
  const specs = new SpecCache(repository, {
    maxTaskBytes: settings.maxTaskBytes,
    maxTimeoutSeconds: Math.floor(settings.docker.timeoutMs / 1000),
  });
  const reopenSigning = async (): Promise<void> => {
    await clock.sleep(SIGNING_PAUSE_MS, publishing.signal);
    gate.open('signing');
  };
  const onAccepted = (id: TaskId): void => void ports.signing.starts.settle(id);
  const book = new ClaimBook({ nodeId, incarnation, reader, writer, outbox, push, onAccepted, clock, emit });
  let dataRoot: string | null = null;
  // The clone may not be there yet; its directory's file system is.
  const diskOf = {
    stateDir: settings.stateDir,
    repoPath: settings.repoPath.startsWith(settings.stateDir) ? settings.stateDir : dirname(settings.repoPath),
  };
  const disks = (): string[] => [...new Set([...Object.values(diskOf), ...(dataRoot === null ? [] : [dataRoot])])];
  const health: HealthKeeper = new HealthKeeper({
    executor,
    sensors: ports.sensors,
    thresholds: settings,
    memoryReserveBytes: settings.memoryReserveBytes,
    hours: new HoursKeeper({
      hours: settings.activeHours,
      localTimeOf: machineLocalTime,
      gate,
      running: () => runner.activeCount,
      clock,
      emit,
    }),
    quota,
    healer: new Healer({
      clock,
      emit,
      policy: settings.docker,
      maxDiskPercent: settings.maxDiskPercent,
      readDisks: async () => (await ports.sensors.readDisks(disks())).disks,
      ...healingSources({
        settings,
        diskOf,
        executor,
        repository,
        onRenewed: () => reader.reset(),
        dataRoot: () => dataRoot,
        clock,
      }),
    }),
    gate,
    ownDisks: [...new Set(Object.values(diskOf))],
    allowUnlimitedTasks: settings.docker.allowUnlimitedTasks,
    reconcile: async () => {
      // Before it has joined, the worker's own containers wait to be taken up again.
      if (agent.state !== 'running') return false;
      await discardLeftovers({ runner, emit }, await executor.findRuns(nodeId));
      return true;
    },
    probeStateDir: async () => {
      const path = join(settings.stateDir, 'probe');
      await writeStateFile(path, 'writable\n');
      await rm(path, { force: true });
    },
    onDataRoot: (path) => {
      dataRoot = path;
    },
    clock,
    emit,
  });
  const runner: TaskRunner = new TaskRunner({
    nodeId,
    executor,
    book,
    policy: {
      allowsImage: options.allowsImage,
      allowsNetwork: options.allowsNetwork,
      maxCpus: settings.docker.cpus,
      maxMemoryBytes: settings.docker.memoryBytes,
      maxTimeoutMs: settings.docker.timeoutMs,
    },
    secrets: new SecretKeeper({
      directory: settings.secretsDir,
      policyFile: settings.secretsPolicyFile,
      emit,
      onSecret: options.learnSecret ?? (() => {}),
    }),
    defaults: settings.docker,
    maxTakeovers: settings.maxTakeovers,
    signatures: new SignatureCheck({
      repository,
      signing: ports.signing,
      isRequired: settings.signing.isRequired,
      maxTaskBytes: settings.maxTaskBytes,
    }),
    sign: ports.signing.sign,
    outputs,
    takeQuota: async () => {
      const granted = await quota.take(1);
      health.quotaTaken();
      return granted === 1;
    },
    clock,
    emit,
    onSigningTrouble: (error) => {
      if (!gate.isClosedBy('signing')) emit('signing.unavailable', { err: error });
      gate.close('signing', error.message);
      // Tried again with the next task: whether it is mended shows only then.
      void reopenSigning();
    },
    images,
    onResult: (record) => history?.result(record),
    onEngineTrouble: (error, failedStart) => health.engineTrouble(error, failedStart),
    onEngineStart: () => health.engineStarted(),
    onStateTrouble: (error) => health.stateTrouble(error),
    onSlotFree: (heldMs) => {
      prefetch.ran(heldMs);
      cycle.startReady();
    },
    onSettled: () => agent.nudge(),
  });
  // Of the set interval, also while this worker looks less often: then nobody has claims that could be taken over, each
  // longer pause is a gap, and counting begins anew with the look that shows a claim.
  const watch = new DeathWatch(2 * Math.max(settings.pullIntervalMs, settings.heartbeatIntervalMs) + READ_SLACK_MS);
  const recorder = new Recorder({ repository, reader, writer, push, emit });
  const prefetch = new Prefetch({ slots: settings.maxParallelTasks, pushesPerMinute: settings.gitPushesPerMinute });
  const cycle: Cycle = new Cycle({
    nodeId,
    nodeLabels: settings.nodeLabels,
    nodeTtlMs: settings.nodeTtlMs,
    maxParallelTasks: settings.maxParallelTasks,
    prefetch,
    useSmartPolling: settings.useSmartPolling,
    defaultMemoryBytes: settings.docker.memoryBytes,
    reader,
    book,
    membership,
    recorder,
    outputSweep,
    settler: new Settler({
      nodeId,
      incarnation,
      maxTakeovers: settings.maxTakeovers,
      reader,
      writer,
      specs,
      push,
      sign: ports.signing.sign,
      clock,
      emit,
    }),
    specs,
    watch,
    observations,
    recordingTurn: new RecordingTurn({
      batchSize: settings.recordBatchSize,
      delayMs: settings.recordDelayMs,
      staggerMs: RECORD_STAGGER_MS,
      refusedBaseMs: RECORD_REFUSED_BASE_MS,
      refusedMaxMs: RECORD_REFUSED_MAX_MS,
      lockedMs: RECORD_LOCKED_MS,
    }),
    runner,
    gate,
    pushWaitMs: () => publisher.waitMs,
    quotaLeft: () => quota.left(),
    memoryFor: (needed, promised) => health.memoryFor(needed, promised),
    defaultImage: settings.docker.image,
    images,
    isEngineOnTrial: () => health.isEngineOnTrial,
    clock,
    emit,
  });
  const agent: Agent = new Agent({
    joinParts: {
      nodeId,
      fixedNamespace: namespaceOf(settings.refNamespace),
      repository,
      reader,
      membership,
      book,
      specs,
      // Its own: it may look more often than the polling loop does.
      watch: new DeathWatch(2 * settings.pullIntervalMs + READ_SLACK_MS),
      runner,
      executor,
      watchIntervalMs: settings.pullIntervalMs,
      clock,
      emit,
      onEngineTrouble: (error) => health.engineTrouble(error, null),
      signal: publishing.signal,
    },
    executor,
    repository,
    reader,
    membership,
    book,
    publisher,
    abortPublishing: () => publishing.abort(),
    cycle,
    watch,
    runner,
    gate,
    health,
    pullIntervalMs: settings.pullIntervalMs,
    // Whoever waits for the end of the work wants to know of it soon.
    maxPullIntervalMs: options.untilIdle ? settings.pullIntervalMs : settings.maxPullIntervalMs,
    heartbeatIntervalMs: settings.heartbeatIntervalMs,
    healthCheckEvery: settings.healthCheckEvery,
    shutdownGraceMs: settings.shutdownGraceMs,
    untilIdle: options.untilIdle,
    summary: () => ({
      tasks_executed_this_hour: quota.usedThisHour(),
      task_count_reset_time: quota.resetTimeIso(),
      last_health_check: health.lastCheck?.checkedAt ?? null,
    }),
    requests: () => counted.requests,
    randomHex,
    clock,
    emit,
  });
  const queueDepth = queueDepthOf(reader, specs);
  return {
    agent,
    executor,
    gate,
    health,
    runner,
    reader,
    membership,
    publisher,
    book,
    quota,
    images,
    queueDepth,
    repository,
    specs,
    observations,
    nodeInfo,
    refusals,
  };
}
