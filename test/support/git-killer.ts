/**
 * Kills git processes (SIGKILL) as they are about to make a certain system call for the n-th time: a `git` first in PATH
 * that runs the real one under strace when it was told to. Needs `strace`.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What a kill may come before. A file gets its name by a link or a rename, its content by writes. */
export const DEADLY_CALLS = { name: 'rename,renameat,renameat2,link,linkat', write: 'write,pwrite64' } as const;
export type DeadlyCalls = keyof typeof DEADLY_CALLS;

export interface KillPlan {
  /** The git command as it is called, e.g. `fetch`. Processes that it starts count for themselves. */
  operation: string;
  calls: DeadlyCalls;
  /** From 1: the call that is not made any more. */
  at: number;
}

export class GitKiller {
  /** To be put first in PATH. */
  readonly path: string;
  readonly #plan: string;
  readonly #traces: string;

  constructor(directory: string) {
    this.path = join(directory, 'bin');
    this.#plan = join(directory, 'plan');
    this.#traces = join(directory, 'traces');
    mkdirSync(this.path, { recursive: true });
    mkdirSync(this.#traces);
    execFileSync('strace', ['--version']);
    const git = execFileSync('sh', ['-c', 'command -v git'], { encoding: 'utf8' }).trim();
    const wrapper = join(this.path, 'git');
    writeFileSync(
      wrapper,
      `#!/bin/sh
{ read -r operation calls at <'${this.#plan}'; } 2>/dev/null
[ "$operation" = "$1" ] || exec ${git} "$@"
exec strace -f -qq -A -o '${this.#traces}'/$$ -e "trace=$calls" -e "inject=$calls:signal=SIGKILL:when=$at" ${git} "$@"
`,
    );
    chmodSync(wrapper, 0o755);
  }

  /** From now on, until `spare` or another plan. */
  kill({ at, calls, operation }: KillPlan): void {
    writeFileSync(`${this.#plan}.new`, `${operation} ${DEADLY_CALLS[calls]} ${at}\n`);
    renameSync(`${this.#plan}.new`, this.#plan);
  }

  spare(): void {
    rmSync(this.#plan, { force: true });
  }

  /** How many processes were killed so far. */
  killed(): number {
    const traces = readdirSync(this.#traces).map((name) => readFileSync(join(this.#traces, name), 'latin1'));
    return traces.reduce((sum, trace) => sum + trace.split('+++ killed by SIGKILL +++').length - 1, 0);
  }
}
