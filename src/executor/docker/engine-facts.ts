/** What the engine says about itself and its machine. */
import type { EngineInfo } from '../executor.ts';
import { readTime } from './containers.ts';
import { type Engine, readAll } from './engine.ts';

interface InfoAnswer {
  NCPU?: number;
  MemTotal?: number;
  CgroupVersion?: string;
  DockerRootDir?: string;
  SystemTime?: string;
  LiveRestoreEnabled?: boolean;
}

interface VersionAnswer {
  Version?: string;
  ApiVersion?: string;
  Arch?: string;
  Platform?: { Name?: string };
  Components?: { Name?: string }[];
}

const MAX_EVENTS_BYTES = 1024 * 1024;

export class EngineFacts {
  readonly #engine: Engine;
  #cpus: number | null = null;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** @throws ExecutorError */
  async probe(signal?: AbortSignal): Promise<EngineInfo> {
    const [version, info] = await Promise.all([this.#version(signal), this.#info(signal)]);
    return {
      name: version.Platform?.Name || version.Components?.[0]?.Name || 'Docker',
      version: version.Version ?? 'unknown',
      apiVersion: version.ApiVersion ?? 'unknown',
      cgroupVersion: info.CgroupVersion === '1' || info.CgroupVersion === '2' ? info.CgroupVersion : 'unknown',
      dataRoot: info.DockerRootDir || null,
      cpus: info.NCPU ?? 0,
      memoryBytes: info.MemTotal ?? 0,
    };
  }

  /** Asked once: a machine's CPUs do not change while the worker runs. null when the engine does not say. */
  async cpus(): Promise<number | null> {
    this.#cpus ??= (await this.#info()).NCPU ?? null;
    return this.#cpus;
  }

  /** In the engine's terms: amd64, arm64, … */
  async architecture(): Promise<string> {
    return (await this.#version()).Arch ?? 'unknown';
  }

  /** The time by the engine's own clock, which may be another machine's. null when it does not say. */
  async nowMs(): Promise<number | null> {
    return readTime((await this.#info()).SystemTime);
  }

  /**
   * Whether this container's end was its own although the engine had been out of reach: the engine leaves its containers
   * alone when it restarts (live-restore), or was never restarted, since it remembers the container's start.
   * When it can't be found out the answer is no: running a task again is better than believing a wrong result.
   */
  async keptContainer(containerId: string, startedAtMs: number | null): Promise<boolean> {
    try {
      const info = await this.#info();
      if (info.LiveRestoreEnabled === true) return true;
      const now = readTime(info.SystemTime);
      if (now === null || startedAtMs === null) return false;
      const events = await this.#engine.stream({
        method: 'GET',
        path: '/events',
        query: {
          since: Math.floor(startedAtMs / 1000) - 1,
          until: (now / 1000).toFixed(3),
          filters: JSON.stringify({ container: [containerId], event: ['start'] }),
        },
      });
      return (await readAll(events, MAX_EVENTS_BYTES)).length > 0;
    } catch {
      return false;
    }
  }

  async #info(signal?: AbortSignal): Promise<InfoAnswer> {
    return await this.#engine.json<InfoAnswer>({ method: 'GET', path: '/info', ...(signal ? { signal } : {}) });
  }

  async #version(signal?: AbortSignal): Promise<VersionAnswer> {
    return await this.#engine.json<VersionAnswer>({ method: 'GET', path: '/version', ...(signal ? { signal } : {}) });
  }
}
