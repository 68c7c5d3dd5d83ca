/**
 * The one door to simple-git, and through it to the git program.
 *
 * Each run is a process group of its own (`setsid`), because git leaves the network to helpers such as `git-remote-http`:
 * ending git alone would leave them behind, holding its pipes. simple-git has no option for that and does not show the
 * process, so the process is caught as Node announces it (`node:diagnostics_channel`).
 *
 * A run is `started → ended`, or `started → ending (why) → ended`: the first reason to end it stays. Ending it means TERM,
 * after `TERM_GRACE_MS` KILL, and after `ABANDON_MS` more the answer is given whatever the process does.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { ChildProcess } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { inspect } from 'node:util';
import { GitConstructError, type SimpleGitOptions, simpleGit } from 'simple-git';
import type { Emit } from '../observe/events.ts';
import type { Clock } from '../runtime.ts';
import { classify, type Ending } from './classify.ts';
import { redact } from './credentials.ts';
import { GitError } from './errors.ts';
import { baseEnvironment, type CommandEnvironment, joinEnvironments, processVariables } from './git-environment.ts';
import { readHttpTrace } from './http-trace.ts';

export const MAX_OUTPUT_BYTES = 256 * 1024 * 1024;
/** On standard error: the other side's words come through there, and it may have no end of them. */
const MAX_SAID_BYTES = 16 * 1024 * 1024;
/** Of what was said, this much from the beginning and from the end is read, and of each line the beginning: patterns are looked for in it. */
const MAX_READ_BYTES = 128 * 1024;
const MAX_LINE_CHARS = 2_000;
const TERM_GRACE_MS = 2_000;
const ABANDON_MS = 5_000;
const MAX_ERROR_CHARS = 2_000;
const OLDEST_GIT: readonly [number, number] = [2, 31];

/** What simple-git must let through, and why it is safe: every value is ours, none comes from a task or a repository. */
const ALLOWED: NonNullable<SimpleGitOptions['unsafe']> = {
  // GIT_CONFIG_GLOBAL=/dev/null switches configuration files off.
  allowUnsafeConfigPaths: true,
  // Settings travel in the environment, where process lists do not show them.
  allowUnsafeConfigEnvCount: true,
  // Empty: a clone takes no hooks and no settings from the machine.
  allowUnsafeTemplateDir: true,
  allowUnsafeHooksPath: true,
  allowUnsafeFsMonitor: true,
  allowUnsafeCredentialHelper: true,
  allowUnsafeSshCommand: true,
};

export interface GitRunOptions {
  /** Must exist. */
  cwd: string;
  /** Standard input; closed at once when absent. */
  input?: Buffer;
  /** On top of the base environment: credentials, GIT_DIR. */
  environment?: CommandEnvironment;
  deadlineMs: number;
  signal?: AbortSignal | undefined;
  /** Less than otherwise on standard output, for what the other side fills. */
  maxOutputBytes?: number;
  /** Answer any exit code instead of throwing. The deadline, the signal and the output's bound still throw. */
  anyExit?: boolean;
}

export interface GitOutput {
  stdout: Buffer;
  /** Without secrets, and without the trace of HTTP. */
  stderr: string;
  exitCode: number;
  /** How long the host asked us to wait; only where HTTP is traced. */
  retryAfterMs: number | null;
}

/** The `cause` of a GitError for a command that ended badly. */
export class GitExit extends Error {
  override readonly name = 'GitExit';
  readonly exitCode: number | null;
  readonly stderr: string;
  constructor(exitCode: number | null, stderr: string) {
    super(`git ended with ${exitCode === null ? 'a signal' : `code ${exitCode}`}`);
    this.exitCode = exitCode;
    this.stderr = stderr;
  }
}

interface Running {
  child: ChildProcess | null;
  ending: Ending;
  outputBytes: number;
  saidBytes: number;
  result: { exitCode: number | null; stdout: readonly Buffer[]; stderr: readonly Buffer[] } | null;
  /** Aborted when somebody wants the run ended. */
  stop: AbortController;
  /** Aborted when it has ended: nothing waits for it any more. */
  over: AbortController;
}

export class GitCommand {
  readonly #clock: Clock;
  readonly #emit: Emit;
  readonly #base: CommandEnvironment;
  readonly #group: boolean;
  readonly #maxOutputBytes: number;
  /**
   * Tells which run a child process belongs to. Holds a bare mark and never the run itself: simple-git keeps the context of
   * each command for ever (every one waits, among others, for one promise that is never settled).
   */
  readonly #runs = new AsyncLocalStorage<symbol>();

  /** @param options.operatorEnv the program's own environment, of which a short list is passed on. */
  constructor(options: { clock: Clock; emit: Emit; operatorEnv: NodeJS.ProcessEnv; maxOutputBytes?: number }) {
    this.#clock = options.clock;
    this.#emit = options.emit;
    this.#base = baseEnvironment(options.operatorEnv);
    this.#maxOutputBytes = options.maxOutputBytes ?? MAX_OUTPUT_BYTES;
    this.#group = isOnPath('setsid', options.operatorEnv['PATH'] ?? '');
  }

  /**
   * Runs `git <args>`. Standard output is bytes, at most `maxOutputBytes` of the constructor (default MAX_OUTPUT_BYTES).
   * @throws GitError with the kind from `classify`; its texts hold no secret.
   */
  async run(args: readonly string[], options: GitRunOptions): Promise<GitOutput> {
    const operation = args[0] ?? 'git';
    if (options.signal?.aborted) throw new GitError('aborted', operation, `git ${operation} was aborted`);
    const environment = options.environment ? joinEnvironments(this.#base, options.environment) : this.#base;
    const run: Running = {
      child: null,
      ending: null,
      outputBytes: 0,
      saidBytes: 0,
      result: null,
      stop: new AbortController(),
      over: new AbortController(),
    };
    const startedMs = this.#clock.monotonicMs();
    let failure: unknown;
    try {
      await this.#carryOut(run, args, environment, options);
    } catch (error) {
      failure = error;
    } finally {
      run.over.abort();
    }
    const trace = readHttpTrace(bounded(Buffer.concat([...(run.result?.stderr ?? [])])));
    const stderr = redact(trace.text, environment.secrets);
    const { retryAfterMs } = trace;
    const exitCode = run.result?.exitCode ?? null;
    this.#emit('git.command', {
      args: args.map((arg) => redact(arg, environment.secrets)).slice(0, 20),
      ms: Math.round(this.#clock.monotonicMs() - startedMs),
      exit_code: exitCode,
      ...(run.ending ? { ended_by: run.ending } : {}),
    });
    if (run.result && exitCode !== null && run.ending === null && (exitCode === 0 || options.anyExit)) {
      return { stdout: Buffer.concat([...run.result.stdout]), stderr, exitCode, retryAfterMs };
    }
    throw this.#error(operation, run, { stderr, retryAfterMs }, failure, options.deadlineMs, environment.secrets);
  }

  /** The version of the git program. @throws GitError (`no-git`) when it is missing or too old. */
  async checkVersion(deadlineMs: number): Promise<string> {
    const { stdout } = await this.run(['version'], { cwd: '/', deadlineMs });
    const text = stdout.toString('utf8').trim();
    const [, major = '0', minor = '0'] = /(\d+)\.(\d+)/.exec(text) ?? [];
    const [oldMajor, oldMinor] = OLDEST_GIT;
    if (Number(major) > oldMajor || (Number(major) === oldMajor && Number(minor) >= oldMinor)) {
      return text.replace(/^git version /, '');
    }
    throw new GitError('no-git', 'version', `${text} is too old: install git ${oldMajor}.${oldMinor} or later`);
  }

  async #carryOut(
    run: Running,
    args: readonly string[],
    environment: CommandEnvironment,
    options: GitRunOptions,
  ): Promise<void> {
    const mark = Symbol('run');
    const onChild = (message: unknown) => {
      if (this.#runs.getStore() === mark) run.child = (message as { process: ChildProcess }).process;
    };
    const onAbort = () => this.#end(run, 'aborted');
    subscribe('child_process', onChild);
    options.signal?.addEventListener('abort', onAbort, { once: true });
    try {
      const abandoned = new Promise<never>((_resolve, reject) => {
        void this.#watch(run, options.deadlineMs).then(
          (overdue) => overdue && reject(new Error('the process did not end')),
        );
      });
      await Promise.race([this.#runs.run(mark, () => this.#spawn(run, args, environment, options)), abandoned]);
    } finally {
      options.signal?.removeEventListener('abort', onAbort);
      unsubscribe('child_process', onChild);
      // Members of the group that let go of the pipes but still run.
      if (run.ending !== null) signalRun(run, 'SIGKILL', this.#group);
    }
  }

  async #spawn(
    run: Running,
    args: readonly string[],
    environment: CommandEnvironment,
    options: GitRunOptions,
  ): Promise<void> {
    const variables = processVariables(environment);
    const git = simpleGit({
      baseDir: options.cwd,
      binary: this.#group ? ['setsid', 'git'] : 'git',
      completion: { onClose: true, onExit: false },
      // Also an empty input is given: without one simple-git leaves the pipe open.
      input: () => options.input ?? Buffer.alloc(0),
      // Judging is done in `run`: simple-git takes a bad exit without a text on standard error for a success.
      errors: (_error, result) => {
        run.result = { exitCode: result.exitCode, stdout: result.stdOut, stderr: result.stdErr };
        return undefined;
      },
      allowEnvironment: Object.keys(variables).filter((name) => name.startsWith('GIT_')),
      unsafe: ALLOWED,
    });
    git.env({
      ...variables,
      // simple-git shows the environment where DEBUG asks for it.
      [inspect.custom]: () => '[environment]',
    });
    const maxOutputBytes = Math.min(this.#maxOutputBytes, options.maxOutputBytes ?? this.#maxOutputBytes);
    git.outputHandler((_command, stdout, stderr) => {
      stdout.on('data', (chunk: Buffer) => {
        run.outputBytes += chunk.length;
        if (run.outputBytes > maxOutputBytes) this.#endDeaf(run);
      });
      stderr.on('data', (chunk: Buffer) => {
        run.saidBytes += chunk.length;
        if (run.saidBytes > MAX_SAID_BYTES) this.#endDeaf(run);
      });
    });
    // `raw` also decodes what it read, which is wasted on large objects.
    if (args[0] === 'cat-file') await git.binaryCatFile(args.slice(1));
    else await git.raw([...args]);
  }

  /** Resolves when the run is over (false), or when it should have been over long ago (true). */
  async #watch(run: Running, deadlineMs: number): Promise<boolean> {
    const over = run.over.signal;
    await this.#clock.sleep(deadlineMs, AbortSignal.any([over, run.stop.signal]));
    if (over.aborted) return false;
    this.#end(run, 'deadline');
    await this.#clock.sleep(TERM_GRACE_MS, over);
    if (over.aborted) return false;
    signalRun(run, 'SIGKILL', this.#group);
    await this.#clock.sleep(ABANDON_MS, over);
    if (over.aborted) return false;
    run.child?.stdout?.destroy();
    run.child?.stderr?.destroy();
    return true;
  }

  /** It talks too much: until it has ended, nothing more of it is kept. */
  #endDeaf(run: Running): void {
    this.#end(run, 'too-large');
    run.child?.stdout?.destroy();
    run.child?.stderr?.destroy();
  }

  #end(run: Running, why: Exclude<Ending, null>): void {
    run.ending ??= why;
    run.stop.abort();
    signalRun(run, 'SIGTERM', this.#group);
  }

  #error(
    operation: string,
    run: Running,
    said: { stderr: string; retryAfterMs: number | null },
    failure: unknown,
    deadlineMs: number,
    secrets: readonly string[],
  ): GitError {
    const exitCode = run.result?.exitCode ?? null;
    const failureText = failure instanceof Error ? redact(failure.message, secrets) : '';
    // simple-git looks for the working directory before it starts anything.
    const noDirectory = failure instanceof GitConstructError;
    const stderr = said.stderr || failureText;
    const { retryAfterMs } = said;
    const kind = noDirectory ? 'local-io' : classify({ exitCode, stderr, ending: run.ending, retryAfterMs });
    const cause = new GitExit(exitCode, stderr);
    const message = messageFor(operation, kind, run.ending, deadlineMs, stderr);
    return new GitError(kind, operation, message, { cause, retryAfterMs });
  }
}

/** The error for a command that was run with `anyExit` and did not do what it should. */
export function exitError(operation: string, output: GitOutput): GitError {
  const { exitCode, retryAfterMs, stderr } = output;
  const kind = classify({ exitCode, stderr, ending: null, retryAfterMs });
  const message = messageFor(operation, kind, null, 0, stderr);
  return new GitError(kind, operation, message, { cause: new GitExit(exitCode, stderr), retryAfterMs });
}

function bounded(said: Buffer): string {
  const text =
    said.length <= 2 * MAX_READ_BYTES
      ? said.toString('utf8')
      : `${said.toString('utf8', 0, MAX_READ_BYTES)}\n${said.toString('utf8', said.length - MAX_READ_BYTES)}`;
  return text
    .split('\n')
    .map((line) => (line.length <= MAX_LINE_CHARS ? line : line.slice(0, MAX_LINE_CHARS)))
    .join('\n');
}

function signalRun(run: Running, signal: NodeJS.Signals, group: boolean): void {
  const child = run.child;
  if (child?.pid === undefined) return;
  try {
    process.kill(group ? -child.pid : child.pid, signal);
  } catch {
    // Not yet a group, in the moment before setsid has run; or gone already.
    child.kill(signal);
  }
}

function messageFor(operation: string, kind: string, ending: Ending, deadlineMs: number, stderr: string): string {
  if (kind === 'no-git') {
    return `git cannot be started: install git ${OLDEST_GIT.join('.')} or later and have it in PATH`;
  }
  if (ending === 'deadline') return `git ${operation} was ended after ${Math.round(deadlineMs / 1000)} s`;
  if (ending === 'aborted') return `git ${operation} was aborted`;
  if (ending === 'too-large') return `git ${operation} gave more output than is taken from one command`;
  const said = stderr
    .split(/[\n\r]+/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('hint:'))
    .join('; ')
    .slice(0, MAX_ERROR_CHARS);
  return `git ${operation} failed: ${said === '' ? 'it gave no reason' : said}`;
}

/** A directory that this user may not look into has nothing for it, as for a shell. */
export function isOnPath(program: string, path: string): boolean {
  return path.split(delimiter).some((dir) => {
    try {
      return dir !== '' && statSync(join(dir, program), { throwIfNoEntry: false })?.isFile() === true;
    } catch {
      return false;
    }
  });
}
