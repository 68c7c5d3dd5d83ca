/**
 * An engine behind ssh, reached with the machine's own ssh command as the Docker command line does: so the operator's
 * keys, known hosts and configuration count, and a host key that changed is refused. Each connection is one process.
 */
import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { Agent, type ClientRequestArgs } from 'node:http';
import { Duplex } from 'node:stream';
import type { EngineAddress } from './engine-address.ts';

/** Kept of what ssh says when it fails. */
const MAX_STDERR_CHARACTERS = 2048;

export class SshAgent extends Agent {
  readonly #argv: string[];
  readonly #children = new Set<ChildProcess>();

  constructor(address: Extract<EngineAddress, { kind: 'ssh' }>) {
    super({ keepAlive: false });
    this.#argv = sshArgv(address);
  }

  override createConnection(
    _options: ClientRequestArgs,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    const child = spawn('ssh', this.#argv, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#children.add(child);
    child.once('close', () => this.#children.delete(child));
    callback?.(null, new CommandStream(child));
    return undefined;
  }

  override destroy(): void {
    super.destroy();
    for (const child of this.#children) child.kill();
  }
}

/** A command's standard input and output as one stream, which ends the way the command does. */
class CommandStream extends Duplex {
  readonly #child: ChildProcessWithoutNullStreams;

  constructor(child: ChildProcessWithoutNullStreams) {
    super();
    this.#child = child;
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-MAX_STDERR_CHARACTERS);
    });
    child.stdout.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) child.stdout.pause();
    });
    // What can't be written is no news: the command has ended, and how it ended says why.
    child.stdin.on('error', () => {});
    child.once('error', (cause) => this.#fail('the ssh command could not be run', cause));
    // The end of its output alone would hide that it failed.
    child.once('close', (code) => {
      if (code === 0) this.push(null);
      else this.#fail(`ssh ended with code ${code}: ${stderr.trim()}`);
    });
  }

  override _read(): void {
    this.#child.stdout.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#child.stdin.write(chunk, () => done());
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#child.stdin.end(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#child.kill();
    done(error);
  }

  #fail(message: string, cause?: unknown): void {
    this.destroy(Object.assign(new Error(message, { cause }), { code: 'ECONNREFUSED' }));
  }
}

export function sshArgv(address: Extract<EngineAddress, { kind: 'ssh' }>): string[] {
  return [
    // Nobody is there to answer a question.
    '-o',
    'BatchMode=yes',
    '-o',
    'ConnectTimeout=15',
    ...(address.user === null ? [] : ['-l', address.user]),
    ...(address.port === null ? [] : ['-p', String(address.port)]),
    '--',
    address.host,
    'docker',
    'system',
    'dial-stdio',
  ];
}
