/**
 * Asks one of Docker's credential helpers, `docker-credential-<name>` in the path, for a registry's credentials. The answer
 * is a secret and goes nowhere but to the caller; what a helper says beside it is not repeated either.
 */
import { spawn } from 'node:child_process';
import type { Clock } from '../../runtime.ts';
import { DeadlineError, withDeadline } from './deadline.ts';
import type { Credential } from './docker-config.ts';

const HELPER_LIMIT_MS = 10_000;
const MAX_ANSWER_BYTES = 64 * 1024;
/** The helper's way to say that it knows of none. */
const NOT_FOUND = /credentials not found|no credentials/i;
/** In the place of a user's name, when what follows is a token. */
const TOKEN_USER = '<token>';
/** Ours, and nobody else's business. */
const OWN_SECRETS = ['GIT_TOKEN', 'WEBHOOK_SECRET'];

export class CredentialHelperError extends Error {
  override readonly name = 'CredentialHelperError';
}

/** @returns null when the helper has none. @throws CredentialHelperError, or the signal's reason */
export async function askHelper(
  helper: string,
  serverAddress: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<Credential | null> {
  const program = `docker-credential-${helper}`;
  try {
    const { exitCode, answer } = await withDeadline(clock, HELPER_LIMIT_MS, [signal], (ending) =>
      run(program, `${serverAddress}\n`, ending),
    );
    if (exitCode === 0) return readAnswer(program, answer);
    if (NOT_FOUND.test(answer)) return null;
    throw new CredentialHelperError(`${program} ended with code ${exitCode}`);
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof CredentialHelperError) throw cause;
    if (cause instanceof DeadlineError) {
      throw new CredentialHelperError(`${program} did not answer within ${HELPER_LIMIT_MS} ms`);
    }
    const { code } = cause as NodeJS.ErrnoException;
    throw new CredentialHelperError(
      code === 'ENOENT' ? `${program} is not in the path` : `${program} cannot be run (${code ?? 'no reason given'})`,
    );
  }
}

async function run(
  program: string,
  input: string,
  signal: AbortSignal,
): Promise<{ exitCode: number | null; answer: string }> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !OWN_SECRETS.includes(name)));
  // A group of its own, so that what it starts ends with it.
  const child = spawn(program, ['get'], { stdio: ['pipe', 'pipe', 'ignore'], detached: true, env });
  const { promise, resolve, reject } = Promise.withResolvers<{ exitCode: number | null; answer: string }>();
  const end = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // gone already
    }
    child.stdout.destroy();
  };
  const chunks: Buffer[] = [];
  let bytes = 0;
  child.stdout.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= MAX_ANSWER_BYTES) chunks.push(chunk);
    else {
      end();
      reject(new CredentialHelperError(`${program} answered with more than ${MAX_ANSWER_BYTES} bytes`));
    }
  });
  child.on('error', reject);
  child.on('close', (exitCode) => resolve({ exitCode, answer: Buffer.concat(chunks).toString('utf8') }));
  // One that does not read has its reasons; its answer tells.
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  signal.addEventListener('abort', end, { once: true });
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', end);
  }
}

function readAnswer(program: string, answer: string): Credential | null {
  let parsed: unknown;
  try {
    parsed = JSON.parse(answer);
  } catch {
    throw new CredentialHelperError(`${program} answered with something that is not JSON`);
  }
  const { Username: username, Secret: secret } = (parsed ?? {}) as Record<string, unknown>;
  if (typeof username !== 'string' || typeof secret !== 'string') {
    throw new CredentialHelperError(`${program} answered without Username and Secret`);
  }
  if (secret === '') return null;
  return username === TOKEN_USER
    ? { kind: 'identity-token', token: secret }
    : { kind: 'password', username, password: secret };
}
