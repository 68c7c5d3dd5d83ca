/** The filter in front of a test's engine, in this process, with the settings that `docker-jobs.ts` gives its executors. */
import type { DockerSettings } from '../../src/config/settings.ts';
import { type EngineFilter, startEngineFilter } from '../../src/executor/docker/filter/engine-filter.ts';
import { systemClock } from '../../src/runtime.ts';
import { SITE_IMAGES, SITE_REPO } from './core-scenarios.ts';
import { dockerSettings, TEST_NODE } from './docker-jobs.ts';
import { type RecordedEvents, recordEvents } from './recorded-events.ts';
import { makeTempDir } from './temp.ts';

const MIB = 1024 * 1024;

export interface FilterSite {
  socketPath: string;
  host: string;
  events: RecordedEvents;
  [Symbol.asyncDispose](): Promise<void>;
}

/** @param engineHost as in DOCKER_HOST */
export async function filterSite(engineHost: string, changes: Partial<DockerSettings> = {}): Promise<FilterSite> {
  const directory = makeTempDir('filter');
  const events = recordEvents();
  const socketPath = directory.sub('s');
  const filter: EngineFilter = await startEngineFilter({
    settings: {
      repoUrl: SITE_REPO,
      docker: dockerSettings(engineHost, { allowedImages: SITE_IMAGES, ...changes }),
      stateDir: directory.sub('state'),
      nodeId: TEST_NODE,
      maxOutputBytes: MIB,
      logLevel: 'info',
      logFile: null,
      logFormat: 'json',
    },
    listen: socketPath,
    group: null,
    clock: systemClock,
    emit: events.emit,
  });
  return {
    socketPath,
    host: `unix://${socketPath}`,
    events,
    async [Symbol.asyncDispose]() {
      await filter.close();
      directory.remove();
    },
  };
}
