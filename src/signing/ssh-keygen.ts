/**
 * The one door to OpenSSH's `ssh-keygen`, which makes and checks signatures (PROTOCOL.sshsig). What it prints decides
 * nothing: its exit code does, and its words are passed on for people.
 *
 * It takes a signature as a file only, so each check has a directory of its own for that long.
 */
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const PROGRAM = 'ssh-keygen';
/** Milliseconds of work; more means that something hangs, such as an agent. */
const CHECK_TIMEOUT_MS = 20_000;
const PERSON_TIMEOUT_MS = 300_000;
const MAX_OUTPUT_BYTES = 64 * 1024;
const MAX_WORDS = 300;
/** What it may know of our surroundings: where programs and homes are, and how to reach an agent or ask for a passphrase. */
const PASSED_ON = ['PATH', 'HOME', 'TMPDIR', 'SSH_AUTH_SOCK', 'SSH_ASKPASS', 'SSH_ASKPASS_REQUIRE', 'DISPLAY', 'TERM'];

/** Nothing can be said of any signature, or none can be made: a program, a file or room that is needed is missing. */
export class SigningError extends Error {
  override readonly name = 'SigningError';
}

export interface SshKeygenResult {
  exitCode: number;
  stdout: Buffer;
  /** One line for people, bounded. */
  words: string;
}

export interface SignatureCheck {
  /** What was signed. */
  content: Uint8Array;
  /** Armoured, as `ssh-keygen -Y sign` writes it. */
  signature: Uint8Array;
  namespace: string;
  /** In OpenSSH's allowed-signers format. */
  trustedKeysFile: string;
  /** A key revocation list, or public keys one a line; null: no key is revoked. */
  revokedKeysFile: string | null;
}

/** `principal`: under which name the key stands in the file of trusted keys. */
export type SignatureVerdict = { ok: true; principal: string } | { ok: false; problem: string };

/** @throws SigningError */
export async function checkSignature(check: SignatureCheck): Promise<SignatureVerdict> {
  const directory = await forCheck(() => mkdtemp(join(tmpdir(), 'dgrid-signature-')));
  try {
    const file = join(directory, 'signature');
    await forCheck(() => writeFile(file, check.signature, { mode: 0o600 }));
    const found = await run(['-Y', 'find-principals', '-s', file, '-f', check.trustedKeysFile], Buffer.alloc(0));
    if (found.exitCode !== 0)
      return { ok: false, problem: `no trusted key made it (${withoutPath(found.words, directory)})` };
    let problem = 'the key stands in the list of trusted keys without a name';
    for (const principal of principalsIn(found.stdout.toString('utf8'))) {
      const revoked = check.revokedKeysFile === null ? [] : ['-r', check.revokedKeysFile];
      const { namespace, trustedKeysFile } = check;
      const verified = await run(
        ['-Y', 'verify', '-f', trustedKeysFile, '-I', principal, '-n', namespace, '-s', file, ...revoked],
        check.content,
      );
      if (verified.exitCode === 0) return { ok: true, principal };
      problem = withoutPath(verified.words, directory);
    }
    return { ok: false, problem };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** The file that a check needs: a full or closed disk for temporary files is nobody's bad signature. @throws SigningError */
async function forCheck<T>(make: () => Promise<T>): Promise<T> {
  try {
    return await make();
  } catch (cause) {
    throw new SigningError(`no signature can be checked: ${(cause as Error).message}`, { cause });
  }
}

/**
 * @param keyFile a private key, or the public half of one that an agent holds.
 * @param by who is there to be asked: a person may have to find a passphrase, or touch a security key.
 * @returns the armoured signature.
 * @throws SigningError
 */
export async function makeSignature(
  content: Uint8Array,
  keyFile: string,
  namespace: string,
  by: 'person' | 'worker',
): Promise<Buffer> {
  const timeoutMs = by === 'person' ? PERSON_TIMEOUT_MS : CHECK_TIMEOUT_MS;
  const made = await run(['-Y', 'sign', '-n', namespace, '-f', keyFile], content, timeoutMs);
  if (made.exitCode !== 0) throw new SigningError(`${PROGRAM} cannot sign with ${keyFile}: ${made.words}`);
  return made.stdout;
}

/**
 * A new Ed25519 key in `file`, its public half in `file.pub`. A new user has no ~/.ssh yet: the directory is made.
 * @throws SigningError, also when the file is there
 */
export async function generateKey(file: string, comment: string): Promise<void> {
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new SigningError(`the directory of ${file} cannot be made: ${(cause as Error).message}`, { cause });
  }
  const made = await run(['-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', file], Buffer.from('n\n'));
  if (made.exitCode !== 0) throw new SigningError(`${PROGRAM} cannot make the key ${file}: ${made.words}`);
}

/** @returns null when it is no key. @throws SigningError */
export async function fingerprintOf(publicKey: string): Promise<string | null> {
  const shown = await run(['-l', '-f', '-'], Buffer.from(`${publicKey}\n`));
  const fingerprint = shown.stdout.toString('utf8').split(' ')[1];
  return shown.exitCode === 0 && fingerprint ? fingerprint : null;
}

/** A line of the file may name several: the first that is no pattern says most. */
function principalsIn(output: string): string[] {
  return output
    .split('\n')
    .flatMap((line) => line.split(','))
    .map((name) => name.trim())
    .filter((name) => name !== '' && !name.startsWith('!') && !name.startsWith('-'))
    .toSorted((a, b) => Number(/[*?]/.test(a)) - Number(/[*?]/.test(b)))
    .slice(0, 8);
}

function withoutPath(words: string, directory: string): string {
  return words.replaceAll(`${directory}/`, '');
}

function run(args: readonly string[], input: Uint8Array, timeoutMs = CHECK_TIMEOUT_MS): Promise<SshKeygenResult> {
  return new Promise((resolve, reject) => {
    const env = Object.fromEntries(PASSED_ON.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
    const child = spawn(PROGRAM, args, {
      env: { ...env, LC_ALL: 'C' },
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => keep(out, chunk));
    child.stderr.on('data', (chunk: Buffer) => keep(err, chunk));
    // It need not read to the end of what it refuses.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    child.on('error', (cause: NodeJS.ErrnoException) => {
      const remedy = cause.code === 'ENOENT' ? ': install OpenSSH (Debian, Ubuntu: openssh-client)' : '';
      reject(new SigningError(`${PROGRAM} cannot be started${remedy}`, { cause }));
    });
    child.on('close', (exitCode, signal) => {
      if (exitCode === null)
        reject(new SigningError(`${PROGRAM} was ended by ${signal ?? 'a signal'}; it may take ${timeoutMs} ms`));
      else resolve({ exitCode, stdout: Buffer.concat(out), words: wordsOf(Buffer.concat(err)) });
    });
  });
}

function keep(chunks: Buffer[], chunk: Buffer): void {
  const kept = chunks.reduce((sum, { length }) => sum + length, 0);
  if (kept < MAX_OUTPUT_BYTES) chunks.push(chunk.subarray(0, MAX_OUTPUT_BYTES - kept));
}

function wordsOf(stderr: Buffer): string {
  const lines = stderr
    .toString('utf8')
    .split(/[\r\n]+/)
    .map((line) => line.trim())
    .filter((line) => line !== '');
  return (
    lines
      .join('; ')
      .replaceAll(/[^\x20-\x7e]/g, '?')
      .slice(0, MAX_WORDS) || 'without a word'
  );
}
