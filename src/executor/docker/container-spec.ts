/**
 * From a job to what the engine is asked to create. Pure, and built from a whitelist: each field is written here, nothing
 * is merged from the task. A job brings an image, a program, an environment and limits within the operator's caps; no
 * field of it reaches any other part of the request.
 */
import type { DockerSettings } from '../../config/settings.ts';
import type { NodeId } from '../../task/id.ts';
import { ExecutorError, type Job } from '../executor.ts';
import { bootstrapArgv, SECRETS_DIR, WORK_DIR } from './bootstrap.ts';
import type { EngineQuirks } from './engine-quirks.ts';
import { fullImageName } from './image-name.ts';
import { writeLabels, writeWarmLabels } from './labels.ts';
import { NO_NETWORK } from './network-list.ts';

/** `nobody` in nearly every image, and no one at all in the others. */
const TASK_USER = 65534;
const MIB = 1024 * 1024;
const SHM_BYTES = 16 * MIB;
/** What the engine accepts at least. */
const MIN_MEMORY_BYTES = 6 * MIB;
const MIN_CPUS = 0.01;
const MAX_OPEN_FILES = 4096;
const OOM_SCORE_ADJUSTMENT = 500;
/** A stored line costs about 70 bytes more than it has, so the log gets a multiple of what is kept of the output. */
const LOG_BYTES_PER_OUTPUT_BYTE = 8;
const MIN_LOG_FILE_BYTES = 4 * MIB;
const LOG_FILES = 2;
const MAX_IMAGE_VOLUMES = 16;
/** For what one task's secrets may come to at most, each in whole pages. */
const SECRETS_DIR_BYTES = 256 * 1024;
/** The kernel's bounds on what a program can be started with: each string, and (on the safe side) all together. */
const MAX_STRING_BYTES = 128 * 1024 - 1;
const MAX_STRINGS_BYTES = MIB;
const NETWORK_ID = /^[0-9a-f]{12,64}$/;
const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

export interface SpecContext {
  gridId: string;
  nonce: string;
  maxOutputBytes: number;
  /** CPUs of the engine's machine; null when it did not say. It refuses limits above that. */
  engineCpus: number | null;
  /** The image itself: a name could be moved to another one by the time that the container is made. */
  imageId: string;
  /** For the record, also when another life of the worker makes it. */
  imageDigest: string | null;
  /** Directories that the image declares as volumes: writable places on the disk unless something is mounted there. */
  imageVolumes: readonly string[];
  /** What the engine is told of the network: `none`, or that of a network which is allowed and there. */
  networkMode: string;
  quirks: EngineQuirks;
}

type SpecSettings = Pick<
  DockerSettings,
  'cpus' | 'cpuShares' | 'memoryBytes' | 'timeoutMs' | 'pidsLimit' | 'runtime' | 'workDirBytes'
>;

/** The body of the engine's create request: exactly these fields. */
export interface ContainerSpec {
  Image: string;
  User: string;
  Entrypoint: string[];
  Cmd: string[];
  Env: string[];
  WorkingDir: string;
  Labels: Record<string, string>;
  AttachStdin: boolean;
  OpenStdin: boolean;
  StdinOnce: boolean;
  AttachStdout: true;
  AttachStderr: true;
  Tty: false;
  HostConfig: {
    NetworkMode: string;
    CapDrop: string[];
    SecurityOpt: string[];
    ReadonlyRootfs: true;
    Tmpfs: Record<string, string>;
    IpcMode: 'private';
    CgroupnsMode: 'private';
    ShmSize: number;
    PidsLimit: number;
    Memory: number;
    MemorySwap: number;
    NanoCpus: number;
    CpuShares: number;
    OomScoreAdj: number;
    Init: true;
    Ulimits: { Name: string; Soft: number; Hard: number }[];
    LogConfig: { Type: string; Config: Record<string, string> };
    RestartPolicy: { Name: 'no' };
    AutoRemove: false;
    Runtime?: string;
  };
}

/** @throws ExecutorError of kind `rejected` when the job asks for what it may not have, or can't be expressed. */
export function containerSpec(job: Job, settings: SpecSettings, context: SpecContext): ContainerSpec {
  if (fullImageName(job.image) === null) throw rejected(`not an image name: ${JSON.stringify(job.image)}`);
  checkLimits(job, settings);
  if (isHostOrForeignNetwork(context.networkMode)) {
    throw rejected(`tasks can't be given the network ${JSON.stringify(context.networkMode)}: it belongs to others`);
  }
  const isScript = job.program.kind === 'script';
  // They come with the script, over standard input. There is no way that leaves no trace for a program alone.
  if (!isScript && job.secrets?.length) throw rejected('secrets can be handed to a script only, not to a command');
  const entrypoint = job.program.kind === 'script' ? bootstrapArgv(context.nonce) : argv(job.program.argv);
  const env = entries({ ...BASE_ENV, ...taskEnv(job) });
  checkSizes([...entrypoint, ...env]);
  const workDirBytes = Math.min(settings.workDirBytes, Math.floor(job.memoryBytes / 2));
  return {
    Image: context.imageId,
    User: `${TASK_USER}:${TASK_USER}`,
    // As the entry point, so that the image's own can't come in front of it.
    Entrypoint: entrypoint,
    Cmd: [],
    Env: env,
    // The engine makes a working directory with mode 0755 in the image, and the mount on top takes that mode over. The
    // bootstrap changes directory itself, so there the mode stays 0700.
    WorkingDir: isScript ? '/' : WORK_DIR,
    Labels: writeLabels({
      gridId: context.gridId,
      key: job.key,
      attempt: job.attempt,
      program: job.program.kind,
      nonce: context.nonce,
      image: { name: job.image, digest: context.imageDigest },
    }),
    AttachStdin: isScript,
    OpenStdin: isScript,
    // Once: a worker that dies closes the task's standard input with it.
    StdinOnce: isScript,
    AttachStdout: true,
    AttachStderr: true,
    Tty: false,
    HostConfig: {
      NetworkMode: context.networkMode,
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges'],
      ReadonlyRootfs: true,
      Tmpfs: {
        ...tmpfs(workDirBytes, context),
        // Always, so that containers which wait for a script fit any.
        ...(isScript ? { [SECRETS_DIR]: secretsMount(context) } : {}),
      },
      IpcMode: 'private',
      CgroupnsMode: 'private',
      ShmSize: Math.min(SHM_BYTES, workDirBytes),
      PidsLimit: settings.pidsLimit,
      Memory: job.memoryBytes,
      // The same figure: memory and swap together, so no swap at all.
      MemorySwap: job.memoryBytes,
      NanoCpus: Math.round(Math.min(job.cpus, context.engineCpus ?? job.cpus) * 1e9),
      // The engine turns it into a weight where the kernel has those instead (cgroup v2). Nothing of the kind for disks: a
      // task's files lie in memory, and weights there need a scheduler that few disks have.
      CpuShares: settings.cpuShares,
      OomScoreAdj: OOM_SCORE_ADJUSTMENT,
      Init: true,
      Ulimits: [
        { Name: 'nofile', Soft: MAX_OPEN_FILES, Hard: MAX_OPEN_FILES },
        { Name: 'core', Soft: 0, Hard: 0 },
        { Name: 'fsize', Soft: workDirBytes, Hard: workDirBytes },
      ],
      LogConfig: { Type: 'json-file', Config: logLimits(context.maxOutputBytes) },
      RestartPolicy: { Name: 'no' },
      AutoRemove: false,
      ...(settings.runtime === null ? {} : { Runtime: settings.runtime }),
    },
  };
}

/** Whose the container is, as long as it has no task. */
export interface WarmOwner {
  gridId: string;
  nodeId: NodeId;
  nonce: string;
}

/**
 * The same container as `spec`, a script's, but made before anybody knows the task: without its variables, which come with
 * the script then, under labels of its own, and from an image that no pull can exchange.
 */
export function warmSpec(spec: ContainerSpec, imageId: string, owner: WarmOwner): ContainerSpec {
  return {
    ...spec,
    Image: imageId,
    Entrypoint: bootstrapArgv(owner.nonce),
    Env: entries(BASE_ENV),
    Labels: writeWarmLabels(owner),
  };
}

/**
 * What all containers have in common that can take each other's place: everything that is fixed when one is created, but
 * for whose it is.
 */
export function warmKey(spec: ContainerSpec, imageId: string): string {
  return JSON.stringify({ ...warmSpec(spec, imageId, { gridId: '', nodeId: '' as NodeId, nonce: '' }), Labels: {} });
}

function checkLimits(job: Job, settings: SpecSettings): void {
  const tooMuch = (name: string, value: number, cap: number) =>
    rejected(`${name} ${value} is above the operator's limit of ${cap}`);
  if (!(job.cpus >= MIN_CPUS)) throw rejected(`cpus must be at least ${MIN_CPUS}`);
  if (job.cpus > settings.cpus) throw tooMuch('cpus', job.cpus, settings.cpus);
  if (!Number.isInteger(job.memoryBytes) || job.memoryBytes < MIN_MEMORY_BYTES) {
    throw rejected(`memory must be at least ${MIN_MEMORY_BYTES} bytes`);
  }
  if (job.memoryBytes > settings.memoryBytes) throw tooMuch('memory in bytes', job.memoryBytes, settings.memoryBytes);
  if (!(job.timeoutMs > 0)) throw rejected('the time limit must be positive');
  if (job.timeoutMs > settings.timeoutMs) throw tooMuch('time limit in ms', job.timeoutMs, settings.timeoutMs);
}

/** The last look, whatever was checked before: `host`, `container:…`, `ns:…` and what an engine makes of a default. */
function isHostOrForeignNetwork(mode: string): boolean {
  return mode !== NO_NETWORK && mode !== 'bridge' && !NETWORK_ID.test(mode);
}

function argv(given: readonly string[]): string[] {
  if (given.length === 0 || given[0] === '') throw rejected('the command is empty');
  if (given.some((argument) => argument.includes('\0'))) throw rejected('the command contains a NUL character');
  return [...given];
}

/** A program of the image's own, and the task, may set these otherwise. */
const BASE_ENV = { HOME: WORK_DIR, TMPDIR: WORK_DIR };

/**
 * What the task itself and its run add to the environment.
 * @throws ExecutorError of kind `rejected` when it can't be expressed.
 */
export function taskEnv(job: Job): Record<string, string> {
  const own = Object.entries(job.env);
  for (const [name, value] of own) {
    if (!ENV_NAME.test(name)) throw rejected(`not a name for an environment variable: ${JSON.stringify(name)}`);
    if (value.includes('\0')) throw rejected(`environment variable ${name} contains a NUL character`);
  }
  // An object, because of two entries with one name the program decides which counts.
  return Object.fromEntries([
    ...own,
    ['DGRID_TASK_ID', job.key.taskId],
    ['DGRID_ATTEMPT', String(job.attempt)],
    ['DGRID_NODE_ID', job.key.nodeId],
    ...(job.secrets?.length ? [['DGRID_SECRETS_DIR', SECRETS_DIR]] : []),
  ]);
}

function entries(env: Readonly<Record<string, string>>): string[] {
  return Object.entries(env).map(([name, value]) => `${name}=${value}`);
}

function checkSizes(strings: readonly string[]): void {
  const sizes = strings.map((text) => Buffer.byteLength(text));
  const tooLong = sizes.some((bytes) => bytes > MAX_STRING_BYTES);
  if (tooLong || sizes.reduce((sum, bytes) => sum + bytes, 0) > MAX_STRINGS_BYTES) {
    throw rejected(
      `an argument or variable is longer than ${MAX_STRING_BYTES} bytes, or all are over ${MAX_STRINGS_BYTES}`,
    );
  }
}

const TMPFS_OWNER: Readonly<Record<EngineQuirks['tmpfs'], string>> = {
  owned: `mode=0700,uid=${TASK_USER},gid=${TASK_USER}`,
  open: 'mode=1777,notmpcopyup',
};

/** In the place of one that the engine would put there by itself. */
const CLOSED_TMPFS = 'rw,noexec,nosuid,nodev,size=65536,mode=0755,notmpcopyup';

function tmpfs(sizeBytes: number, { imageVolumes, quirks }: SpecContext): Record<string, string> {
  // Programs may be run from there: `noexec` stops no script, and breaks whatever compiles itself.
  const options = `rw,exec,nosuid,nodev,size=${sizeBytes},${TMPFS_OWNER[quirks.tmpfs]}`;
  if (imageVolumes.length > MAX_IMAGE_VOLUMES) {
    throw rejected(`the image declares ${imageVolumes.length} volumes, at most ${MAX_IMAGE_VOLUMES} can be covered`);
  }
  const mounts: Record<string, string> = {};
  for (const place of quirks.writablePlaces) mounts[place] = CLOSED_TMPFS;
  for (const volume of imageVolumes) mounts[volume] = options;
  mounts[WORK_DIR] = options;
  return mounts;
}

function secretsMount({ quirks }: SpecContext): string {
  return `rw,noexec,nosuid,nodev,size=${SECRETS_DIR_BYTES},${TMPFS_OWNER[quirks.tmpfs]}`;
}

function logLimits(maxOutputBytes: number): Record<string, string> {
  const fileBytes = Math.max(MIN_LOG_FILE_BYTES, Math.ceil(maxOutputBytes) * LOG_BYTES_PER_OUTPUT_BYTE);
  return { 'max-size': String(fileBytes), 'max-file': String(LOG_FILES) };
}

function rejected(message: string): ExecutorError {
  return new ExecutorError('rejected', message);
}
