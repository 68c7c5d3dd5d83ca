/**
 * From a network's name to what a container is created with. An engine takes the beginning of an id for a network too, so
 * a name that is on the operator's list could mean another network that is not: here only the whole name counts, and the
 * container is given the network by its id.
 */
import type { Engine } from './engine.ts';
import { NO_NETWORK } from './network-list.ts';

/** The engine's own, which it treats in a way of its own: by name. */
export const DEFAULT_BRIDGE = 'bridge';

export class Networks {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** @returns the engine's NetworkMode; null when there is not exactly one network by this name. @throws ExecutorError */
  async modeOf(name: string): Promise<string | null> {
    if (name === NO_NETWORK) return NO_NETWORK;
    const listed = await this.#engine.json<{ Name?: string; Id?: string }[]>({
      method: 'GET',
      path: '/networks',
      query: { filters: JSON.stringify({ name: [name] }) },
    });
    const [found, ...others] = listed.filter((network) => network.Name === name);
    if (found?.Id === undefined || others.length > 0) return null;
    return name === DEFAULT_BRIDGE ? name : found.Id;
  }
}
