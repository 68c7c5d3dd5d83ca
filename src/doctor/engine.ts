/** The container engine: does it answer, can it give what the settings promise, is the default image there? */
import type { Settings } from '../config/settings.ts';
import { isImageAllowed } from '../executor/docker/allow-list.ts';
import type { DockerExecutor } from '../executor/docker/docker-executor.ts';
import type { EngineDetails } from '../executor/docker/engine-facts.ts';
import type { ImageProspect } from '../executor/docker/images.ts';
import type { EngineInfo } from '../executor/executor.ts';
import type { Clock } from '../runtime.ts';
import { broken, type CheckResult, ok, warning } from './check.ts';

/** Docker 23: from here on the engine's seccomp profile refuses sockets that belong to no network namespace. */
const API_WITHOUT_VSOCK = { major: 1, minor: 42 };

export interface EngineFound {
  result: CheckResult;
  /** null: it cannot be asked. */
  info: EngineInfo | null;
}

export async function checkEngine(executor: DockerExecutor): Promise<EngineFound> {
  try {
    const info = await executor.probe();
    const finding = `${info.name} ${info.version}, API ${info.apiVersion}, cgroup v${info.cgroupVersion}`;
    return { result: ok('container engine', finding), info };
  } catch (error) {
    const remedy = 'start the engine, set DOCKER_HOST, and let this user reach its socket (group docker)';
    return { result: broken('container engine', error, remedy), info: null };
  }
}

export function* checkLimits({ docker }: Settings, info: EngineInfo): Generator<CheckResult> {
  if (info.missingLimits.length > 0) {
    yield judgeMissingLimits(info.missingLimits, docker.allowUnlimitedTasks);
    return;
  }
  if (docker.memoryBytes > info.memoryBytes) {
    const finding = `DOCKER_MEMORY is more than the engine's ${Math.round(info.memoryBytes / 1024 ** 2)} MiB: tasks that ask for all of it never start here`;
    yield { check: 'limits', outcome: 'warning', finding, remedy: 'lower DOCKER_MEMORY' };
  } else if (docker.cpus > info.cpus) {
    const finding = `DOCKER_CPUS is ${docker.cpus}, the engine has ${info.cpus}: tasks get at most that`;
    yield { check: 'limits', outcome: 'warning', finding, remedy: 'lower DOCKER_CPUS' };
  } else yield ok('limits', `${docker.cpus} CPUs and ${Math.round(docker.memoryBytes / 1024 ** 2)} MiB for a task`);
}

function judgeMissingLimits(missing: readonly string[], accepted: boolean): CheckResult {
  const finding = `the engine cannot limit the ${missing.join(', ')} of a task`;
  if (accepted) return warning('limits', `${finding}, and tasks run all the same (ALLOW_UNLIMITED_TASKS)`, null);
  const remedy =
    'let the engine use cgroups (as root, or rootless on cgroup v2 with delegation; memory may need cgroup_enable=memory on ' +
    "the kernel's command line), or accept that a task may take the whole machine with ALLOW_UNLIMITED_TASKS=true";
  return broken('limits', `${finding}, so nothing is claimed`, remedy);
}

/**
 * Without a network a task still reaches whoever listens on AF_VSOCK where the engine lets it: the hypervisor of a virtual
 * machine, programs on this machine, other tasks.
 */
export function judgeSockets({ apiVersion, name, version }: EngineInfo): CheckResult {
  const [major = 0, minor = 0] = apiVersion.split('.').map(Number);
  const isNewer =
    major > API_WITHOUT_VSOCK.major || (major === API_WITHOUT_VSOCK.major && minor >= API_WITHOUT_VSOCK.minor);
  if (isNewer) return ok('sockets of tasks', 'none that leads past their network');
  const finding = `${name} ${version} lets tasks open AF_VSOCK sockets, which lead past DOCKER_NETWORK, also to the hypervisor`;
  const remedy =
    'use Docker Engine 23 or newer, or start dockerd with a seccomp profile of your own that refuses AF_VSOCK';
  return warning('sockets of tasks', finding, remedy);
}

const OUTDATED_DRIVERS: readonly string[] = ['aufs', 'devicemapper', 'overlay'];
/** Clocks of two programs on one machine do not differ; more than this is another machine's, and a wrong one. */
const ENGINE_CLOCK_TOLERANCE_MS = 30_000;

export async function* checkEngineDetails(
  executor: DockerExecutor,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<CheckResult> {
  try {
    const details = await executor.describe(signal);
    yield* judgeDetails(details, clock.wallMs());
  } catch (error) {
    yield warning('engine details', error instanceof Error ? error.message : String(error), null);
  }
}

/** @param nowMs by the clock of this machine. Pure. */
export function* judgeDetails(details: EngineDetails, nowMs: number): Generator<CheckResult> {
  const { securityOptions, storageDriver, liveRestore, loggingDriver, nowMs: theirMs } = details;
  yield judgeIsolation(securityOptions, details.rootless);
  if (storageDriver === 'vfs') {
    const finding = 'vfs copies the whole image for every container: tasks start slowly, and the disk fills up';
    yield warning('storage driver', finding, 'let the engine use overlay2 (or fuse-overlayfs, where it is rootless)');
  } else if (storageDriver !== null && OUTDATED_DRIVERS.includes(storageDriver)) {
    yield warning('storage driver', `${storageDriver} is not maintained any more`, 'let the engine use overlay2');
  } else yield ok('storage driver', storageDriver ?? 'not told');
  if (theirMs !== null) {
    const offsetMs = theirMs - nowMs;
    const finding = `${Math.round(Math.abs(offsetMs) / 1000)} s ${offsetMs < 0 ? 'behind' : 'ahead of'} this machine's`;
    yield Math.abs(offsetMs) <= ENGINE_CLOCK_TOLERANCE_MS
      ? ok('engine clock', 'the same as this machine’s')
      : warning('engine clock', `${finding}; start and end of tasks in records are its`, 'set the time, best by NTP');
  }
  yield ok(
    'engine restart',
    liveRestore === true
      ? 'containers outlive it (live-restore)'
      : 'ends running tasks, which are run again (live-restore is off)',
  );
  yield ok('log driver', `json-file for tasks, whatever the engine's own is (${loggingDriver ?? 'not told'})`);
}

function judgeIsolation(options: readonly string[], rootless: boolean): CheckResult {
  const check = 'isolation';
  const has = (name: string): string | undefined =>
    options.find((option) => option.split(',').includes(`name=${name}`));
  const seccomp = has('seccomp');
  const lsm = has('apparmor') ? 'AppArmor' : has('selinux') ? 'SELinux' : 'no AppArmor or SELinux';
  const who = rootless ? 'rootless' : has('userns') ? 'root, with user namespaces' : 'root';
  const finding = `the engine runs as ${who}; ${seccomp ?? 'no seccomp'}; ${lsm}`;
  if (seccomp === undefined || seccomp.includes('unconfined')) {
    const remedy = 'let the engine filter system calls: a kernel with seccomp, and no --seccomp-profile=unconfined';
    return warning(check, `${finding}: tasks may make any system call`, remedy);
  }
  return ok(check, finding);
}

/** That of tasks which name none was looked for with the engine itself. */
export async function* checkNetworks(executor: DockerExecutor, { docker }: Settings): AsyncGenerator<CheckResult> {
  const named = docker.allowedNetworks.filter((entry) => !entry.includes('*'));
  const missing: string[] = [];
  for (const name of named) if (!(await executor.hasNetwork(name))) missing.push(name);
  const allowed = docker.allowedNetworks.length === 0 ? '' : `, allowed besides: ${docker.allowedNetworks.join(', ')}`;
  const finding = `${docker.network} for tasks that name none${allowed}`;
  if (missing.length === 0) yield ok('networks', finding);
  else {
    const remedy = 'create them with "docker network create", or take them out of ALLOWED_NETWORKS';
    yield warning(
      'networks',
      `${finding}; the engine has no ${missing.join(', ')}, so tasks that ask for it fail`,
      remedy,
    );
  }
}

/** Looks for it and brings nothing: whoever asks for advice may be short of room, or on a line that costs. */
export async function checkImage(
  executor: DockerExecutor,
  { docker }: Settings,
  signal: AbortSignal,
): Promise<CheckResult> {
  const { image, allowedImages } = docker;
  if (!isImageAllowed(image, allowedImages)) {
    const finding = `the default image ${image} is not on the list of allowed images: tasks without an image are rejected`;
    return broken('image', finding, 'add DOCKER_IMAGE to ALLOWED_IMAGES');
  }
  try {
    return judgeImage(image, await executor.lookUpImage(image, signal));
  } catch (error) {
    return broken('image', error, IMAGE_REMEDY);
  }
}

const IMAGE_REMEDY = 'pull or load the image by hand, see docs/images.md for private registries, or set DOCKER_IMAGE';

/** Pure. */
export function judgeImage(image: string, prospect: ImageProspect): CheckResult {
  const check = 'image';
  switch (prospect.kind) {
    case 'present':
      return ok(check, `${image} is there (${prospect.digest})`);
    case 'pullable':
      return ok(
        check,
        `${image} is pulled with the first task; the registry has it (${prospect.digest ?? 'no digest'})`,
      );
    case 'untold':
      if (prospect.isThere) return ok(check, `${image} is there, and asked for anew with each task`);
      return warning(
        check,
        `${image} is not there, and this engine can only pull it to see whether it can`,
        IMAGE_REMEDY,
      );
    case 'buildable':
      return ok(check, `${image} cannot be had (${prospect.why}), a small one that is made here takes its place`);
    case 'stale': {
      const finding = `${image} is there, and IMAGE_PULL_POLICY=always asks the registry each time: ${prospect.why}`;
      return broken(check, finding, 'mend the way to the registry, or set IMAGE_PULL_POLICY=missing');
    }
    case 'unavailable':
      return broken(check, `${image} is not there, and cannot be pulled: ${prospect.why}`, IMAGE_REMEDY);
  }
}
