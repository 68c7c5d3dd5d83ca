/**
 * Where the engine is, read the way every Docker client reads DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH.
 * Pure: which files exist is asked through a parameter.
 */
import { posix } from 'node:path';
import { ExecutorError } from '../executor.ts';

export type EngineAddress =
  | { kind: 'unix'; socketPath: string }
  /** `certPath`: the directory of ca.pem, cert.pem and key.pem; null without TLS. */
  | { kind: 'tcp'; host: string; port: number; certPath: string | null }
  | { kind: 'ssh'; host: string; port: number | null; user: string | null };

export interface AddressSurroundings {
  homeDir: string;
  /** XDG_RUNTIME_DIR, where a rootless engine has its socket. */
  runtimeDir: string | null;
  exists: (path: string) => boolean;
}

const SYSTEM_SOCKET = '/var/run/docker.sock';
const PLAIN_PORT = 2375;
const TLS_PORT = 2376;
/** A name that begins with a dash would be an option to the ssh command. */
const SSH_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/;

/** @throws ExecutorError of kind `engine-unavailable` when the text is no address. */
export function engineAddress(
  settings: { host: string | null; tlsVerify: boolean; certPath: string | null },
  surroundings: AddressSurroundings,
): EngineAddress {
  const { host } = settings;
  if (host === null || host === '') return { kind: 'unix', socketPath: findSocket(surroundings) };
  if (host.startsWith('unix://')) {
    return { kind: 'unix', socketPath: host.slice('unix://'.length) || findSocket(surroundings) };
  }
  if (host.startsWith('/')) return { kind: 'unix', socketPath: host };
  const url = parseUrl(host.includes('://') ? host : `tcp://${host}`, host);
  const name = url.hostname.replace(/^\[(.*)\]$/, '$1');
  if (name === '') throw unusable(host, 'it names no host');
  switch (url.protocol) {
    case 'tcp:':
    case 'http:':
    case 'https:': {
      const tls = settings.tlsVerify || url.protocol === 'https:';
      const port = url.port === '' ? (tls ? TLS_PORT : PLAIN_PORT) : Number(url.port);
      const certPath = tls ? (settings.certPath ?? posix.join(surroundings.homeDir, '.docker')) : null;
      return { kind: 'tcp', host: name, port, certPath };
    }
    case 'ssh:': {
      const user = url.username === '' ? null : decodeURIComponent(url.username);
      if (url.password !== '') throw unusable('ssh://…', 'a password does not belong in it');
      const plainName = /^[0-9a-f:.]+$/i.test(name) || SSH_NAME.test(name);
      if (!plainName || (user !== null && !SSH_NAME.test(user)))
        throw unusable(host, 'host or user has odd characters');
      return { kind: 'ssh', host: name, port: url.port === '' ? null : Number(url.port), user };
    }
    default:
      throw unusable(host, 'use unix://, tcp:// or ssh://');
  }
}

function findSocket({ homeDir, runtimeDir, exists }: AddressSurroundings): string {
  const candidates = [
    SYSTEM_SOCKET,
    ...(runtimeDir === null ? [] : [posix.join(runtimeDir, 'docker.sock')]),
    posix.join(homeDir, '.docker', 'run', 'docker.sock'),
  ];
  return candidates.find(exists) ?? SYSTEM_SOCKET;
}

function parseUrl(text: string, given: string): URL {
  try {
    return new URL(text);
  } catch (cause) {
    throw unusable(given, 'it is no address', cause);
  }
}

function unusable(host: string, why: string, cause?: unknown): ExecutorError {
  return new ExecutorError('engine-unavailable', `DOCKER_HOST ${JSON.stringify(host)} can't be used: ${why}`, {
    cause,
  });
}
