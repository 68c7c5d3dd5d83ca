/**
 * The settings in force, typed and in base units. The table in `options.ts` says for each where it comes from, its
 * default, its unit in the environment and its text.
 */
import type { NodeId } from '../task/id.ts';
import type { ActiveHours } from './active-hours.ts';

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error';
export type LogFormat = 'json' | 'pretty' | 'auto';
export type ImagePullPolicy = 'missing' | 'always' | 'never';
export type RefNamespaceSetting = 'auto' | 'refs/dgrid' | 'refs/heads/dgrid';

/** Of which tasks to publish what they write while they run. `asked`: of those that ask for it. */
export type FollowOutput = 'never' | 'asked' | 'always';

/** For http remotes. `command`: the git command does everything. */
export type GitTransport = 'auto' | 'command';

export interface GitSettings {
  repoUrl: string;
  /** null: the remote's HEAD. */
  branch: string | null;
  userName: string;
  userEmail: string;
  /** One of token and tokenFile at most. The file is read at each use, so that it can be replaced. */
  token: string | null;
  tokenFile: string | null;
  sshKeyFile: string | null;
  sshKnownHostsFile: string | null;
  /** A Git credential helper of the operator's, in the syntax of `credential.helper`. */
  credentialHelper: string | null;
  transport: GitTransport;
  /** The longest that one git command, or one request, may take. */
  commandTimeoutMs: number;
  useShallowClone: boolean;
  retryAttempts: number;
  retryBaseMs: number;
}

export interface DockerSettings {
  /** null: as every Docker client finds it (unix socket). */
  host: string | null;
  tlsVerify: boolean;
  certPath: string | null;
  image: string;
  imagePullPolicy: ImagePullPolicy;
  imagePullTimeoutMs: number;
  /** Without any progress, a try of a pull is given up. */
  imagePullStallMs: number;
  /** With Docker's config.json, for credentials. null: `.docker` in the home of this user. */
  dockerConfigDir: string | null;
  allowedImages: readonly string[];
  cpus: number;
  /** The weight of a task among others, where processors are short. */
  cpuShares: number;
  memoryBytes: number;
  timeoutMs: number;
  pidsLimit: number;
  network: string;
  /** Names and patterns of those that tasks may ask for besides. */
  allowedNetworks: readonly string[];
  runtime: string | null;
  /** Size of the task's writable directory, in memory. Always below `memoryBytes`. */
  workDirBytes: number;
  callTimeoutMs: number;
  /** Whether tasks may run on an engine that cannot keep them to their memory, processors and processes. */
  allowUnlimitedTasks: boolean;
  /** How many containers may wait for a task. 0: none is made ahead. */
  warmPoolSize: number;
  warmPoolIdleMs: number;
  pruneDanglingImages: boolean;
  pruneBuildCache: boolean;
}

/** Signatures of tasks and of results. */
export interface SigningSettings {
  /** The name that signed tasks must be made out to. */
  grid: string;
  /** Tasks without a signature are refused. */
  isRequired: boolean;
  /** null: signatures of tasks are not looked at. */
  trustedKeysFile: string | null;
  revokedKeysFile: string | null;
  /** For how long ahead a signature may be good. */
  maxLifetimeMs: number;
  /** With which this node signs its results; null: not at all. */
  nodeKeyFile: string | null;
}

export interface Settings {
  git: GitSettings;
  docker: DockerSettings;
  signing: SigningSettings;
  /** The local clone. */
  repoPath: string;
  stateDir: string;
  nodeId: NodeId;
  nodeName: string;
  nodeLabels: readonly string[];
  useSmartPolling: boolean;
  pullIntervalMs: number;
  /** While nothing happens; not above `pullIntervalMs`: the pace stays the same. */
  maxPullIntervalMs: number;
  /** One of the two at most; without one no webhook is served. */
  webhookSecret: string | null;
  webhookSecretFile: string | null;
  heartbeatIntervalMs: number;
  nodeTtlMs: number;
  shutdownGraceMs: number;
  /** For another worker to leave the state directory. */
  lockWaitMs: number;
  maxParallelTasks: number;
  /** 0: unlimited. */
  maxTasksPerHour: number;
  maxCpuPercent: number;
  maxMemoryPercent: number;
  maxDiskPercent: number;
  /** Percent of the last ten seconds. 0: not looked at. */
  maxCpuPressure: number;
  maxMemoryPressure: number;
  maxIoPressure: number;
  /** 0: not looked at. */
  maxLoadPerCpu: number;
  memoryReserveBytes: number;
  /** null: always. */
  activeHours: ActiveHours | null;
  /** In polling cycles. */
  healthCheckEvery: number;
  /** One file for each secret that tasks may be given. null: there are none. */
  secretsDir: string | null;
  /** Who may have which. null: nobody. */
  secretsPolicyFile: string | null;
  maxTaskBytes: number;
  maxOutputBytes: number;
  /** How often a task may be taken over from nodes that died with it before it is given up as `lost`. */
  maxTakeovers: number;
  /** 0: no budget. */
  gitPushesPerMinute: number;
  recordBatchSize: number;
  recordDelayMs: number;
  followOutput: FollowOutput;
  /** Between two batches of a task's output. */
  followIntervalMs: number;
  /** Of each stream, from its beginning. */
  maxFollowBytes: number;
  refNamespace: RefNamespaceSetting;
  httpHost: string;
  /** 0: off. */
  httpPort: number;
  /** One of the two at most; without one everybody on this machine may read the pages. */
  httpToken: string | null;
  httpTokenFile: string | null;
  logLevel: LogLevel;
  /** null: standard output. */
  logFile: string | null;
  logFormat: LogFormat;
}

/** What the client program needs: the repository, and how to reach and read it. */
export interface ClientSettings {
  git: GitSettings;
  refNamespace: RefNamespaceSetting;
  maxTaskBytes: number;
  /** The name to make signed tasks out to. */
  grid: string;
  /** To check results with. */
  trustedKeysFile: string | null;
  revokedKeysFile: string | null;
}

/** What an operator lets tasks ask for. */
export interface PolicySettings
  extends Pick<Settings, 'maxTaskBytes'>,
    Pick<DockerSettings, 'allowedImages' | 'network' | 'allowedNetworks' | 'cpus' | 'memoryBytes' | 'timeoutMs'> {}

/** What the filter in front of the engine needs: the same rules for containers as its worker has, and whose worker it is. */
export interface FilterSettings
  extends Pick<Settings, 'docker' | 'stateDir' | 'nodeId' | 'maxOutputBytes' | 'logLevel' | 'logFile' | 'logFormat'> {
  repoUrl: string;
}
