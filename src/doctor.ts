/**
 * Looks at everything the worker stands on, the way the worker itself would use it, and says how to mend what is broken.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Settings } from './config/settings.ts';
import { isImageAllowed } from './executor/docker/allow-list.ts';
import type { DockerExecutor } from './executor/docker/docker-executor.ts';
import { type EngineInfo, ExecutorError } from './executor/executor.ts';
import type { CliRepository } from './git/cli-repository.ts';
import { GitError } from './git/errors.ts';
import { makeCommit, makeTree } from './git/objects.ts';
import { type Oid, refName } from './git/oid.ts';
import type { SwapVerdict } from './git/repository.ts';
import { resumePercentOf } from './host/admission.ts';
import { Sensors } from './host/sensors.ts';
import { writeStateFile } from './host/state-file.ts';
import { findNamespace, NAMESPACES, type Namespace, namespaceOf } from './ledger/names.ts';
import type { Emit } from './observe/events.ts';
import { type Clock, systemRandomHex } from './runtime.ts';
import { openExecutor, openRepository } from './worker.ts';

export interface CheckResult {
  check: string;
  /** `warning`: the worker runs, but not as well as it could. */
  outcome: 'ok' | 'warning' | 'broken';
  finding: string;
  /** How to mend it; null when there is nothing to mend. */
  remedy: string | null;
}

export interface DoctorOptions {
  settings: Settings;
  clock: Clock;
  emit: Emit;
  operatorEnv: NodeJS.ProcessEnv;
}

const CLOCK_TOLERANCE_MS = 120_000;
const CLOCK_REQUEST_MS = 10_000;

const ok = (check: string, finding: string): CheckResult => ({ check, outcome: 'ok', finding, remedy: null });

/** Runs the checks one after the other; each is told as soon as it is done. */
export async function* examine(options: DoctorOptions): AsyncGenerator<CheckResult> {
  const { settings, clock, emit, operatorEnv } = options;
  const repository = openRepository(settings, { clock, emit, operatorEnv });
  yield await checkGit(repository);
  yield await checkState(settings);
  const remote = await checkRemote(repository, settings);
  yield remote.result;
  yield await checkClock(settings, clock);
  if (remote.namespace) yield await checkSwaps(repository, remote.namespace, clock);
  const executor = openExecutor(settings, { clock, emit });
  try {
    const engine = await checkEngine(executor);
    yield engine.result;
    if (engine.info) {
      yield* checkLimits(settings, engine.info);
      yield await checkImage(executor, settings);
    }
    yield* checkMachine(await new Sensors({ clock }).read(diskPaths(settings, engine.info)), settings);
  } finally {
    await executor.close();
  }
}

async function checkGit(repository: CliRepository): Promise<CheckResult> {
  try {
    return ok('git', `git ${await repository.gitVersion()}`);
  } catch (error) {
    return broken('git', error, 'install git 2.31 or newer and put it in PATH');
  }
}

async function checkState({ stateDir }: Settings): Promise<CheckResult> {
  const path = join(stateDir, 'probe');
  try {
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    await writeStateFile(path, 'writable\n');
    await rm(path);
    return ok('state directory', `${stateDir} can be written`);
  } catch (error) {
    return broken('state directory', error, 'make the directory writable for this user, or set DGRID_STATE_DIR');
  }
}

async function checkRemote(
  repository: CliRepository,
  { git, refNamespace }: Settings,
): Promise<{ result: CheckResult; namespace: Namespace | null }> {
  const { url } = repository.address;
  try {
    const namespace = namespaceOf(refNamespace) ?? (await findNamespace(repository));
    const { refs, headBranch } = await repository.listRefs(['refs/heads/', ...NAMESPACES]);
    const branch = git.branch ? `refs/heads/${git.branch}` : headBranch;
    if (branch && refs.has(refName(branch))) {
      return { result: ok('repository', `${url}, branch ${branch}, ${refs.size} refs`), namespace };
    }
    const finding = branch ? `${url} has no branch ${branch}` : `${url} has no commit yet`;
    const remedy = git.branch ? 'set DGRID_BRANCH to a branch that exists' : 'run "dgrid init" on it, or queue a task';
    return { result: { check: 'repository', outcome: 'warning', finding, remedy }, namespace };
  } catch (error) {
    const kind = error instanceof GitError ? error.kind : 'unknown';
    const remedy =
      kind === 'auth' || kind === 'not-found'
        ? 'check DGRID_REPO_URL and the credentials (GIT_TOKEN, GIT_TOKEN_FILE, GIT_SSH_KEY_FILE, GIT_CREDENTIAL_HELPER)'
        : 'check DGRID_REPO_URL and the way to the host: name resolution, proxy, firewall';
    return { result: broken('repository', error, remedy), namespace: null };
  }
}

/** No rule of the ledger needs a right clock; people who read records do. */
async function checkClock({ git }: Settings, clock: Clock): Promise<CheckResult> {
  const check = 'clock';
  if (!/^https?:/.test(git.repoUrl)) {
    return ok(check, `${new Date(clock.wallMs()).toISOString()} (this kind of remote does not tell its own)`);
  }
  try {
    const response = await fetch(git.repoUrl, {
      method: 'HEAD',
      redirect: 'manual',
      signal: AbortSignal.timeout(CLOCK_REQUEST_MS),
    });
    const theirMs = Date.parse(response.headers.get('date') ?? '');
    if (Number.isNaN(theirMs)) return ok(check, 'the remote does not tell its time');
    const offsetMs = clock.wallMs() - theirMs;
    if (Math.abs(offsetMs) <= CLOCK_TOLERANCE_MS)
      return ok(check, `within ${CLOCK_TOLERANCE_MS / 1000} s of the remote's`);
    const finding = `differs from the remote's by ${Math.round(offsetMs / 1000)} s; times in records will mislead people`;
    return { check, outcome: 'warning', finding, remedy: 'set the time, best by NTP' };
  } catch (error) {
    return {
      check,
      outcome: 'warning',
      finding: `the remote's time cannot be asked for: ${messageOf(error)}`,
      remedy: null,
    };
  }
}

/** Does the remote keep the promise that everything rests on: that a ref moves only from what it was thought to be? */
async function checkSwaps(repository: CliRepository, namespace: Namespace, clock: Clock): Promise<CheckResult> {
  const check = 'compare-and-swap';
  const ref = refName(`${namespace}/doctor/${systemRandomHex(8)}`);
  const tree = makeTree([], repository.objectFormat());
  const identity = { name: 'dgrid-worker doctor', email: 'doctor@d-grid.local', seconds: clock.wallMs() / 1000 };
  const [first, second] = [1, 2].map((number) =>
    makeCommit(
      { tree: tree.oid, parents: [], author: identity, committer: identity, message: `probe ${number} ${ref}` },
      repository.objectFormat(),
    ),
  ) as [ReturnType<typeof makeCommit>, ReturnType<typeof makeCommit>];
  const swap = async (from: Oid | null, to: Oid | null): Promise<SwapVerdict['kind'] | undefined> =>
    (await repository.swapRefs([{ ref, from, to }])).get(ref)?.kind;
  try {
    await repository.writeObjects([tree, first, second]);
    const steps: { name: string; got: string | undefined; expected: string }[] = [];
    steps.push({ name: 'create', got: await swap(null, first.oid), expected: 'applied' });
    steps.push({ name: 'create what exists', got: await swap(null, second.oid), expected: 'rejected' });
    steps.push({ name: 'swap', got: await swap(first.oid, second.oid), expected: 'applied' });
    steps.push({ name: 'swap from an old state', got: await swap(first.oid, null), expected: 'rejected' });
    steps.push({ name: 'delete', got: await swap(second.oid, null), expected: 'applied' });
    const wrong = steps.filter(({ got, expected }) => got !== expected);
    if (wrong.length === 0) return ok(check, `the remote swaps refs below ${namespace} correctly`);
    const finding = wrong
      .map(({ name, got, expected }) => `${name}: ${got ?? 'no answer'}, expected ${expected}`)
      .join('; ');
    const remedy =
      `let this account create, change and delete refs below ${namespace}, ` +
      'or set DGRID_REF_NAMESPACE=refs/heads/dgrid for all workers';
    return { check, outcome: 'broken', finding, remedy };
  } catch (error) {
    return broken(check, error, `the account must be allowed to push to ${namespace}`);
  }
}

async function checkEngine(executor: DockerExecutor): Promise<{ result: CheckResult; info: EngineInfo | null }> {
  try {
    const info = await executor.probe();
    const finding = `${info.name} ${info.version}, API ${info.apiVersion}, cgroup v${info.cgroupVersion}`;
    return { result: ok('container engine', finding), info };
  } catch (error) {
    const remedy = 'start the engine, set DOCKER_HOST, and let this user reach its socket (group docker)';
    return { result: broken('container engine', error, remedy), info: null };
  }
}

function* checkLimits({ docker }: Settings, info: EngineInfo): Generator<CheckResult> {
  if (docker.memoryBytes > info.memoryBytes) {
    const finding = `DOCKER_MEMORY is more than the engine's ${Math.round(info.memoryBytes / 1024 ** 2)} MiB: tasks that ask for all of it never start here`;
    yield { check: 'limits', outcome: 'warning', finding, remedy: 'lower DOCKER_MEMORY' };
  } else if (docker.cpus > info.cpus) {
    const finding = `DOCKER_CPUS is ${docker.cpus}, the engine has ${info.cpus}: tasks get at most that`;
    yield { check: 'limits', outcome: 'warning', finding, remedy: 'lower DOCKER_CPUS' };
  } else yield ok('limits', `${docker.cpus} CPUs and ${Math.round(docker.memoryBytes / 1024 ** 2)} MiB for a task`);
}

async function checkImage(executor: DockerExecutor, { docker }: Settings): Promise<CheckResult> {
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

function diskPaths({ stateDir }: Settings, info: EngineInfo | null): string[] {
  return info?.dataRoot ? [stateDir, info.dataRoot] : [stateDir];
}

function* checkMachine(reading: Awaited<ReturnType<Sensors['read']>>, settings: Settings): Generator<CheckResult> {
  const gauges = [
    { check: 'cpu', percent: reading.cpuPercent, max: settings.maxCpuPercent, setting: 'MAX_CPU_PERCENT' },
    {
      check: 'memory',
      percent: reading.memory?.usedPercent ?? null,
      max: settings.maxMemoryPercent,
      setting: 'MAX_MEMORY_PERCENT',
    },
    ...reading.disks.map(({ path, disk }) => ({
      check: `disk ${path}`,
      percent: disk?.usedPercent ?? null,
      max: settings.maxDiskPercent,
      setting: 'MAX_DISK_PERCENT',
    })),
  ];
  for (const { check, percent, max, setting } of gauges) {
    if (percent === null) {
      const why = reading.failures.find(
        ({ sensor }) => sensor === check || check.endsWith(sensor.replace('disk:', '')),
      );
      yield { check, outcome: 'warning', finding: `cannot be read: ${why?.reason ?? 'no reason given'}`, remedy: null };
    } else if (percent > max) {
      const finding = `${percent.toFixed(1)} % used, claiming pauses above ${max} % and resumes below ${resumePercentOf(max)} %`;
      yield { check, outcome: 'warning', finding, remedy: `free some, or raise ${setting}` };
    } else yield ok(check, `${percent.toFixed(1)} % used, claiming pauses above ${max} %`);
  }
}

function broken(check: string, error: unknown, remedy: string | null): CheckResult {
  return { check, outcome: 'broken', finding: messageOf(error), remedy };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
