/** The real `dgrid-worker start` as a process of its own, with its log read line by line. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { EVENTS, type EventName } from '../../src/observe/events.ts';
import { CANARY_TOKEN, expectNoCanary } from './canary.ts';
import { hermeticEnv } from './temp.ts';
import { until } from './until.ts';

const PROGRAM: readonly string[] = [join(import.meta.dirname, '../../bin/dgrid-worker'), 'start'];

export interface LogEntry {
  event: EventName;
  msg: string;
  time: string;
  [field: string]: unknown;
}

export interface WorkerProcessOptions {
  /** Its state directory is kept between runs of the same name. */
  directory: string;
  name: string;
  repoUrl: string;
  dockerHost: string;
  env?: Readonly<Record<string, string>>;
  args?: readonly string[];
  /** Another program than `dgrid-worker start`, with its first arguments. */
  program?: readonly string[];
  /** For a long life: told of each entry, of which only the latest are kept. */
  onEntry?: (entry: LogEntry) => void;
}

const KEPT_ENTRIES = 2_000;
const KEPT_CHARACTERS = 1_000_000;

export class WorkerProcess {
  readonly name: string;
  readonly log: LogEntry[] = [];
  /** Everything the process said, also what is no log entry. */
  output = '';
  readonly child: ChildProcess;
  readonly #exited: Promise<number | null>;
  readonly #onEntry: ((entry: LogEntry) => void) | null;

  private constructor(name: string, child: ChildProcess, onEntry: ((entry: LogEntry) => void) | null) {
    this.name = name;
    this.child = child;
    this.#onEntry = onEntry;
    for (const stream of [child.stdout, child.stderr]) {
      if (!stream) continue;
      createInterface({ input: stream }).on('line', (line) => this.#take(line));
    }
    this.#exited = once(child, 'close').then(([code]) => code as number | null);
  }

  static start(options: WorkerProcessOptions): WorkerProcess {
    const home = join(options.directory, options.name);
    mkdirSync(home, { recursive: true });
    const env = hermeticEnv(home, {
      DGRID_REPO_URL: options.repoUrl,
      DGRID_STATE_DIR: join(home, 'state'),
      NODE_ID: options.name,
      DOCKER_HOST: options.dockerHost,
      HTTP_PORT: '0',
      LOG_FORMAT: 'json',
      PULL_INTERVAL: '1',
      HEARTBEAT_INTERVAL: '2',
      RECORD_DELAY: '1',
      DOCKER_MEMORY: '64m',
      DOCKER_WORK_SIZE: '16m',
      // Tests count containers, and kill at steps; what is made ahead of tasks is asked for where it is meant.
      WARM_POOL_SIZE: '0',
      // The machine that runs the tests is busy; what thresholds do has tests of its own.
      MAX_CPU_PERCENT: '100',
      MAX_MEMORY_PERCENT: '100',
      MAX_DISK_PERCENT: '100',
      MAX_MEMORY_PRESSURE: '0',
      ...(options.env?.['GIT_TOKEN_FILE'] === undefined ? { GIT_TOKEN: CANARY_TOKEN } : {}),
      ...options.env,
    });
    const [command = '', ...first] = options.program ?? PROGRAM;
    const child = spawn(command, [...first, ...(options.args ?? [])], {
      cwd: home,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return new WorkerProcess(options.name, child, options.onEntry ?? null);
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error('the worker process could not be started');
    return this.child.pid;
  }

  entries(event: EventName): LogEntry[] {
    return this.log.filter((entry) => entry.event === event);
  }

  /** Waits for a log entry, past or future. @throws Error with the whole log when the process ends before, or in vain. */
  async logged(
    event: EventName,
    matches: (entry: LogEntry) => boolean = () => true,
    boundMs = 30_000,
  ): Promise<LogEntry> {
    const found = (): LogEntry | undefined => this.entries(event).find(matches);
    await until(`${this.name}: ${EVENTS[event].message}`, () => found() !== undefined || this.ended, boundMs).catch(
      (error: unknown) => {
        throw new Error(`${String(error)}\n${this.output}`, { cause: error });
      },
    );
    const entry = found();
    if (!entry) throw new Error(`${this.name} ended without "${EVENTS[event].message}"\n${this.output}`);
    return entry;
  }

  get ended(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** The exit code, or null after a signal. */
  exit(): Promise<number | null> {
    return this.#exited;
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (!this.ended) this.child.kill(signal);
    return this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop('SIGKILL');
  }

  #take(line: string): void {
    // Thrown past everything that waits: whatever the test is about, it has failed.
    expectNoCanary(`the output of ${this.name}`, line);
    this.output += `${line}\n`;
    if (!line.startsWith('{')) return;
    try {
      const entry = JSON.parse(line) as LogEntry;
      this.log.push(entry);
      this.#onEntry?.(entry);
    } catch {
      // Part of something else; it stays in `output`.
    }
    if (this.#onEntry && this.log.length > 2 * KEPT_ENTRIES) {
      this.log.splice(0, KEPT_ENTRIES);
      this.output = this.output.slice(-KEPT_CHARACTERS);
    }
  }
}
