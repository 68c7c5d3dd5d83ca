/**
 * How one git command proves who it is. A secret travels in the environment only (which other users of the machine
 * cannot read), never in an argument, a URL, a configuration file or a text.
 */
import { readFile } from 'node:fs/promises';
import type { GitSettings } from '../config/settings.ts';
import { GitError } from './errors.ts';
import type { CommandEnvironment, ConfigEntry } from './git-environment.ts';
import type { RemoteAddress } from './remote-address.ts';

export type CredentialSettings = Pick<
  GitSettings,
  'token' | 'tokenFile' | 'sshKeyFile' | 'sshKnownHostsFile' | 'credentialHelper'
>;

/** Hosts take any name beside a token; this one is what most document. */
const DEFAULT_USER = 'x-access-token';
const USER_VARIABLE = 'DGRID_GIT_USER';
const SECRET_VARIABLE = 'DGRID_GIT_SECRET';
/** Answers Git's question from the environment. `store` and `erase` are taken without a word. */
const HELPER = `!f() { test "$1" != get || printf 'username=%s\\npassword=%s\\n' "$${USER_VARIABLE}" "$${SECRET_VARIABLE}"; }; f`;

const SSH_CONNECT_SECONDS = 15;
const SSH_ALIVE_SECONDS = 15;
const SSH_ALIVE_TRIES = 4;
const MAX_TOKEN_BYTES = 64 * 1024;

const NOTHING: CommandEnvironment = { variables: {}, config: [], secrets: [] };

/**
 * The environment that lets one command reach the remote. The token file is read at each call, so that it can be
 * replaced while the worker runs.
 * @throws GitError (`auth`) when a configured secret cannot be read.
 */
export async function remoteAccess(address: RemoteAddress, settings: CredentialSettings): Promise<CommandEnvironment> {
  if (address.transport === 'http') return httpAccess(address, settings);
  if (address.transport === 'ssh') return sshAccess(settings);
  return NOTHING;
}

async function httpAccess(address: RemoteAddress, settings: CredentialSettings): Promise<CommandEnvironment> {
  const config: ConfigEntry[] = [];
  const variables: Record<string, string> = {};
  const secrets: string[] = [];
  const found = await httpSecret(address, settings);
  if (found !== null) {
    const { user, secret } = found;
    variables[USER_VARIABLE] = user;
    variables[SECRET_VARIABLE] = secret;
    // Bound to the origin: a redirect to another host gets nothing.
    config.push([`credential.${address.origin}.helper`, HELPER]);
    secrets.push(
      secret,
      secret === '' ? user : '',
      address.password ?? '',
      Buffer.from(`${user}:${secret}`).toString('base64'),
    );
  }
  if (settings.credentialHelper !== null) {
    config.push(['credential.helper', settings.credentialHelper]);
    const user = found?.user ?? address.user;
    if (user !== null) config.push([`credential.${address.origin}.username`, user]);
  }
  return { variables, config, secrets: secrets.filter((text) => text !== '') };
}

/**
 * What the settings say to an http host: user and password, or a token in the place of one of them; null when they say
 * nothing. @throws GitError (`auth`) when a configured secret cannot be read, or cannot be sent.
 */
export async function httpSecret(
  address: RemoteAddress,
  settings: CredentialSettings,
): Promise<{ user: string; secret: string } | null> {
  const token = settings.tokenFile === null ? settings.token : await readToken(settings.tokenFile);
  let secret = token ?? address.password;
  // `https://TOKEN@host/` is a token too, in the place of the name.
  if (address.user !== null && secret === null && settings.credentialHelper === null) secret = '';
  if (secret === null) return null;
  const user = address.user ?? DEFAULT_USER;
  if (/[\0\r\n]/.test(secret + user)) throw new GitError('auth', 'credentials', 'the token contains a line break');
  return { user, secret };
}

async function readToken(path: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new GitError('auth', 'credentials', `the token file ${path} cannot be read: ${(cause as Error).message}`, {
      cause,
    });
  }
  const token = text.trim();
  if (token === '') throw new GitError('auth', 'credentials', `the token file ${path} is empty`);
  if (token.length > MAX_TOKEN_BYTES) throw new GitError('auth', 'credentials', `${path} is too long to be a token`);
  return token;
}

function sshAccess(settings: CredentialSettings): CommandEnvironment {
  const options = [
    'BatchMode=yes',
    `ConnectTimeout=${SSH_CONNECT_SECONDS}`,
    `ServerAliveInterval=${SSH_ALIVE_SECONDS}`,
    `ServerAliveCountMax=${SSH_ALIVE_TRIES}`,
    // A master process in the background would outlive the command and keep its pipes open.
    'ControlMaster=no',
  ];
  if (settings.sshKnownHostsFile === null) options.push('StrictHostKeyChecking=accept-new');
  else {
    options.push('StrictHostKeyChecking=yes', `UserKnownHostsFile=${sshPath(settings.sshKnownHostsFile)}`);
    options.push('GlobalKnownHostsFile=/dev/null');
  }
  if (settings.sshKeyFile !== null) options.push('IdentitiesOnly=yes', `IdentityFile=${sshPath(settings.sshKeyFile)}`);
  const command = ['ssh', ...options.flatMap((option) => ['-o', shellQuote(option)])].join(' ');
  return { variables: { GIT_SSH_COMMAND: command, GIT_SSH_VARIANT: 'ssh' }, config: [], secrets: [] };
}

/** As a value of ssh's configuration: quoted against blanks, `%` doubled because ssh expands `%h` and others. */
function sshPath(path: string): string {
  if (/["\n\r\0\\]|\$\{/.test(path)) {
    throw new GitError('auth', 'credentials', `ssh cannot take a path with such characters in it: ${path}`);
  }
  return `"${path.replaceAll('%', '%%')}"`;
}

/** For a POSIX shell, which is what runs GIT_SSH_COMMAND. */
function shellQuote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Takes these secrets, their URL-encoded forms, and any user and password of a URL out of a text. */
export function redact(text: string, secrets: readonly string[]): string {
  let clean = text;
  for (const secret of secrets) {
    if (secret === '') continue;
    for (const form of new Set([secret, encodeURIComponent(secret)])) clean = clean.replaceAll(form, '[redacted]');
  }
  // Bounded in each part, so that no text takes long.
  return clean.replace(/([a-z][a-z0-9+.-]{0,30}:\/\/)[^\s/@:]{0,1000}:[^\s/@]{0,4000}@/gi, '$1[redacted]@');
}
