/** The container engine: does it answer, can it give what the settings promise, is the default image there? */
import type { Settings } from '../config/settings.ts';
import { isImageAllowed } from '../executor/docker/allow-list.ts';
import type { DockerExecutor } from '../executor/docker/docker-executor.ts';
import { type EngineInfo, ExecutorError } from '../executor/executor.ts';
import { broken, type CheckResult, ok, warning } from './check.ts';

/** Docker 23: from here on the engine's seccomp profile refuses sockets that belong to no network namespace. */
const API_WITHOUT_VSOCK = { major: 1, minor: 42 };

export async function checkEngine(executor: DockerExecutor): Promise<{ result: CheckResult; info: EngineInfo | null }> {
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

export async function checkImage(executor: DockerExecutor, { docker }: Settings): Promise<CheckResult> {
  if (!isImageAllowed(docker.image, docker.allowedImages)) {
    const finding = `the default image ${docker.image} is not on the list of allowed images: tasks without an image are rejected`;
    return { check: 'image', outcome: 'broken', finding, remedy: 'add DOCKER_IMAGE to ALLOWED_IMAGES' };
  }
  try {
    const { name, digest } = await executor.ensureImage(docker.image);
    const finding =
      name === docker.image ? `${name} is there (${digest})` : `${docker.image} cannot be had, ${name} takes its place`;
    return ok('image', finding);
  } catch (error) {
    const remedy = error instanceof ExecutorError ? 'pull or load the image by hand, or set DOCKER_IMAGE' : null;
    return broken('image', error, remedy);
  }
}
