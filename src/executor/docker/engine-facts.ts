/** What the engine says about itself and its machine. */
import type { EngineInfo } from '../executor.ts';
import { readTime } from './containers.ts';
import { type Engine, readAll } from './engine.ts';
import { type LimitFacts, missingLimits } from './engine-limits.ts';
import { type EngineQuirks, quirksOf } from './engine-quirks.ts';

interface InfoAnswer extends LimitFacts {
  NCPU?: number;
  MemTotal?: number;
  CPUShares?: boolean;
  DockerRootDir?: string;
  SystemTime?: string;
  LiveRestoreEnabled?: boolean;
  Driver?: string;
  LoggingDriver?: string;
  KernelVersion?: string;
  OperatingSystem?: string;
}

/** All that is ever read of the engine's long answer. */
export const INFO_FIELDS = [
  'NCPU',
  'MemTotal',
  'CgroupDriver',
  'CgroupVersion',
  'MemoryLimit',
  'CpuCfsQuota',
  'CPUShares',
  'PidsLimit',
  'SecurityOptions',
  'Rootless',
  'DockerRootDir',
  'SystemTime',
  'LiveRestoreEnabled',
  'Driver',
  'LoggingDriver',
  'KernelVersion',
  'OperatingSystem',
] as const satisfies readonly (keyof InfoAnswer)[];

interface VersionAnswer {
  Version?: string;
  ApiVersion?: string;
  Arch?: string;
  Platform?: { Name?: string };
  Components?: { Name?: string }[];
}

/** What only a person wants to know who looks for what is wrong. null: the engine does not say. */
export interface EngineDetails {
  storageDriver: string | null;
  cgroupDriver: string | null;
  /** Of containers for which nobody names one; those of tasks have their own. */
  loggingDriver: string | null;
  /** Such as `name=seccomp,profile=builtin`. */
  securityOptions: readonly string[];
  rootless: boolean;
  liveRestore: boolean | null;
  kernel: string | null;
  operatingSystem: string | null;
  /** The time by its own clock, milliseconds since 1970. */
  nowMs: number | null;
}

interface EventLine {
  Action?: string;
}

export interface Testimony {
  /** The container's end was its own: the engine leaves containers alone when it restarts (live-restore), or did not. */
  keptContainer: boolean;
  /** The engine was there when the container ended. If not, what was written last is lost: nobody read it. */
  sawEnd: boolean;
}

const MAX_EVENTS_BYTES = 1024 * 1024;

export class EngineFacts {
  readonly #engine: Engine;
  #cpus: number | null = null;
  #quirks: EngineQuirks | null = null;

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
      weighsCpus: info.CPUShares ?? null,
      dataRoot: info.DockerRootDir || null,
      cpus: info.NCPU ?? 0,
      memoryBytes: info.MemTotal ?? 0,
      missingLimits: missingLimits(info),
    };
  }

  /** @throws ExecutorError */
  async details(signal?: AbortSignal): Promise<EngineDetails> {
    const info = await this.#info(signal);
    const securityOptions = (info.SecurityOptions ?? []).filter((option) => typeof option === 'string');
    return {
      storageDriver: info.Driver || null,
      cgroupDriver: info.CgroupDriver || null,
      loggingDriver: info.LoggingDriver || null,
      securityOptions,
      rootless: info.Rootless === true || securityOptions.some((option) => /(^|,)name=rootless(,|$)/.test(option)),
      liveRestore: info.LiveRestoreEnabled ?? null,
      kernel: info.KernelVersion || null,
      operatingSystem: info.OperatingSystem || null,
      nowMs: readTime(info.SystemTime),
    };
  }

  /** Asked once: a machine's CPUs do not change while the worker runs. null when the engine does not say. */
  async cpus(): Promise<number | null> {
    this.#cpus ??= (await this.#info()).NCPU ?? null;
    return this.#cpus;
  }

  /** Asked once: another engine at the same address is another one for the next worker. @throws ExecutorError */
  async quirks(): Promise<EngineQuirks> {
    this.#quirks ??= quirksOf(((await this.#version()).Components ?? []).map(({ Name }) => Name ?? ''));
    return this.#quirks;
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
   * What the engine can testify of a container whose end nobody here was told as it happened. What can't be found out
   * counts as no: running a task again is better than believing a wrong result.
   */
  async testimony(containerId: string, startedAtMs: number | null): Promise<Testimony> {
    try {
      if ((await this.quirks()).monitorsContainers) return { keptContainer: true, sawEnd: true };
      const info = await this.#info();
      const keepsContainers = info.LiveRestoreEnabled === true;
      const now = readTime(info.SystemTime);
      if (now === null || startedAtMs === null) return { keptContainer: keepsContainers, sawEnd: false };
      const events = await this.#engine.stream({
        method: 'GET',
        path: '/events',
        query: {
          since: Math.floor(startedAtMs / 1000) - 1,
          until: (now / 1000).toFixed(3),
          filters: JSON.stringify({ container: [containerId], event: ['start', 'die'] }),
        },
      });
      const lines = (await readAll(events, MAX_EVENTS_BYTES)).toString('utf8').split('\n');
      const actions = lines.flatMap((line) => (line.trim() === '' ? [] : [(JSON.parse(line) as EventLine).Action]));
      // It remembers what happened since its own start only.
      const neverRestarted = actions.includes('start');
      return {
        keptContainer: keepsContainers || neverRestarted,
        sawEnd: neverRestarted || (keepsContainers && actions.includes('die')),
      };
    } catch {
      return { keptContainer: false, sawEnd: false };
    }
  }

  async #info(signal?: AbortSignal): Promise<InfoAnswer> {
    return await this.#engine.json<InfoAnswer>({ method: 'GET', path: '/info', ...(signal ? { signal } : {}) });
  }

  async #version(signal?: AbortSignal): Promise<VersionAnswer> {
    return await this.#engine.json<VersionAnswer>({ method: 'GET', path: '/version', ...(signal ? { signal } : {}) });
  }
}
