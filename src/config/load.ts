/**
 * From flags, environment, `.env` file, profile and defaults to typed settings. Every problem is found in one pass, so that
 * an operator mends all of them before the next start.
 */
import { STDOUT } from './file-kind.ts';
import type { Environment, Machine } from './machine.ts';
import { defaultText } from './option.ts';
import { OPTION_NAMES, OPTIONS, type OptionName, optionOf, type Values } from './options.ts';
import { PROFILE_NAMES, PROFILES, type ProfileName } from './profiles.ts';
import { type Problem, RULES } from './rules.ts';
import type { ClientSettings, FilterSettings, GitSettings, PolicySettings, Settings } from './settings.ts';
import {
  environmentLayer,
  fileLayer,
  flagLayer,
  type Layer,
  type Origin,
  originText,
  profileLayer,
} from './sources.ts';
import { nearest } from './suggestion.ts';
import { unknownVariables } from './unknown-variables.ts';

export type { Problem } from './rules.ts';

const DAY_MS = 86_400_000;

export interface LoadInput {
  env: Environment;
  /** Values of flags, as written on the command line. */
  flags: Partial<Record<OptionName, string>>;
  /** Of `--env-file`; null: `.env` in the working directory, if there is one. */
  envFile: string | null;
  machine: Machine;
}

type Origins = Readonly<Partial<Record<OptionName, Origin>>>;

export type Loaded<T> =
  | { ok: true; settings: T; values: Values; origins: Origins }
  /** `values` holds what could be read, for showing. */
  | { ok: false; problems: Problem[]; values: Readonly<Partial<Values>>; origins: Origins };

/** All settings of the worker. */
export function loadSettings(input: LoadInput): Loaded<Settings> {
  return load(input, 'worker', toSettings);
}

/** The repository and how to reach it, for the client. Settings that only a worker needs are not looked at. */
export function loadClientSettings(input: LoadInput): Loaded<ClientSettings> {
  return load(input, 'client', (values) => ({
    git: toGitSettings(values),
    refNamespace: values.DGRID_REF_NAMESPACE,
    maxTaskBytes: values.MAX_TASK_BYTES,
    grid: values.GRID_NAME,
    trustedKeysFile: values.TRUSTED_KEYS_FILE,
    revokedKeysFile: values.REVOKED_KEYS_FILE,
  }));
}

/** The worker's rules for containers, for the filter. It may share a file of settings with a worker whose secrets it cannot read. */
export function loadFilterSettings(input: LoadInput): Loaded<FilterSettings> {
  return load(input, 'filter', (values) => {
    const { docker, stateDir, nodeId, maxOutputBytes, logLevel, logFile, logFormat } = toSettings(values);
    return { repoUrl: values.DGRID_REPO_URL, docker, stateDir, nodeId, maxOutputBytes, logLevel, logFile, logFormat };
  });
}

/** What an operator lets tasks ask for, for checking task files on any machine. */
export function loadPolicySettings(input: LoadInput): Loaded<PolicySettings> {
  return load(input, 'policy', (values) => ({
    maxTaskBytes: values.MAX_TASK_BYTES,
    allowedImages: values.ALLOWED_IMAGES,
    network: values.DOCKER_NETWORK,
    allowedNetworks: values.ALLOWED_NETWORKS ?? [],
    cpus: values.DOCKER_CPUS,
    memoryBytes: values.DOCKER_MEMORY,
    timeoutMs: values.DOCKER_TIMEOUT,
  }));
}

/** How large a task file may be where nobody has set anything, in bytes. */
export function defaultMaxTaskBytes(machine: Machine): number {
  const parsed = OPTIONS.MAX_TASK_BYTES.kind.parse(defaultText(OPTIONS.MAX_TASK_BYTES.default), machine);
  if (!parsed.ok) throw new Error(`the default of MAX_TASK_BYTES ${parsed.message}`);
  return parsed.value;
}

type Reader = 'worker' | 'client' | 'filter' | 'policy';

const POLICY_OPTIONS: ReadonlySet<OptionName> = new Set([
  'DGRID_PROFILE',
  'MAX_TASK_BYTES',
  'DOCKER_IMAGE',
  'ALLOWED_IMAGES',
  'DOCKER_NETWORK',
  'ALLOWED_NETWORKS',
  'DOCKER_CPUS',
  'DOCKER_MEMORY',
  'DOCKER_TIMEOUT',
]);

/** Beside those of the group `docker`. */
const FILTER_OPTIONS: ReadonlySet<OptionName> = new Set([
  'DGRID_REPO_URL',
  'DGRID_PROFILE',
  'DGRID_STATE_DIR',
  'NODE_ID',
  'MAX_OUTPUT_BYTES',
  'LOG_LEVEL',
  'LOG_FILE',
  'LOG_FORMAT',
]);

function concerns(reader: Reader, name: OptionName): boolean {
  const { group, scope } = optionOf(name);
  if (reader === 'policy') return POLICY_OPTIONS.has(name);
  if (reader === 'filter') return group === 'docker' || FILTER_OPTIONS.has(name);
  return reader === 'worker' || scope === 'both';
}

function load<T>(input: LoadInput, reader: Reader, assemble: (values: Values) => T): Loaded<T> {
  const problems: Problem[] = [];
  const layers: Layer[] = [flagLayer(input.flags), environmentLayer(input.env)];
  const file = fileLayer(input.envFile, input.machine.cwd);
  if (!file.ok) problems.push(file.problem);
  else if (file.layer) layers.push(file.layer);
  problems.push(...unknownVariables(layers));
  if (reader !== 'client') {
    const profile = given('DGRID_PROFILE', layers)?.text.toLowerCase();
    if (isProfileName(profile)) layers.push(profileLayer(profile, PROFILES[profile].settings));
  }

  const values: Partial<Record<OptionName, unknown>> = {};
  const origins: Partial<Record<OptionName, Origin>> = {};
  const texts = new Map<string, string>();
  const invalid = new Set<OptionName>();
  for (const name of OPTION_NAMES) {
    const read = readOption(name, layers, input.machine, texts);
    texts.set(name, read.text);
    origins[name] = read.origin;
    values[name] = read.value;
    if (read.problem === null) continue;
    invalid.add(name);
    delete values[name];
    if (concerns(reader, name)) problems.push({ name, message: read.problem });
  }
  for (const rule of RULES) {
    if (rule.names.some((name) => invalid.has(name))) continue;
    if (!rule.names.every((name) => concerns(reader, name))) continue;
    const message = rule.check(values as Values);
    if (message !== null) problems.push({ name: rule.names[0], message });
  }
  return problems.length === 0
    ? { ok: true, settings: assemble(values as Values), values: values as Values, origins }
    : { ok: false, problems, values: values as Partial<Values>, origins };
}

interface ReadOption {
  value: unknown;
  /** The text in force, for defaults that build on it; of the default when what was given is wrong. */
  text: string;
  origin: Origin;
  problem: string | null;
}

function readOption(
  name: OptionName,
  layers: readonly Layer[],
  machine: Machine,
  texts: ReadonlyMap<string, string>,
): ReadOption {
  const option = optionOf(name);
  const found = given(name, layers);
  const fallback = (): ReadOption => {
    const origin: Origin = { source: 'default' };
    const { default: standard } = option;
    if (standard.how === 'none') return { value: null, text: '', origin, problem: null };
    if (standard.how === 'required') return { value: undefined, text: '', origin, problem: standard.remedy };
    const text =
      standard.how === 'fixed' ? standard.text : standard.of({ machine, text: (other) => texts.get(other) ?? '' });
    const parsed = text === null ? null : option.kind.parse(text, machine);
    if (parsed === null) return { value: undefined, text: '', origin, problem: remedyOf(option.default) };
    return parsed.ok
      ? { value: parsed.value, text: option.kind.format(parsed.value), origin, problem: null }
      : { value: undefined, text: '', origin, problem: `by default ${parsed.message}` };
  };
  if (found === null) return fallback();
  const wrong = (message: string): ReadOption => ({
    value: undefined,
    text: fallback().text,
    origin: found.origin,
    problem: `${message} (${found.origin.source === 'environment' ? 'set in the environment' : `set by ${originText(found.origin)}`})`,
  });
  // `docker run --env-file` takes quotation marks as part of the value; dotenv has removed those that it understands.
  if (/^(["']).*\1$/s.test(found.text)) return wrong('is wrapped in quotation marks: remove them');
  const parsed = option.kind.parse(found.text, machine);
  if (parsed.ok) {
    return { value: parsed.value, text: option.kind.format(parsed.value), origin: found.origin, problem: null };
  }
  return wrong(`${parsed.message}${hint(name, found.text)}`);
}

/** The strongest layer's text. Empty counts as unset: that is how compose files and environment files leave a value out. */
function given(name: OptionName, layers: readonly Layer[]): { text: string; origin: Origin } | null {
  for (const layer of layers) {
    const text = layer.values[name]?.trim();
    if (text) return { text, origin: layer.origin(name) };
  }
  return null;
}

function hint(name: OptionName, text: string): string {
  const meant = name === 'DGRID_PROFILE' ? nearest(text, PROFILE_NAMES) : null;
  return meant === null ? '' : `; did you mean ${meant}?`;
}

function remedyOf(standard: { how: string; remedy?: string }): string {
  return standard.remedy ?? 'has no default: set it';
}

function isProfileName(name: string | undefined): name is ProfileName {
  return PROFILE_NAMES.some((known) => known === name);
}

function toGitSettings(values: Values): GitSettings {
  return {
    repoUrl: values.DGRID_REPO_URL,
    branch: values.DGRID_BRANCH,
    userName: values.GIT_USER_NAME,
    userEmail: values.GIT_USER_EMAIL,
    token: values.GIT_TOKEN,
    tokenFile: values.GIT_TOKEN_FILE,
    sshKeyFile: values.GIT_SSH_KEY_FILE,
    sshKnownHostsFile: values.GIT_SSH_KNOWN_HOSTS_FILE,
    credentialHelper: values.GIT_CREDENTIAL_HELPER,
    transport: values.GIT_TRANSPORT,
    commandTimeoutMs: values.GIT_COMMAND_TIMEOUT,
    useShallowClone: values.USE_SHALLOW_CLONE,
    retryAttempts: values.RETRY_ATTEMPTS,
    retryBaseMs: values.RETRY_BASE_SECONDS,
  };
}

function toSettings(values: Values): Settings {
  return {
    git: toGitSettings(values),
    docker: {
      host: values.DOCKER_HOST,
      tlsVerify: values.DOCKER_TLS_VERIFY,
      certPath: values.DOCKER_CERT_PATH,
      image: values.DOCKER_IMAGE,
      imagePullPolicy: values.IMAGE_PULL_POLICY,
      imagePullTimeoutMs: values.IMAGE_PULL_TIMEOUT,
      imagePullStallMs: values.IMAGE_PULL_STALL_SECONDS,
      dockerConfigDir: values.DOCKER_CONFIG,
      allowedImages: values.ALLOWED_IMAGES,
      cpus: values.DOCKER_CPUS,
      cpuShares: values.DOCKER_CPU_SHARES,
      memoryBytes: values.DOCKER_MEMORY,
      timeoutMs: values.DOCKER_TIMEOUT,
      pidsLimit: values.DOCKER_PIDS_LIMIT,
      network: values.DOCKER_NETWORK,
      allowedNetworks: values.ALLOWED_NETWORKS ?? [],
      runtime: values.DOCKER_RUNTIME,
      workDirBytes: values.DOCKER_WORK_SIZE,
      callTimeoutMs: values.ENGINE_CALL_TIMEOUT,
      allowUnlimitedTasks: values.ALLOW_UNLIMITED_TASKS,
      warmPoolSize: values.WARM_POOL_SIZE,
      warmPoolIdleMs: values.WARM_POOL_IDLE_SECONDS,
      pruneDanglingImages: values.PRUNE_DANGLING_IMAGES,
      pruneBuildCache: values.PRUNE_BUILD_CACHE,
    },
    signing: {
      grid: values.GRID_NAME,
      isRequired: values.ENABLE_TASK_SIGNING,
      trustedKeysFile: values.TRUSTED_KEYS_FILE,
      revokedKeysFile: values.REVOKED_KEYS_FILE,
      maxLifetimeMs: values.SIGNATURE_MAX_DAYS * DAY_MS,
      nodeKeyFile: values.NODE_SIGNING_KEY_FILE,
    },
    repoPath: values.DGRID_REPO_PATH,
    stateDir: values.DGRID_STATE_DIR,
    nodeId: values.NODE_ID,
    nodeName: values.NODE_NAME,
    nodeLabels: values.NODE_LABELS,
    useSmartPolling: values.USE_SMART_POLLING,
    pullIntervalMs: values.PULL_INTERVAL,
    maxPullIntervalMs: values.PULL_INTERVAL_MAX,
    webhookSecret: values.WEBHOOK_SECRET,
    webhookSecretFile: values.WEBHOOK_SECRET_FILE,
    heartbeatIntervalMs: values.HEARTBEAT_INTERVAL,
    nodeTtlMs: values.NODE_TTL,
    shutdownGraceMs: values.SHUTDOWN_GRACE_SECONDS,
    lockWaitMs: values.LOCK_WAIT_SECONDS,
    maxParallelTasks: values.MAX_PARALLEL_TASKS,
    maxTasksPerHour: values.MAX_TASKS_PER_HOUR,
    maxCpuPercent: values.MAX_CPU_PERCENT,
    maxMemoryPercent: values.MAX_MEMORY_PERCENT,
    maxDiskPercent: values.MAX_DISK_PERCENT,
    maxCpuPressure: values.MAX_CPU_PRESSURE,
    maxMemoryPressure: values.MAX_MEMORY_PRESSURE,
    maxIoPressure: values.MAX_IO_PRESSURE,
    maxLoadPerCpu: values.MAX_LOAD_PER_CPU,
    memoryReserveBytes: values.MEMORY_RESERVE,
    activeHours: values.ACTIVE_HOURS,
    healthCheckEvery: values.HEALTH_CHECK_EVERY,
    secretsDir: values.SECRETS_DIR,
    secretsPolicyFile: values.SECRETS_POLICY_FILE,
    maxTaskBytes: values.MAX_TASK_BYTES,
    maxOutputBytes: values.MAX_OUTPUT_BYTES,
    maxTakeovers: values.MAX_TAKEOVERS,
    gitPushesPerMinute: values.GIT_PUSHES_PER_MINUTE,
    recordBatchSize: values.RECORD_BATCH_SIZE,
    recordDelayMs: values.RECORD_DELAY,
    followOutput: values.FOLLOW_OUTPUT,
    followIntervalMs: values.FOLLOW_INTERVAL,
    maxFollowBytes: values.MAX_FOLLOW_BYTES,
    refNamespace: values.DGRID_REF_NAMESPACE,
    httpHost: values.HTTP_HOST,
    httpPort: values.HTTP_PORT,
    httpToken: values.HTTP_TOKEN,
    httpTokenFile: values.HTTP_TOKEN_FILE,
    logLevel: values.LOG_LEVEL,
    logFile: values.LOG_FILE === STDOUT ? null : values.LOG_FILE,
    logFormat: values.LOG_FORMAT,
  };
}
