/**
 * What the filter asks the engine itself before it lets a call through: whose a container is, what an image is called.
 *
 * That a container is ours is remembered by its id: its labels cannot be changed, and no id is given twice.
 */
import type { DockerSettings } from '../../../config/settings.ts';
import { isImageAllowed } from '../allow-list.ts';
import { BUILT_IMAGE, BUILTIN_DEFAULT_IMAGE } from '../busybox-image.ts';
import { type Engine, hasStatus } from '../engine.ts';
import { EngineFacts, INFO_FIELDS } from '../engine-facts.ts';
import type { EngineQuirks } from '../engine-quirks.ts';
import { fullImageName } from '../image-name.ts';
import { LABEL } from '../labels.ts';

export interface SeenImage {
  id: string;
  /** By tag and by digest. */
  names: string[];
  digests: string[];
  volumes: string[];
  /** What it is made of, for whoever wants to know what removing it would free. */
  layers: string[] | null;
}

/** As the worker reads it: names, and for how much room it stands. */
export interface ListedImage {
  Id: string;
  RepoTags: string[] | null;
  RepoDigests: string[] | null;
  Size: number;
}

export type Whose = { kind: 'ours'; id: string } | { kind: 'foreign' } | { kind: 'missing' };

const MAX_REMEMBERED = 10_000;

export class EngineView {
  readonly #engine: Engine;
  readonly #facts: EngineFacts;
  readonly #owner: { gridId: string; nodeId: string };
  /** Ids of containers; the longest known come first. */
  readonly #ours = new Set<string>();

  constructor(engine: Engine, owner: { gridId: string; nodeId: string }) {
    this.#engine = engine;
    this.#facts = new EngineFacts(engine);
    this.#owner = owner;
  }

  /** @param reference an id, or a name. @throws ExecutorError */
  async whose(reference: string): Promise<Whose> {
    if (this.#ours.has(reference)) return { kind: 'ours', id: reference };
    const found = await this.#get<{ Id: string; Config?: { Labels?: Record<string, string> | null } | null }>(
      `/containers/${reference}/json`,
    );
    if (found === null) return { kind: 'missing' };
    const labels = found.Config?.Labels ?? {};
    const { gridId, nodeId } = this.#owner;
    if (labels[LABEL.grid] !== gridId || labels[LABEL.node] !== nodeId) return { kind: 'foreign' };
    this.#ours.add(found.Id);
    const [oldest] = this.#ours;
    if (this.#ours.size > MAX_REMEMBERED && oldest !== undefined) this.#ours.delete(oldest);
    return { kind: 'ours', id: found.Id };
  }

  forget(containerId: string): void {
    this.#ours.delete(containerId);
  }

  /** @param reference a full name, or an id. @returns null when the engine does not have it. @throws ExecutorError */
  async image(reference: string): Promise<SeenImage | null> {
    const found = await this.#get<{
      Id: string;
      RepoTags?: string[] | null;
      RepoDigests?: string[] | null;
      Config?: { Volumes?: Record<string, object> | null } | null;
      RootFS?: { Layers?: string[] | null } | null;
    }>(`/images/${encodeURIComponent(reference).replaceAll('%2F', '/')}/json`);
    if (found === null) return null;
    const digests = found.RepoDigests ?? [];
    return {
      id: found.Id,
      names: [...(found.RepoTags ?? []), ...digests].filter((name) => !name.startsWith('<none>')),
      digests,
      volumes: Object.keys(found.Config?.Volumes ?? {}),
      layers: found.RootFS?.Layers ?? null,
    };
  }

  async images(): Promise<ListedImage[]> {
    const listed = (await this.#get<Partial<ListedImage>[]>('/images/json')) ?? [];
    return listed.map(({ Id = '', RepoTags = null, RepoDigests = null, Size = 0 }) => ({
      Id,
      RepoTags,
      RepoDigests,
      Size,
    }));
  }

  /** How large its layers are; what made them is nobody's business. null when the engine does not have it. */
  async history(id: string): Promise<{ Size: number }[] | null> {
    const found = await this.#get<{ Size?: number }[]>(`/images/${id}/history`);
    return found?.map(({ Size = 0 }) => ({ Size })) ?? null;
  }

  /** Of all containers, without a word more of them. */
  async imagesInUse(): Promise<{ ImageID: string }[]> {
    const listed = (await this.#get<{ ImageID?: string }[]>('/containers/json?all=true')) ?? [];
    return listed.map(({ ImageID = '' }) => ({ ImageID }));
  }

  /** Networks of exactly this name. */
  async networksNamed(name: string): Promise<{ Name: string; Id: string }[]> {
    const filters = encodeURIComponent(JSON.stringify({ name: [name] }));
    const listed = (await this.#get<{ Name?: string; Id?: string }[]>(`/networks?filters=${filters}`)) ?? [];
    return listed.flatMap(({ Name, Id }) => (Name === name && Id !== undefined ? [{ Name, Id }] : []));
  }

  /** null when there is no network of this id. */
  async networkName(id: string): Promise<string | null> {
    const found = await this.#get<{ Id?: string; Name?: string }>(`/networks/${id}`);
    return found?.Id === id ? (found.Name ?? null) : null;
  }

  async quirks(): Promise<EngineQuirks> {
    return await this.#facts.quirks();
  }

  /** No more of it than the worker reads: an engine's own description has names of registries, proxies and labels. */
  async info(): Promise<Record<string, unknown>> {
    const info = (await this.#get<Record<string, unknown>>('/info')) ?? {};
    return Object.fromEntries(INFO_FIELDS.flatMap((name) => (name in info ? [[name, info[name]]] : [])));
  }

  async #get<T>(path: string): Promise<T | null> {
    try {
      return await this.#engine.json<T>({ method: 'GET', path });
    } catch (error) {
      if (hasStatus(error, 404)) return null;
      throw error;
    }
  }
}

type ImageRules = Pick<DockerSettings, 'image' | 'allowedImages'>;

/** On the operator's list, or the image that the worker makes in place of the default one. */
export function mayRun(name: string, rules: ImageRules): boolean {
  return isImageAllowed(name, rules.allowedImages) || (mayBuild(rules) && isBuiltImage(name));
}

export function isBuiltImage(name: string): boolean {
  return fullImageName(name) === fullImageName(BUILT_IMAGE);
}

/** Only the default of the default image is ever replaced. */
export function mayBuild(rules: ImageRules): boolean {
  return fullImageName(rules.image) === fullImageName(BUILTIN_DEFAULT_IMAGE);
}
