/**
 * The worker of `dgrid demo`: a process of its own with everything in a temporary directory.
 *
 * It is started away from the terminal's process group, so that Ctrl-C reaches the demo alone, which then ends it in
 * order: asked twice, killed at last, and whatever container it left behind removed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Environment } from '../../config/machine.ts';
import { OPTION_NAMES, type OptionName } from '../../config/options.ts';
import type { Settings } from '../../config/settings.ts';
import type { DockerExecutor } from '../../executor/docker/docker-executor.ts';
import { type EngineInfo, ExecutorError } from '../../executor/executor.ts';
import type { Clock } from '../../runtime.ts';
import { openExecutor } from '../../worker.ts';
import { Failure } from '../failure.ts';
import { workerProgram } from '../own-programs.ts';

/** Of the settings in the demo's environment; the rest is the demo's own. */
const KEPT: readonly OptionName[] = [
  'DOCKER_HOST',
  'DOCKER_TLS_VERIFY',
  'DOCKER_CERT_PATH',
  'DOCKER_IMAGE',
  'DOCKER_RUNTIME',
  'IMAGE_PULL_POLICY',
  'IMAGE_PULL_TIMEOUT',
];
/** The first request to stop lets tasks finish, the second one stops their containers. */
const FIRST_STOP_MS = 500;
const SECOND_STOP_MS = 15_000;
const SHOWN_LOG_LINES = 15;
const SHOWN_LINE_CHARACTERS = 400;

/** The environment of the worker, on top of what every program gets. */
export function workerEnvironment(env: Environment, dir: string, repoPath: string, nodeId: string): Environment {
  const isSetting = new Set<string>(OPTION_NAMES.filter((name) => !KEPT.includes(name)));
  const rest = Object.entries(env).filter(([name]) => !isSetting.has(name) && !/^DGRID_/i.test(name));
  return {
    ...Object.fromEntries(rest),
    DGRID_REPO_URL: repoPath,
    DGRID_STATE_DIR: join(dir, 'state'),
    NODE_ID: nodeId,
    NODE_NAME: 'demo',
    MAX_PARALLEL_TASKS: '2',
    // What waits when a worker is killed goes at its next start, and there is none.
    WARM_POOL_SIZE: '0',
    // A demo on a busy machine shows tasks, not how a worker waits for better times.
    MAX_CPU_PERCENT: '100',
    MAX_MEMORY_PERCENT: '100',
    MAX_DISK_PERCENT: '100',
    PULL_INTERVAL: '0.3',
    HEARTBEAT_INTERVAL: '2',
    RECORD_DELAY: '0.3',
    SHUTDOWN_GRACE_SECONDS: '1',
    ENGINE_CALL_TIMEOUT: '15',
    HTTP_PORT: '0',
    LOG_FORMAT: 'json',
    LOG_LEVEL: 'info',
  };
}

export class DemoWorker {
  /** Resolves with the exit code; null when it was killed or could not be started. */
  readonly ended: Promise<number | null>;
  readonly #child: ChildProcess;
  readonly #logPath: string;

  private constructor(child: ChildProcess, logPath: string) {
    this.#child = child;
    this.#logPath = logPath;
    this.ended = new Promise((resolve) => {
      child.once('exit', (code) => resolve(code));
      child.once('error', () => resolve(null));
    });
  }

  /** @throws the file system's error when its log cannot be opened. */
  static async start(dir: string, env: Environment): Promise<DemoWorker> {
    const logPath = join(dir, 'worker.log');
    const { path, argv0 } = workerProgram();
    const log: FileHandle = await open(logPath, 'a');
    try {
      const child = spawn(path, ['start', '--until-idle'], {
        argv0,
        cwd: dir,
        env: { ...env },
        detached: true,
        stdio: ['ignore', log.fd, log.fd],
      });
      return new DemoWorker(child, logPath);
    } finally {
      await log.close();
    }
  }

  get isRunning(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** @returns false when it had to be killed, and may have left containers behind. */
  async stop(clock: Clock): Promise<boolean> {
    for (const waitMs of [FIRST_STOP_MS, SECOND_STOP_MS]) {
      if (!this.isRunning) return true;
      this.#child.kill('SIGTERM');
      const waited = new AbortController();
      await Promise.race([this.ended, clock.sleep(waitMs, waited.signal)]);
      waited.abort();
    }
    if (!this.isRunning) return true;
    this.#child.kill('SIGKILL');
    await this.ended;
    return false;
  }

  /** The end of its log, for a person to read. */
  async lastLines(): Promise<string> {
    const text = await readFile(this.#logPath, 'utf8').catch(() => '');
    const lines = text.trimEnd().split('\n').slice(-SHOWN_LOG_LINES);
    return lines.map((line) => line.slice(0, SHOWN_LINE_CHARACTERS)).join('\n');
  }
}

export function demoExecutor(settings: Settings, clock: Clock): DockerExecutor {
  return openExecutor(settings, { clock, emit: () => undefined });
}

/** @throws Failure that says what to do. */
export async function requireEngine(executor: DockerExecutor): Promise<EngineInfo> {
  try {
    return await executor.probe();
  } catch (error) {
    if (!(error instanceof ExecutorError)) throw error;
    throw new Failure(
      'failed',
      `no container engine answers: ${error.message}\n` +
        'install and start Docker, let this user reach its socket (group docker), or set DOCKER_HOST;\n' +
        'in a checkout, "npm run demo" installs and starts one on Debian and Ubuntu as root',
      { cause: error.cause },
    );
  }
}
