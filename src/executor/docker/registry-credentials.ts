/**
 * Credentials for registries, from the configuration of Docker's own client: looked up anew for each pull, so that they can
 * be replaced while the worker runs. They are handed out for the one registry that they are for.
 *
 * What cannot be read is told, and the pull is made without: a public image needs none, and a private one says so itself.
 */
import { open } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Emit } from '../../observe/events.ts';
import type { Clock } from '../../runtime.ts';
import { askHelper } from './credential-helper.ts';
import {
  type Credential,
  type DockerConfig,
  DockerConfigError,
  entryFor,
  parseDockerConfig,
  registryAuthHeader,
  secretOf,
  serverAddress,
} from './docker-config.ts';

const CONFIG_FILE = 'config.json';
const MAX_CONFIG_BYTES = 1024 * 1024;

export interface CredentialParts {
  /** null: Docker's own place in the home of this user. */
  configDir: string | null;
  clock: Clock;
  emit: Emit;
  /** Told of each secret before it is used, so that the log can mask it. */
  onSecret: (secret: string) => void;
}

export class RegistryCredentials {
  readonly #parts: CredentialParts;

  constructor(parts: CredentialParts) {
    this.#parts = parts;
  }

  /**
   * @param host of the registry, as in an image's full name
   * @returns the engine's X-Registry-Auth header for it; null: none are known. @throws only the signal's reason
   */
  async headerFor(host: string, signal: AbortSignal): Promise<string | null> {
    try {
      const config = await this.#read();
      const credential = config && ((await this.#fromHelper(config, host, signal)) ?? entryFor(config.auths, host));
      if (credential === null) return null;
      this.#parts.onSecret(secretOf(credential));
      const header = registryAuthHeader(credential, host);
      this.#parts.onSecret(header);
      return header;
    } catch (error) {
      signal.throwIfAborted();
      this.#parts.emit('registry.credentials-unreadable', { registry: host, err: error });
      return null;
    }
  }

  async #fromHelper(config: DockerConfig, host: string, signal: AbortSignal): Promise<Credential | null> {
    const helper = entryFor(config.helpers, host) ?? config.store;
    if (helper === null) return null;
    return await askHelper(helper, serverAddress(host), this.#parts.clock, signal);
  }

  /** @returns null when there is no such file. @throws DockerConfigError, or the file system's error */
  async #read(): Promise<DockerConfig | null> {
    const path = join(this.#parts.configDir ?? join(homedir(), '.docker'), CONFIG_FILE);
    const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null;
      throw error;
    });
    if (file === null) return null;
    try {
      const stats = await file.stat();
      if (!stats.isFile() || stats.size > MAX_CONFIG_BYTES) {
        throw new DockerConfigError(`${path} is no file, or longer than ${MAX_CONFIG_BYTES} bytes`);
      }
      return parseDockerConfig(await file.readFile('utf8'));
    } catch (cause) {
      if (!(cause instanceof DockerConfigError)) throw cause;
      throw new DockerConfigError(`${path}: ${cause.message}`);
    } finally {
      await file.close();
    }
  }
}
