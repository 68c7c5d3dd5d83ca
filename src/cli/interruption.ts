/**
 * The ways in which a running command is told to stop: a signal (exit code 130), or a reader that closed the pipe of our
 * output (exit code 0).
 *
 * States: unwatched → watched (a command asked for the signal) → interrupted.
 * - Unwatched, the process ends at once: the command has nothing to clean up.
 * - Watched, the first interruption aborts the signal and the command ends itself; the second one ends the process.
 * The code of the first interruption stays.
 */
import { EXIT, type ExitCode } from './exit-code.ts';

export class Interruption {
  readonly #controller = new AbortController();
  readonly #exit: (code: ExitCode) => void;
  #watched = false;
  #listening = false;
  #code: ExitCode | null = null;

  constructor(exit: (code: ExitCode) => void) {
    this.#exit = exit;
  }

  /** null until something interrupted. */
  get code(): ExitCode | null {
    return this.#code;
  }

  /** For commands that can stop in order. Listens for signals from here on. */
  signal(): AbortSignal {
    this.#watched = true;
    this.listen();
    return this.#controller.signal;
  }

  /** Takes SIGINT and SIGTERM from the process. Not done unasked, since a worker has its own way with them. */
  listen(): void {
    if (this.#listening) return;
    this.#listening = true;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, this.#onSignal);
  }

  /** Gives the signals back. */
  release(): void {
    this.#listening = false;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, this.#onSignal);
  }

  interrupt(code: ExitCode): void {
    const again = this.#code !== null;
    this.#code ??= code;
    if (!this.#watched) this.#exit(this.#code);
    else if (again && code === EXIT.interrupted) this.#exit(code);
    else this.#controller.abort();
  }

  readonly #onSignal = (): void => this.interrupt(EXIT.interrupted);
}
