/**
 * What Docker's own configuration file says of credentials for registries, read the way Docker's client reads it. Pure.
 *
 * No message of this file repeats a value: only names of registries, fields and programs.
 */

/** A registry's credentials, in one of the three forms that the engine takes. */
export type Credential =
  | { kind: 'password'; username: string; password: string }
  | { kind: 'identity-token'; token: string }
  | { kind: 'registry-token'; token: string };

export interface DockerConfig {
  /** By the key in the file, as it stands there. */
  auths: ReadonlyMap<string, Credential>;
  /** Names of helper programs, by the same kind of key. */
  helpers: ReadonlyMap<string, string>;
  /** The helper for every registry that has none of its own. */
  store: string | null;
}

export class DockerConfigError extends Error {
  override readonly name = 'DockerConfigError';
}

/** What Docker calls its own registry in this file. */
const HUB_KEY = 'https://index.docker.io/v1/';
const HUB_HOSTS: readonly string[] = ['docker.io', 'index.docker.io'];
const MAX_ENTRIES = 1_000;
/** It becomes part of a program's name, so nothing in it may lead anywhere else. */
const HELPER = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** @throws DockerConfigError */
export function parseDockerConfig(text: string): DockerConfig {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    // The parser's message quotes the text.
    throw new DockerConfigError('it is not JSON');
  }
  const file = asObject(parsed, 'the file');
  const auths = new Map<string, Credential>();
  for (const [key, entry] of entriesOf(file, 'auths')) {
    const credential = credentialOf(asObject(entry, `auths, ${key}`), key);
    if (credential !== null) auths.set(key, credential);
  }
  const helpers = new Map(
    entriesOf(file, 'credHelpers').map(([key, name]) => [key, helperName(name, `credHelpers, ${key}`)] as const),
  );
  const store = file['credsStore'] ?? '';
  return { auths, helpers, store: store === '' ? null : helperName(store, 'credsStore') };
}

/** @param host as in an image's full name. @returns the entry for exactly this registry, or null */
export function entryFor<T>(entries: ReadonlyMap<string, T>, host: string): T | null {
  const wanted = HUB_HOSTS.includes(host) ? HUB_HOSTS : [host];
  const exact = entries.get(serverAddress(host)) ?? entries.get(host);
  if (exact !== undefined) return exact;
  for (const [key, entry] of entries) if (wanted.includes(hostOf(key))) return entry;
  return null;
}

/** How helper programs, and the engine, are told which registry is meant. */
export function serverAddress(host: string): string {
  return HUB_HOSTS.includes(host) ? HUB_KEY : host;
}

/** The value of the engine's X-Registry-Auth header. */
export function registryAuthHeader(credential: Credential, host: string): string {
  const serveraddress = serverAddress(host);
  const fields = {
    password: (given: Credential & { kind: 'password' }) => ({ username: given.username, password: given.password }),
    'identity-token': (given: Credential & { kind: 'identity-token' }) => ({ identitytoken: given.token }),
    'registry-token': (given: Credential & { kind: 'registry-token' }) => ({ registrytoken: given.token }),
  };
  const of = fields[credential.kind] as (given: Credential) => object;
  const json = Buffer.from(JSON.stringify({ ...of(credential), serveraddress }), 'utf8');
  // The engine wants the padding that Node's own base64url leaves out.
  return json.toString('base64').replaceAll('+', '-').replaceAll('/', '_');
}

/** What of a credential must never show. */
export function secretOf(credential: Credential): string {
  return credential.kind === 'password' ? credential.password : credential.token;
}

function hostOf(key: string): string {
  return key.replace(/^https?:\/\//, '').split('/', 1)[0] ?? '';
}

function credentialOf(entry: Record<string, unknown>, key: string): Credential | null {
  const field = (name: string): string => {
    const value = entry[name] ?? '';
    if (typeof value !== 'string') throw new DockerConfigError(`auths, ${key}: "${name}" must be a text`);
    return value;
  };
  const [identityToken, registryToken] = [field('identitytoken'), field('registrytoken')];
  if (identityToken !== '') return { kind: 'identity-token', token: identityToken };
  if (registryToken !== '') return { kind: 'registry-token', token: registryToken };
  const auth = field('auth');
  if (auth === '') {
    const [username, password] = [field('username'), field('password')];
    // An entry without content says that a helper has it.
    return username === '' || password === '' ? null : { kind: 'password', username, password };
  }
  const text = Buffer.from(auth, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 1) throw new DockerConfigError(`auths, ${key}: "auth" must be user:password in base64`);
  return {
    kind: 'password',
    username: text.slice(0, colon),
    password: text.slice(colon + 1).replace(/\0+$/, ''),
  };
}

function entriesOf(file: Record<string, unknown>, name: string): [string, unknown][] {
  const entries = Object.entries(asObject(file[name] ?? {}, name));
  if (entries.length > MAX_ENTRIES) throw new DockerConfigError(`${name} has more than ${MAX_ENTRIES} entries`);
  return entries;
}

function asObject(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new DockerConfigError(`${what} must be a JSON object`);
  }
  return value as Record<string, unknown>;
}

function helperName(value: unknown, what: string): string {
  if (typeof value === 'string' && HELPER.test(value)) return value;
  throw new DockerConfigError(`${what}: must be the name of a helper, which is the end of docker-credential-<name>`);
}
