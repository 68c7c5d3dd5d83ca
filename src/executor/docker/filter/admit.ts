/**
 * Decides for each call whether it goes on, and as what: the one place where the calls, the operator's rules and what the
 * engine says of containers and images meet.
 */
import type { DockerSettings } from '../../../config/settings.ts';
import type { Clock } from '../../../runtime.ts';
import { BUILT_IMAGE } from '../busybox-image.ts';
import { LABEL } from '../labels.ts';
import { isNetworkAllowed, NO_NETWORK } from '../network-list.ts';
import { DEFAULT_BRIDGE } from '../networks.ts';
import type { OwnedImages } from '../owned-images.ts';
import { Refused } from './answer.ts';
import type { Call } from './calls.ts';
import { type EngineView, isBuiltImage, mayBuild, mayRun } from './engine-view.ts';
import type { Outgoing } from './relay.ts';
import { checkSpec, imageOf, isImageId, networkModeOf, parseSpec, SpecRefused, type SpecRules } from './spec-check.ts';

const NETWORK_ID = /^[0-9a-f]{64}$/;

export interface Rules extends SpecRules {
  settings: DockerSettings;
}

export type Admitted =
  /** `after`: once the answer has gone through. */
  | { kind: 'forward'; outgoing: Outgoing; after?: () => Promise<void> }
  | { kind: 'upgrade'; outgoing: Outgoing }
  /** With the caller's body behind it. */
  | { kind: 'import'; outgoing: Outgoing; after: () => Promise<void> }
  | { kind: 'answer'; value: unknown };

/** Reads the body of a call that has one. */
export type ReadBody = () => Promise<Uint8Array>;

export class Admission {
  readonly #rules: Rules;
  readonly #view: EngineView;
  /** What was brought through this filter. What the worker says of that is not believed. */
  readonly #owned: OwnedImages;
  readonly #clock: Clock;

  constructor(rules: Rules, view: EngineView, owned: OwnedImages, clock: Clock) {
    this.#clock = clock;
    this.#rules = rules;
    this.#view = view;
    this.#owned = owned;
  }

  /** @throws Refused; ExecutorError when the engine had to be asked and failed */
  async admit(call: Call, readBody: ReadBody, registryAuth: string | null): Promise<Admitted> {
    switch (call.kind) {
      case 'version':
        return forward({ method: 'GET', path: '/version' });
      case 'info':
        return { kind: 'answer', value: await this.#view.info() };
      case 'create':
        return forward(await this.#create(call.name, await readBody()));
      case 'container':
        return await this.#container(call);
      case 'list':
        return forward(this.#list(call.labels));
      case 'events': {
        const id = await this.#ours(call.id);
        const filters = JSON.stringify({ container: [id], event: ['start', 'die'] });
        const query = Object.entries({ since: call.since, until: call.until, filters });
        return forward({ method: 'GET', path: '/events', query });
      }
      case 'image':
        return await this.#image(call.reference);
      case 'images':
        return { kind: 'answer', value: await this.#view.images() };
      case 'images-in-use':
        return { kind: 'answer', value: await this.#view.imagesInUse() };
      case 'history': {
        const layers = await this.#view.history(call.id);
        if (layers === null) throw new Refused(404, `No such image: ${call.id}`);
        return { kind: 'answer', value: layers };
      }
      case 'networks': {
        const isAllowed = isNetworkAllowed(call.name, this.#rules.settings);
        this.#allowed(isAllowed, 'the network is not on the filter’s list (DOCKER_NETWORK, ALLOWED_NETWORKS)');
        return { kind: 'answer', value: await this.#view.networksNamed(call.name) };
      }
      case 'pull':
        return await this.#pull(call, registryAuth);
      case 'distribution':
        return this.#lookUp(call.image, registryAuth);
      case 'import':
        return await this.#import(call);
      case 'dangling': {
        this.#allowed(this.#rules.settings.pruneDanglingImages, 'PRUNE_DANGLING_IMAGES is not set for the filter');
        const query = [['filters', JSON.stringify({ dangling: ['true'] })]] as const;
        return forward({ method: 'GET', path: '/images/json', query });
      }
      case 'remove-image':
        return await this.#removeImage(call.reference);
      case 'prune-build-cache':
        this.#allowed(this.#rules.settings.pruneBuildCache, 'PRUNE_BUILD_CACHE is not set for the filter');
        return forward({ method: 'POST', path: '/build/prune' });
    }
  }

  async #create(name: string, body: Uint8Array): Promise<Outgoing> {
    try {
      const given = parseSpec(body);
      const id = imageOf(given);
      const image = await this.#view.image(id);
      if (image === null) throw new Refused(404, `No such image: ${id}`);
      // An id says nothing of who may run it: one of its names has to.
      if (!image.names.some((one) => mayRun(one, this.#rules.settings))) throw this.#unlisted(id);
      const networkMode = networkModeOf(given);
      await this.#mustBeAllowed(networkMode);
      const quirks = await this.#view.quirks();
      const json = checkSpec(given, { volumes: image.volumes, quirks, networkMode }, this.#rules);
      return { method: 'POST', path: '/containers/create', query: [['name', name]], json };
    } catch (error) {
      if (error instanceof SpecRefused) throw new Refused(403, error.message, { cause: error });
      throw error;
    }
  }

  /** By its id, and the engine says of which network that is. @throws Refused */
  async #mustBeAllowed(networkMode: string): Promise<void> {
    const { settings } = this.#rules;
    const isId = NETWORK_ID.test(networkMode);
    const name = isId ? await this.#view.networkName(networkMode) : networkMode;
    // Only these two are asked for by name.
    const isKnown = isId || networkMode === NO_NETWORK || networkMode === DEFAULT_BRIDGE;
    if (isKnown && name !== null && isNetworkAllowed(name, settings)) return;
    const shown = JSON.stringify((name ?? networkMode).slice(0, 300));
    throw new Refused(403, `network ${shown} is not on the filter's list (DOCKER_NETWORK, ALLOWED_NETWORKS)`);
  }

  async #container({ verb, reference, query }: Extract<Call, { kind: 'container' }>): Promise<Admitted> {
    const id = await this.#ours(reference);
    const path = `/containers/${id}`;
    switch (verb) {
      case 'inspect':
        return forward({ method: 'GET', path: `${path}/json` });
      case 'remove':
        return forward({ method: 'DELETE', path, query }, async () => this.#view.forget(id));
      case 'attach':
        return { kind: 'upgrade', outgoing: { method: 'POST', path: `${path}/attach`, query } };
      case 'logs':
      case 'stats':
        return forward({ method: 'GET', path: `${path}/${verb}`, query });
      case 'start':
      case 'wait':
      case 'kill':
        return forward({ method: 'POST', path: `${path}/${verb}`, query });
    }
  }

  /** Whatever is asked for, only this node's containers of this grid are shown. */
  #list(labels: readonly string[]): Outgoing {
    const { gridId, nodeId } = this.#rules;
    const all = new Set([...labels, `${LABEL.grid}=${gridId}`, `${LABEL.node}=${nodeId}`]);
    const query = Object.entries({ all: 'true', filters: JSON.stringify({ label: [...all] }) });
    return { method: 'GET', path: '/containers/json', query };
  }

  async #image(reference: string): Promise<Admitted> {
    const image = await this.#view.image(reference);
    if (image === null) throw new Refused(404, `No such image: ${reference}`);
    const { id: Id, digests: RepoDigests, layers: Layers, volumes } = image;
    // Its variables and labels may hold what is nobody's business.
    const Config = { Volumes: Object.fromEntries(volumes.map((volume) => [volume, {}])) };
    return { kind: 'answer', value: { Id, RepoDigests, Config, RootFS: { Layers } } };
  }

  /** As far as a pull would go. */
  #lookUp(image: string, registryAuth: string | null): Admitted {
    const { settings } = this.#rules;
    this.#allowed(settings.imagePullPolicy !== 'never', 'IMAGE_PULL_POLICY is never for the filter');
    if (!mayRun(image, settings)) throw this.#unlisted(image);
    const credentials = registryAuth === null ? {} : { registryAuth };
    return forward({ method: 'GET', path: `/distribution/${image}/json`, ...credentials });
  }

  async #pull({ image, query }: Extract<Call, { kind: 'pull' }>, registryAuth: string | null): Promise<Admitted> {
    const { settings } = this.#rules;
    this.#allowed(settings.imagePullPolicy !== 'never', 'IMAGE_PULL_POLICY is never for the filter');
    if (!mayRun(image, settings)) throw this.#unlisted(image);
    const before = await this.#view.image(image);
    const mine = before === null || (await this.#owned.has(image, before.id));
    const credentials = registryAuth === null ? {} : { registryAuth };
    return forward({ method: 'POST', path: '/images/create', query, ...credentials }, async () => {
      if (mine) await this.#noteOwned(image);
    });
  }

  /** Only where there is none, so that no pile of nameless images can be made this way. */
  async #import({ image: name }: Extract<Call, { kind: 'import' }>): Promise<Admitted> {
    const { settings } = this.#rules;
    this.#allowed(
      isBuiltImage(name) && mayBuild(settings),
      `only ${BUILT_IMAGE} can be imported, for the default image`,
    );
    if ((await this.#view.image(name)) !== null) throw new Refused(409, `${name} is there already`);
    return {
      kind: 'import',
      outgoing: { method: 'POST', path: '/images/create' },
      after: async () => await this.#noteOwned(name),
    };
  }

  async #removeImage(reference: string): Promise<Admitted> {
    const image = await this.#view.image(reference);
    if (image === null) throw new Refused(404, `No such image: ${reference}`);
    if (isImageId(reference)) {
      const { pruneDanglingImages } = this.#rules.settings;
      this.#allowed(pruneDanglingImages && image.names.length === 0, 'only images without a name may be removed by id');
    } else if (!(await this.#owned.has(reference, image.id))) {
      // As for an image that is in use: nobody's mistake, it only stays.
      throw new Refused(409, `image ${reference} was not brought through this filter, so it stays`);
    }
    const query = Object.entries({ force: 'false', noprune: 'true' });
    return forward({ method: 'DELETE', path: `/images/${reference}`, query }, async () => {
      if ((await this.#view.image(reference)) === null) await this.#owned.forget(reference);
    });
  }

  async #noteOwned(name: string): Promise<void> {
    const after = await this.#view.image(name);
    if (after !== null) await this.#owned.add({ name, id: after.id, usedMs: this.#clock.wallMs() });
  }

  async #ours(reference: string): Promise<string> {
    const whose = await this.#view.whose(reference);
    if (whose.kind === 'missing') throw new Refused(404, `No such container: ${reference}`);
    if (whose.kind === 'foreign') throw new Refused(403, `container ${reference} is not of this grid and node`);
    return whose.id;
  }

  #allowed(condition: boolean, remedy: string): void {
    if (!condition) throw new Refused(403, remedy);
  }

  #unlisted(image: string): Refused {
    return new Refused(
      403,
      `image ${JSON.stringify(image.slice(0, 300))} is not on the filter's list (ALLOWED_IMAGES)`,
    );
  }
}

function forward(outgoing: Outgoing, after?: () => Promise<void>): Admitted {
  return { kind: 'forward', outgoing, ...(after ? { after } : {}) };
}
