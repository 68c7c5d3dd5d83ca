/** Whole workers around a repository in memory and stub engines, on a clock of their own each. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { assemble, type Worker } from '../../src/agent/assemble.ts';
import { NO_SIGNATURES } from '../../src/agent/signature-check.ts';
import type { Settings } from '../../src/config/settings.ts';
import { GitError, RETRYABLE } from '../../src/git/errors.ts';
import { makeBlob, makeCommit, parseCommit } from '../../src/git/objects.ts';
import { refName } from '../../src/git/oid.ts';
import { editTree, type PathEdit } from '../../src/git/tree-edit.ts';
import { Quota } from '../../src/host/quota.ts';
import { Sensors } from '../../src/host/sensors.ts';
import { FileOutbox } from '../../src/ledger/outbox.ts';
import type { Retry } from '../../src/ledger/publisher.ts';
import { type QueueIndex, QueueReader } from '../../src/ledger/queue-index.ts';
import { type Clock, systemClock, systemRandomHex } from '../../src/runtime.ts';
import { nodeId } from '../../src/task/id.ts';
import type { ResultRecord } from '../../src/task/result.ts';
import { MemoryRemote, MemoryRepository } from './memory-repository.ts';
import { type RecordedEvents, recordEvents } from './recorded-events.ts';
import { StubEngine, StubExecutor } from './stub-executor.ts';

export const MAIN = refName('refs/heads/main');

export interface TestWorker extends Worker {
  repository: MemoryRepository;
  engine: StubEngine;
  events: RecordedEvents;
  /** The worker's run; rejects as the worker does. */
  done: Promise<void>;
}

export function testSettings(stateDir: string, name: string, overrides: Partial<Settings> = {}): Settings {
  return {
    git: {
      repoUrl: 'memory',
      branch: null,
      userName: 'D-GRID Worker',
      userEmail: `worker+${name}@d-grid.local`,
      token: null,
      tokenFile: null,
      sshKeyFile: null,
      sshKnownHostsFile: null,
      credentialHelper: null,
      transport: 'auto',
      commandTimeoutMs: 10_000,
      useShallowClone: true,
      retryAttempts: 3,
      retryBaseMs: 1,
    },
    docker: {
      host: null,
      tlsVerify: false,
      certPath: null,
      image: 'busybox:stable',
      imagePullPolicy: 'missing',
      imagePullTimeoutMs: 10_000,
      imagePullStallMs: 30_000,
      dockerConfigDir: '/nonexistent',
      allowedImages: ['busybox:stable'],
      cpus: 1,
      cpuShares: 512,
      memoryBytes: 32 * 1024 ** 2,
      timeoutMs: 60_000,
      pidsLimit: 128,
      network: 'none',
      allowedNetworks: [],
      runtime: null,
      workDirBytes: 8 * 1024 ** 2,
      callTimeoutMs: 5_000,
      allowUnlimitedTasks: false,
      warmPoolSize: 0,
      warmPoolIdleMs: 60_000,
      pruneDanglingImages: false,
      pruneBuildCache: false,
    },
    signing: {
      grid: 'memory',
      isRequired: false,
      trustedKeysFile: null,
      revokedKeysFile: null,
      maxLifetimeMs: 30 * 86_400_000,
      nodeKeyFile: null,
    },
    repoPath: stateDir,
    stateDir,
    nodeId: nodeId(name),
    nodeName: `worker-${name}`,
    nodeLabels: [],
    useSmartPolling: true,
    pullIntervalMs: 20,
    maxPullIntervalMs: 0,
    webhookSecret: null,
    webhookSecretFile: null,
    httpToken: null,
    httpTokenFile: null,
    heartbeatIntervalMs: 60,
    nodeTtlMs: 300,
    lockWaitMs: 0,
    shutdownGraceMs: 1_000,
    maxParallelTasks: 2,
    maxTasksPerHour: 0,
    maxCpuPercent: 100,
    maxMemoryPercent: 100,
    maxDiskPercent: 100,
    maxCpuPressure: 0,
    maxMemoryPressure: 0,
    maxIoPressure: 0,
    maxLoadPerCpu: 0,
    memoryReserveBytes: 64 * 1024 ** 2,
    activeHours: null,
    healthCheckEvery: 1_000,
    secretsDir: null,
    secretsPolicyFile: null,
    maxTaskBytes: 256 * 1024,
    maxOutputBytes: 1024 ** 2,
    maxTakeovers: 3,
    gitPushesPerMinute: 0,
    recordBatchSize: 50,
    recordDelayMs: 20,
    followOutput: 'asked',
    followIntervalMs: 20,
    maxFollowBytes: 256 * 1024,
    refNamespace: 'auto',
    httpHost: '127.0.0.1',
    httpPort: 0,
    logLevel: 'info',
    logFile: null,
    logFormat: 'json',
    ...overrides,
  };
}

const quickRetry: Retry = async (_operation, attempt) => {
  for (let tryNumber = 1; ; tryNumber += 1) {
    try {
      return await attempt(tryNumber);
    } catch (error) {
      const again = error instanceof GitError && RETRYABLE[error.kind];
      if (!again || tryNumber === 3) throw error;
      await systemClock.sleep(1);
    }
  }
};

export class MemoryGrid {
  readonly remote = new MemoryRemote();
  readonly #stateRoot: string;

  constructor(stateRoot: string) {
    this.#stateRoot = stateRoot;
  }

  async startWorker(
    name: string,
    options: {
      settings?: Partial<Settings>;
      engine?: StubEngine;
      machine?: string;
      untilIdle?: boolean;
      clock?: Clock;
      prepare?: (repository: MemoryRepository) => void;
    } = {},
  ): Promise<TestWorker> {
    const clock = options.clock ?? systemClock;
    const settings = testSettings(join(this.#stateRoot, name), name, options.settings);
    await mkdir(settings.stateDir, { recursive: true });
    const repository = new MemoryRepository(this.remote);
    options.prepare?.(repository);
    const engine = options.engine ?? new StubEngine(clock);
    const events = recordEvents();
    const { emit } = events;
    const worker = assemble({
      settings,
      ports: {
        repository,
        executor: new StubExecutor(engine),
        sensors: new Sensors({ clock }),
        quota: await Quota.open({
          path: join(settings.stateDir, 'quota.json'),
          maxPerHour: settings.maxTasksPerHour,
          clock,
          emit,
        }),
        outbox: new FileOutbox(join(settings.stateDir, 'outbox'), { clock, emit }),
        signing: NO_SIGNATURES,
        retry: quickRetry,
        clock,
        randomHex: systemRandomHex,
        emit,
      },
      machine: options.machine ?? `machine-${name}`,
      namespace: 'refs/dgrid',
      allowsImage: (image) => settings.docker.allowedImages.includes(image),
      allowsNetwork: (network) => settings.docker.allowedNetworks.includes(network),
      version: '0.0.0-test',
      description: {},
      untilIdle: options.untilIdle ?? false,
    });
    return { ...worker, repository, engine, events, done: worker.agent.run() };
  }

  /** Changes the branch as a person would. Contents: text, or null to remove the file. */
  async commit(files: Record<string, string | null>): Promise<void> {
    const tip = this.remote.refs.get(MAIN) ?? null;
    const read = async (oids: readonly Parameters<typeof this.remote.objects.get>[0][]) =>
      new Map(
        oids.flatMap((oid) => (this.remote.objects.has(oid) ? [[oid, this.remote.objects.get(oid)!] as const] : [])),
      );
    const root = tip ? parseCommit(this.remote.objects.get(tip)!.content).tree : null;
    const edits: PathEdit[] = Object.entries(files).map(([path, text]) => {
      if (text === null) return { path, oid: null };
      const blob = makeBlob(text, 'sha1');
      this.remote.objects.set(blob.oid, blob);
      return { path, oid: blob.oid };
    });
    const edited = await editTree(root, edits, read, 'sha1');
    for (const object of edited.created) this.remote.objects.set(object.oid, object);
    const who = { name: 'somebody', email: 'somebody@example.org', seconds: 0 };
    const commit = makeCommit(
      { tree: edited.root.oid, parents: tip ? [tip] : [], author: who, committer: who, message: 'change' },
      'sha1',
    );
    this.remote.objects.set(commit.oid, commit);
    if (!this.remote.swap({ ref: MAIN, from: tip, to: commit.oid })) await this.commit(files);
  }

  queue(tasks: Record<string, object>): Promise<void> {
    return this.commit(
      Object.fromEntries(
        Object.entries(tasks).map(([id, task]) => [`tasks/queue/${id}.json`, JSON.stringify({ task_id: id, ...task })]),
      ),
    );
  }

  async index(): Promise<QueueIndex> {
    const tip = this.remote.refs.get(MAIN);
    const reader = new QueueReader(
      async (oids) => new Map(oids.map((oid) => [oid, this.remote.objects.get(oid)!])),
      () => 'sha1',
    );
    return reader.readIndex(parseCommit(this.remote.objects.get(tip!)!.content).tree);
  }

  async record(id: string): Promise<ResultRecord | null> {
    const found = (await this.index()).recordOf(id as never);
    return found ? JSON.parse(this.remote.objects.get(found.blob)!.content.toString()) : null;
  }

  taskRefs(): string[] {
    return [...this.remote.refs.keys()].filter((ref) => ref.startsWith('refs/dgrid/tasks/'));
  }
}
