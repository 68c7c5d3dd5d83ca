/** The other end of `programs/client.ts`. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { hermeticEnv } from '../../test/support/temp.ts';
import type { ClientAnswer, ClientRequest } from '../programs/client.ts';

const PROGRAM = join(import.meta.dirname, '../programs/client.ts');

type Reply = { answer: ClientAnswer } | { error: string };

export class BenchClient {
  readonly #child: ChildProcess;
  readonly #ended: Promise<{ error: string }>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#ended = once(child, 'exit').then(() => ({ error: 'the client process ended' }));
  }

  /** @param options.home a directory of its own: the clone lies in it. */
  static start(options: { home: string; url: string; env?: Readonly<Record<string, string>> }): BenchClient {
    mkdirSync(options.home, { recursive: true });
    const env = hermeticEnv(options.home, {
      DGRID_REPO_URL: options.url,
      DGRID_STATE_DIR: join(options.home, 'state'),
      NODE_ID: 'bench',
      ...options.env,
    });
    return new BenchClient(fork(PROGRAM, { cwd: options.home, env, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }));
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** @throws Error with the client's words */
  async ask(request: ClientRequest): Promise<ClientAnswer> {
    const reply = once(this.#child, 'message').then(([message]) => message as Reply);
    this.#child.send(request);
    const first = await Promise.race([reply, this.#ended]);
    if ('error' in first) throw new Error(first.error);
    return first.answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }
}
