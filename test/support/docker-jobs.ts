/** Executors and jobs for tests against a private engine. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { DockerSettings } from '../../src/config/settings.ts';
import { DockerExecutor, type DockerExecutorOptions } from '../../src/executor/docker/docker-executor.ts';
import type { Job, Run, RunEnd } from '../../src/executor/executor.ts';
import type { EventFields, EventName } from '../../src/observe/events.ts';
import { systemClock, systemRandomHex } from '../../src/runtime.ts';
import { type NodeId, nodeId, taskId } from '../../src/task/id.ts';

const MIB = 1024 * 1024;
const TEST_IMAGE = 'busybox:stable';
export const TEST_NODE: NodeId = nodeId('node-1');
export const TEST_GRID = 'grid-of-tests';

export function dockerSettings(host: string, changes: Partial<DockerSettings> = {}): DockerSettings {
  return {
    host,
    tlsVerify: false,
    certPath: null,
    image: TEST_IMAGE,
    imagePullPolicy: 'missing',
    imagePullTimeoutMs: 30_000,
    imagePullStallMs: 30_000,
    dockerConfigDir: '/nonexistent',
    allowedImages: [TEST_IMAGE],
    cpus: 2,
    cpuShares: 512,
    memoryBytes: 256 * MIB,
    timeoutMs: 120_000,
    pidsLimit: 64,
    network: 'none',
    allowedNetworks: [],
    runtime: null,
    workDirBytes: 16 * MIB,
    callTimeoutMs: 20_000,
    allowUnlimitedTasks: false,
    warmPoolSize: 0,
    warmPoolIdleMs: 60_000,
    pruneDanglingImages: false,
    pruneBuildCache: false,
    ...changes,
  };
}

export interface TestExecutor {
  executor: DockerExecutor;
  events: { name: EventName; fields: EventFields }[];
  /** A file that outlives the executor, as the worker's state directory does. */
  ownedImagesFile: string;
  /** Closes it and removes its files. */
  [Symbol.asyncDispose](): Promise<void>;
}

export async function testExecutor(
  host: string,
  changes: Partial<DockerSettings> = {},
  options: Partial<DockerExecutorOptions> = {},
): Promise<TestExecutor> {
  const directory = options.ownedImagesFile ? null : await mkdtemp(join(tmpdir(), 'dgrid-executor-'));
  const events: TestExecutor['events'] = [];
  const ownedImagesFile = options.ownedImagesFile ?? join(directory ?? '', 'images.json');
  const executor = new DockerExecutor({
    settings: dockerSettings(host, changes),
    gridId: TEST_GRID,
    nodeId: TEST_NODE,
    maxOutputBytes: MIB,
    ownedImagesFile,
    handOversDir: join(dirname(ownedImagesFile), 'hand-overs'),
    clock: systemClock,
    randomHex: systemRandomHex,
    emit: (name, fields = {}) => events.push({ name, fields }),
    ...options,
  });
  return {
    executor,
    events,
    ownedImagesFile,
    async [Symbol.asyncDispose]() {
      await executor.close();
      if (directory !== null) await rm(directory, { recursive: true, force: true });
    },
  };
}

let jobs = 0;

/** A job with a task id of its own. */
export function testJob(program: string | readonly string[], changes: Partial<Job> = {}): Job {
  jobs += 1;
  return {
    key: { taskId: taskId(`task-${jobs}`), nodeId: TEST_NODE, incarnation: 'incarnation-1', epoch: 1 },
    attempt: 1,
    image: TEST_IMAGE,
    program: typeof program === 'string' ? { kind: 'script', script: program } : { kind: 'command', argv: program },
    env: {},
    cpus: 1,
    memoryBytes: 64 * MIB,
    timeoutMs: 60_000,
    ...changes,
  };
}

export interface Outcome extends Omit<RunEnd, 'stdout' | 'stderr'> {
  stdout: string;
  stderr: string;
  raw: RunEnd;
}

/** Waits for the end, removes the container, and reads the outputs as text. */
export async function finish(run: Run): Promise<Outcome> {
  try {
    const raw = await run.ended;
    const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8');
    return { ...raw, stdout: text(raw.stdout.bytes), stderr: text(raw.stderr.bytes), raw };
  } finally {
    await run.dispose();
  }
}
