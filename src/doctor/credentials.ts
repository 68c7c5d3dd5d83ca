/** What proves to the Git host who we are: is it there, who else may read it, and until when is it good? */
import { readFile, stat } from 'node:fs/promises';
import type { GitSettings, Settings } from '../config/settings.ts';
import { httpSecret } from '../git/credentials.ts';
import { broken, type CheckResult, messageOf, ok, warning } from './check.ts';
import type { DoctorParts } from './subject.ts';

const DAY_MS = 86_400_000;
const EXPIRES_SOON_MS = 7 * DAY_MS;
const OTHERS = 0o077;
const KEY_MAGIC = 'openssh-key-v1\0';
const MAX_KEY_BYTES = 64 * 1024;

export async function* checkCredentials(parts: DoctorParts): AsyncGenerator<CheckResult> {
  const { settings, repository, clock } = parts;
  const { address } = repository.command;
  const { git } = settings;
  if (address.transport === 'http') yield* checkToken(parts, git);
  else if (address.transport === 'ssh') yield await checkSshKey(git);
  else yield ok('credentials', 'this kind of remote asks for none');
  if (address.transport === 'http' && git.token !== null) yield* judgeExpiry(git.token, clock.wallMs());
  if (settings.webhookSecretFile !== null) yield await checkWebhook(settings.webhookSecretFile);
}

async function* checkToken(parts: DoctorParts, git: GitSettings): AsyncGenerator<CheckResult> {
  const check = 'credentials';
  const { tokenFile } = git;
  try {
    const found = await httpSecret(parts.repository.command.address, git);
    if (found === null) {
      const way =
        git.credentialHelper === null ? 'none are set: the host has to let anybody in' : 'a credential helper';
      yield ok(check, way);
      return;
    }
    if (tokenFile === null) {
      yield ok(
        check,
        'a token in the environment, where other programs of this user can read it (GIT_TOKEN_FILE is safer)',
      );
      return;
    }
    yield judgeSecretFile(check, 'GIT_TOKEN_FILE', tokenFile, (await stat(tokenFile)).mode);
    yield* judgeExpiry(found.secret, parts.clock.wallMs());
  } catch (error) {
    yield broken(check, error, 'mend GIT_TOKEN_FILE: one line with the token, readable for the user of the worker');
  }
}

/** Pure. */
export function judgeSecretFile(check: string, setting: string, path: string, mode: number): CheckResult {
  const shown = (mode & 0o777).toString(8).padStart(3, '0');
  if ((mode & OTHERS) === 0) return ok(check, `${setting}: this user alone can read it`);
  return warning(check, `${setting} (${path}, mode ${shown}) can be reached by other users`, `chmod go= ${path}`);
}

/** Tokens in JSON (JWT) say themselves until when they are good. Nothing for others. Pure. */
export function* judgeExpiry(token: string, nowMs: number): Generator<CheckResult> {
  const [, payload = '', signature] = token.split('.');
  if (signature === undefined) return;
  let seconds: unknown;
  try {
    seconds = (JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as { exp?: unknown }).exp;
  } catch {
    return;
  }
  if (typeof seconds !== 'number' || !Number.isFinite(seconds) || Math.abs(seconds) > 8.64e12) return;
  const check = 'token expiry';
  const untilMs = seconds * 1000;
  const until = new Date(untilMs).toISOString();
  const remedy = 'replace it; a file (GIT_TOKEN_FILE) may be replaced while the worker runs';
  if (untilMs <= nowMs) yield broken(check, `the token expired at ${until}`, remedy);
  else if (untilMs - nowMs < EXPIRES_SOON_MS) yield warning(check, `the token expires at ${until}`, remedy);
  else yield ok(check, `the token is good until ${until}`);
}

async function checkSshKey({ sshKeyFile }: GitSettings): Promise<CheckResult> {
  const check = 'credentials';
  if (sshKeyFile === null)
    return ok(check, 'the keys that ssh finds by itself: an agent’s, or those in the home directory');
  try {
    const { mode, size } = await stat(sshKeyFile);
    if (size > MAX_KEY_BYTES) throw new Error(`${sshKeyFile} is too long to be a key`);
    return judgeSshKey(sshKeyFile, mode, await readFile(sshKeyFile, 'utf8'));
  } catch (error) {
    return broken(
      check,
      `GIT_SSH_KEY_FILE cannot be read: ${messageOf(error)}`,
      'name a private key that this user can read',
    );
  }
}

/** Pure. */
export function judgeSshKey(path: string, mode: number, text: string): CheckResult {
  const check = 'credentials';
  if ((mode & OTHERS) !== 0) {
    return broken(
      check,
      `GIT_SSH_KEY_FILE (${path}) can be reached by other users: ssh does not use it then`,
      `chmod 600 ${path}`,
    );
  }
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) {
    return broken(check, `GIT_SSH_KEY_FILE (${path}) is no private key`, 'name the private key, not the .pub file');
  }
  if (isEncrypted(text)) {
    const finding = `GIT_SSH_KEY_FILE (${path}) has a passphrase, and nobody is there to be asked for it`;
    return warning(check, finding, 'hold it in an agent (SSH_AUTH_SOCK), or use a key without: ssh-keygen -p');
  }
  return ok(check, 'GIT_SSH_KEY_FILE: a private key without a passphrase');
}

function isEncrypted(text: string): boolean {
  if (/^Proc-Type: 4,ENCRYPTED$|BEGIN ENCRYPTED PRIVATE KEY/m.test(text)) return true;
  const body = /-----BEGIN OPENSSH PRIVATE KEY-----([^-]*)-----END/.exec(text)?.[1] ?? '';
  const bytes = Buffer.from(body, 'base64');
  if (!bytes.subarray(0, KEY_MAGIC.length).equals(Buffer.from(KEY_MAGIC))) return false;
  const at = KEY_MAGIC.length + 4;
  if (bytes.length < at) return false;
  return bytes.toString('latin1', at, at + bytes.readUInt32BE(KEY_MAGIC.length)) !== 'none';
}

async function checkWebhook(path: NonNullable<Settings['webhookSecretFile']>): Promise<CheckResult> {
  const check = 'webhook secret';
  try {
    const { mode } = await stat(path);
    return judgeSecretFile(check, 'WEBHOOK_SECRET_FILE', path, mode);
  } catch (error) {
    return broken(check, `WEBHOOK_SECRET_FILE cannot be read: ${messageOf(error)}`, 'make it readable for this user');
  }
}
