/**
 * How a connection to the engine is made: the agent that opens it, and where it goes, in the words of an HTTP request.
 *
 * A connection is used once: on one that is kept alive, a request that dies cannot be told from one that was never sent.
 */
import { existsSync, readFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { Agent as TlsAgent } from 'node:https';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { ExecutorError } from '../executor.ts';
import { type EngineAddress, engineAddress } from './engine-address.ts';
import { SshAgent } from './ssh-agent.ts';

export interface EngineSettings {
  host: string | null;
  tlsVerify: boolean;
  certPath: string | null;
  callTimeoutMs: number;
}

export interface EnginePlace {
  protocol: 'http' | 'https';
  socketPath?: string;
  host?: string | undefined;
  port?: number | undefined;
  ca?: Buffer | undefined;
  cert?: Buffer | undefined;
  key?: Buffer | undefined;
}

export interface EngineTransport {
  agent: Agent;
  place: EnginePlace;
  address: EngineAddress;
}

/** @throws ExecutorError of kind `engine-unavailable` for a wrong address or a missing certificate. */
export function engineTransport(settings: EngineSettings): EngineTransport {
  const address = engineAddress(settings, {
    homeDir: homedir(),
    runtimeDir: process.env['XDG_RUNTIME_DIR'] ?? null,
    exists: existsSync,
  });
  try {
    return { agent: opaque(agentFor(address), 'Agent'), place: transportOptions(address), address };
  } catch (cause) {
    throw new ExecutorError('engine-unavailable', `the connection to the engine can't be set up`, { cause });
  }
}

/**
 * docker-modem writes the options of every request out for its debug log, all the way down and also when nobody reads it:
 * with the agent's open sockets that took more of the processor than everything else that the worker does for a short task.
 * Nor do credentials belong there.
 */
export function opaque<T extends object>(value: T, shown: string): T {
  return Object.assign(value, { [inspect.custom]: () => shown });
}

function agentFor(address: EngineAddress): Agent {
  if (address.kind === 'ssh') return new SshAgent(address);
  if (address.kind === 'tcp' && address.certPath !== null) return new TlsAgent({ keepAlive: false });
  return new Agent({ keepAlive: false });
}

function transportOptions(address: EngineAddress): EnginePlace {
  // All named, so that nothing the transport reads from the environment by itself stays in force.
  const nothing = {
    host: undefined,
    port: undefined,
    ca: undefined,
    cert: undefined,
    key: undefined,
    timeout: undefined,
  };
  if (address.kind === 'unix') return { ...nothing, protocol: 'http', socketPath: address.socketPath };
  // The agent decides where an ssh connection goes; the name is for the request's Host header only.
  if (address.kind === 'ssh') return { ...nothing, protocol: 'http', host: 'docker.invalid', port: 80 };
  const { host, port, certPath } = address;
  const place = { ...nothing, host: host.includes(':') ? `[${host}]` : host, port };
  if (certPath === null) return { ...place, protocol: 'http' };
  const pem = (name: string) => readFileSync(join(certPath, name));
  return { ...place, protocol: 'https', ca: pem('ca.pem'), cert: pem('cert.pem'), key: pem('key.pem') };
}
