/** A daemon of a test's own: started, asked until it answers, and ended with all that came of it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readdir, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

const READY_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 15_000;
const PROBE_EVERY_MS = 100;

export class Daemon {
  readonly #child: ChildProcess;
  readonly #log: string;

  private constructor(child: ChildProcess, log: string) {
    this.#child = child;
    this.#log = log;
  }

  /** @param log a file for what it says @throws Error with the end of that when it does not come up */
  static async start(
    argv: readonly string[],
    options: { log: string; cwd: string; env?: NodeJS.ProcessEnv; probe: () => Promise<void> },
  ): Promise<Daemon> {
    const [command = '', ...args] = argv;
    const log = await open(options.log, 'a');
    const child = spawn(command, args, {
      detached: true,
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: ['ignore', log.fd, log.fd],
    });
    const spawned = once(child, 'spawn');
    await Promise.all([spawned, log.close()]);
    const daemon = new Daemon(child, options.log);
    try {
      await daemon.#ready(options.probe);
    } catch (error) {
      await daemon.stop();
      throw error;
    }
    return daemon;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    const late = setTimeout(() => this.#child.kill('SIGKILL'), STOP_LIMIT_MS);
    await exited;
    clearTimeout(late);
  }

  async #ready(probe: () => Promise<void>): Promise<void> {
    const deadline = performance.now() + READY_LIMIT_MS;
    for (;;) {
      try {
        await probe();
        return;
      } catch (cause) {
        const runs = this.#child.exitCode === null && this.#child.signalCode === null;
        if (runs && performance.now() < deadline) {
          await delay(PROBE_EVERY_MS);
          continue;
        }
        const tail = (await readFile(this.#log, 'utf8').catch(() => '')).slice(-2_000);
        throw new Error(`${this.#child.spawnargs.join(' ')} did not come up: ${tail}`, { cause });
      }
    }
  }
}

/** Ends every process that names `directory` on its command line: monitors and shims, which outlive their daemon. */
export async function endProcessesOf(directory: string): Promise<void> {
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const line = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '');
    if (!line.includes(`${directory}/`)) continue;
    try {
      process.kill(Number(name), 'SIGKILL');
    } catch {
      // gone already
    }
  }
}
