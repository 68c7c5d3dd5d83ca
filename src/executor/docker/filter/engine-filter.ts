/** The filter as a whole: built from the settings, listening, and closed again. */
import { join } from 'node:path';
import type { FilterSettings } from '../../../config/settings.ts';
import type { Emit } from '../../../observe/events.ts';
import type { Clock } from '../../../runtime.ts';
import { Engine } from '../engine.ts';
import { engineTransport } from '../engine-transport.ts';
import { gridIdOf } from '../grid-id.ts';
import { OwnedImages } from '../owned-images.ts';
import { Admission } from './admit.ts';
import { EngineView } from './engine-view.ts';
import { ListenError, listenOn } from './listen.ts';
import { FilterProxy } from './proxy.ts';

export interface EngineFilterOptions {
  settings: FilterSettings;
  /** Path of the socket to listen on. */
  listen: string;
  /** The group that may use it; null: the process's own. */
  group: string | null;
  clock: Clock;
  emit: Emit;
}

export interface EngineFilter {
  close(): Promise<void>;
}

/** @throws ListenError, ExecutorError for a wrong address, or the system's error when the place can't be listened on. */
export async function startEngineFilter(options: EngineFilterOptions): Promise<EngineFilter> {
  const { settings, listen, group, clock, emit } = options;
  const { docker, nodeId, maxOutputBytes } = settings;
  const transport = engineTransport(docker);
  const { address } = transport;
  if (address.kind === 'unix' && address.socketPath === listen) {
    throw new ListenError(`DOCKER_HOST is the filter's own socket ${listen}: name the engine's there`);
  }
  const gridId = gridIdOf(settings.repoUrl);
  const engine = new Engine(docker, clock);
  const owned = new OwnedImages(join(settings.stateDir, 'filter-images.json'));
  const view = new EngineView(engine, { gridId, nodeId });
  const admission = new Admission({ settings: docker, gridId, nodeId, maxOutputBytes }, view, owned, clock);
  const proxy = new FilterProxy({ admission, transport, emit });
  await listenOn(proxy.server, listen, group);
  emit('filter.listening', { socket: listen, node: nodeId, grid: gridId });
  return {
    async close() {
      await proxy.close();
      engine.close();
      transport.agent.destroy();
      await owned.settled();
    },
  };
}
