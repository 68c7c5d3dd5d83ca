/**
 * Makes images present. At most one pull of an image is under way; whoever else wants it meanwhile waits for the same
 * one, and the pull ends when nobody waits any more.
 */
import type { DockerSettings } from '../../config/settings.ts';
import type { Emit } from '../../observe/events.ts';
import type { Clock } from '../../runtime.ts';
import { ExecutorError } from '../executor.ts';
import { isImageAllowed } from './allow-list.ts';
import {
  BUILT_IMAGE,
  BUILT_IMAGE_CHANGES,
  BUILTIN_DEFAULT_IMAGE,
  type Busybox,
  busyboxRootTar,
  findBusybox,
} from './busybox-image.ts';
import { type Engine, hasStatus } from './engine.ts';
import type { EngineFacts } from './engine-facts.ts';
import { formatImageName, fullImageName, parseImageName } from './image-name.ts';
import type { OwnedImages } from './owned-images.ts';
import { type PullParts, pullImage, unavailable } from './pull.ts';
import { followPull } from './pull-progress.ts';
import type { RegistryCredentials } from './registry-credentials.ts';
import { SharedWork } from './shared-work.ts';

export interface PresentImage {
  id: string;
  /** Of the repository it came from; the image's own id where it came from none. */
  digest: string;
  /** Directories that it declares as volumes. */
  volumes: string[];
}

export type EnsuredImage = { name: string; id: string; digest: string; pullMs: number };

/** What would become of a need for an image. */
export type ImageProspect =
  | { kind: 'present'; digest: string }
  | { kind: 'pullable'; digest: string | null }
  /** Only a pull would tell. */
  | { kind: 'untold'; isThere: boolean }
  /** A small one would be made here in its place. */
  | { kind: 'buildable'; why: string }
  /** It is there, must be pulled each time, and cannot be. */
  | { kind: 'stale'; why: string }
  | { kind: 'unavailable'; why: string };

const IMAGE_ID = /^sha256:[0-9a-f]{64}$/;
const MAX_REMEMBERED_USES = 1_000;
const FRESH_MS = 1_000;
/** More kinds of tasks at once gain nothing from being looked for ahead. */
const MAX_SEEN = 16;

/** What else tasks in work were started from; an image never changes under its id. */
const MAX_KNOWN = 64;
/** Tries of a pull in all. */
const PULL_ATTEMPTS = 5;

type ImageSettings = Pick<DockerSettings, 'image' | 'imagePullPolicy' | 'allowedImages'>;

/** What came of a pull: where it failed for good, and what the image's digest is. */
type PullOutcome = { failure: ExecutorError } | { digest: string | null };

export class Images {
  readonly #engine: Engine;
  readonly #facts: EngineFacts;
  readonly #owned: OwnedImages;
  readonly #settings: ImageSettings;
  readonly #credentials: RegistryCredentials;
  readonly #clock: Clock;
  readonly #emit: Emit;
  readonly #findBusybox: (architecture: string) => Promise<Busybox | null>;
  readonly #pulls: SharedWork<string | null>;
  /** When each image was last asked for, on the clock that never jumps. The longest ago comes first. */
  readonly #lastUseMs = new Map<string, number>();
  /** Set once the default image had to be replaced: from then on it is not asked for again. */
  #built = false;
  #building: Promise<void> | null = null;
  /** What tasks are about to be started from, by full name, so that it is not looked for twice. The latest come last. */
  readonly #seen = new Map<string, { seenMs: number; found: PresentImage }>();
  readonly #known = new Map<string, PresentImage>();

  constructor(
    engine: Engine,
    facts: EngineFacts,
    owned: OwnedImages,
    settings: ImageSettings,
    pullParts: PullParts,
    busyboxFinder: (architecture: string) => Promise<Busybox | null> = findBusybox,
  ) {
    this.#engine = engine;
    this.#facts = facts;
    this.#owned = owned;
    this.#settings = settings;
    this.#credentials = pullParts.credentials;
    this.#clock = engine.clock;
    this.#emit = pullParts.emit;
    this.#findBusybox = busyboxFinder;
    this.#pulls = new SharedWork((full, signal) => this.#pull(full, pullParts, signal));
  }

  /** On the operator's list, or the image built here in place of one that is. */
  isAllowed(image: string): boolean {
    if (isImageAllowed(image, this.#settings.allowedImages)) return true;
    return fullImageName(image) === fullImageName(BUILT_IMAGE) && this.#mayBuild(BUILTIN_DEFAULT_IMAGE);
  }

  /**
   * What the name stands for from now on, for whoever asked: containers are made of the image by its id, so that it does
   * not matter when another pull moves the name.
   * @throws ExecutorError, or the signal's reason when that aborts.
   */
  async ensure(image: string, signal?: AbortSignal): Promise<EnsuredImage> {
    const full = fullImageName(image);
    if (full === null || !this.isAllowed(image)) {
      throw new ExecutorError('rejected', `image ${JSON.stringify(image)} is not on the operator's list`);
    }
    signal?.throwIfAborted();
    this.#noteUse(full);
    const began = this.#clock.monotonicMs();
    const policy = this.#settings.imagePullPolicy;
    const found = policy === 'always' ? null : (this.#fresh(full) ?? (await this.#look(full, signal)));
    if (found !== null) return this.#pinned(image, found, 0);
    if (policy === 'never' && !this.#mayBuild(image)) throw unavailable(image, 'it is not there, and pulling is off');
    let failure: ExecutorError | null = null;
    // Building is no pulling, so it is done under `never` too.
    if (!this.#built && policy !== 'never') {
      const outcome = await this.#sharedPull(full, signal);
      if ('failure' in outcome) failure = outcome.failure;
      else {
        const pulled = await this.#look(full, signal, outcome.digest);
        if (pulled !== null) return this.#pinned(image, pulled, this.#clock.monotonicMs() - began);
      }
      if (!this.#mayBuild(image)) {
        this.#emit('image.unavailable', { image, err: failure });
        throw failure ?? unavailable(image, 'the engine pulled it and does not have it');
      }
    }
    return await this.#ensureBuilt(image, began, failure, signal);
  }

  /** Tasks of these images may be started in a moment: looks for them meanwhile. Never throws. */
  foresee(images: readonly string[]): void {
    if (this.#settings.imagePullPolicy === 'always') return;
    const names = new Set(images.map((image) => (this.isAllowed(image) ? fullImageName(image) : null)));
    for (const full of [...names].slice(0, MAX_SEEN)) {
      if (full === null) continue;
      // Until there is a container of it, nothing else says that it is needed.
      this.#noteUse(full);
      if (!this.#fresh(full)) this.#look(full).catch(() => {}); // whoever needs it asks again
    }
  }

  /** The image that was found under this name a moment ago, or the one that is there now. @throws ExecutorError */
  async present(image: string): Promise<PresentImage | null> {
    const full = fullImageName(image);
    return (full === null ? null : this.#fresh(full)) ?? (await this.inspect(image));
  }

  /** Whether `ensure` would find it, without bringing it. @throws ExecutorError, or the signal's reason when that aborts. */
  async lookUp(image: string, signal: AbortSignal): Promise<ImageProspect> {
    const full = fullImageName(image);
    if (full === null || !this.isAllowed(image)) {
      throw new ExecutorError('rejected', `image ${JSON.stringify(image)} is not on the operator's list`);
    }
    const found = await this.inspect(full, signal);
    const { imagePullPolicy: policy } = this.#settings;
    if (found !== null && policy !== 'always') return { kind: 'present', digest: found.digest };
    if (policy !== 'never' && !(await this.#facts.quirks()).asksRegistries)
      return { kind: 'untold', isThere: found !== null };
    const offered = policy === 'never' ? 'pulling is off' : await this.#askRegistry(full, signal);
    if (typeof offered !== 'string') return { kind: 'pullable', ...offered };
    const busybox = this.#mayBuild(full) ? await this.#findBusybox(await this.#facts.architecture()) : null;
    if (busybox !== null) return { kind: 'buildable', why: offered };
    return { kind: found === null ? 'unavailable' : 'stale', why: offered };
  }

  /** By way of the engine, which fetches the description alone. @returns what the registry has, or why that is not known. */
  async #askRegistry(full: string, signal: AbortSignal): Promise<{ digest: string | null } | string> {
    const registryAuth = await this.#credentials.headerFor(full.split('/', 1)[0] ?? '', signal);
    try {
      const answer = await this.#engine.json<{ Descriptor?: { digest?: string } } | null>({
        method: 'GET',
        path: `/distribution/${full}/json`,
        ...(registryAuth === null ? {} : { registryAuth }),
        signal,
      });
      return { digest: answer?.Descriptor?.digest ?? null };
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ExecutorError) return error.message;
      throw error;
    }
  }

  /** What `ensure` gave this id for; null when it is not there any more. @throws ExecutorError */
  async byId(id: string): Promise<PresentImage | null> {
    return this.#known.get(id) ?? (await this.inspect(id));
  }

  #pinned(name: string, found: PresentImage, pullMs: number): EnsuredImage {
    this.#known.delete(found.id);
    this.#known.set(found.id, found);
    const [oldest] = this.#known.keys();
    if (this.#known.size > MAX_KNOWN && oldest !== undefined) this.#known.delete(oldest);
    return { name, id: found.id, digest: found.digest, pullMs };
  }

  #fresh(full: string): PresentImage | null {
    const last = this.#seen.get(full);
    return last && this.#clock.monotonicMs() - last.seenMs < FRESH_MS ? last.found : null;
  }

  async #look(full: string, signal?: AbortSignal, pulledDigest?: string | null): Promise<PresentImage | null> {
    const found = await this.inspect(full, signal, pulledDigest);
    this.#seen.delete(full);
    if (found === null) return null;
    this.#seen.set(full, { seenMs: this.#clock.monotonicMs(), found });
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > MAX_SEEN && oldest !== undefined) this.#seen.delete(oldest);
    return found;
  }

  /**
   * @param pulledDigest what a registry said just now: an image may have come under several.
   * @returns null when the engine does not have it. @throws ExecutorError
   */
  async inspect(image: string, signal?: AbortSignal, pulledDigest?: string | null): Promise<PresentImage | null> {
    // An id looks like a name with a tag, so it has to be told apart first.
    const name = IMAGE_ID.test(image) ? null : parseImageName(image);
    const path = `/images/${name === null ? encodeURIComponent(image) : formatImageName(name)}/json`;
    try {
      const answer = await this.#engine.json<{
        Id: string;
        RepoDigests?: string[] | null;
        Config?: { Volumes?: Record<string, object> | null } | null;
      }>({ method: 'GET', path, ...(signal ? { signal } : {}) });
      const digests = (answer.RepoDigests ?? []).map((entry) => parseImageName(entry));
      const own = digests.filter((entry) => entry?.repository === name?.repository);
      const wanted = name?.digest ?? pulledDigest;
      const digest = own.find((entry) => entry?.digest === wanted) ?? own[0] ?? digests[0];
      return {
        id: answer.Id,
        digest: digest?.digest ?? answer.Id,
        volumes: Object.keys(answer.Config?.Volumes ?? {}),
      };
    } catch (error) {
      if (hasStatus(error, 404)) return null;
      throw error;
    }
  }

  /** How long ago somebody asked for the image; null when nobody did since the start. */
  unusedMs(fullName: string): number | null {
    const last = this.#lastUseMs.get(fullName);
    return last === undefined ? null : this.#clock.monotonicMs() - last;
  }

  #noteUse(full: string): void {
    void this.#owned.noteUse(full, this.#clock.wallMs());
    this.#lastUseMs.delete(full);
    this.#lastUseMs.set(full, this.#clock.monotonicMs());
    const [oldest] = this.#lastUseMs.keys();
    if (this.#lastUseMs.size > MAX_REMEMBERED_USES && oldest !== undefined) this.#lastUseMs.delete(oldest);
  }

  #mayBuild(image: string): boolean {
    const fallback = fullImageName(BUILTIN_DEFAULT_IMAGE);
    return fullImageName(this.#settings.image) === fallback && fullImageName(image) === fallback;
  }

  /** @throws what makes any further try pointless */
  async #sharedPull(full: string, signal?: AbortSignal): Promise<PullOutcome> {
    try {
      return { digest: await this.#pulls.join(full, signal) };
    } catch (error) {
      if (error instanceof ExecutorError && error.kind === 'image-unavailable') return { failure: error };
      throw error;
    }
  }

  async #pull(full: string, parts: PullParts, signal: AbortSignal): Promise<string | null> {
    const before = await this.inspect(full, signal);
    const began = this.#clock.monotonicMs();
    this.#emit('image.pulling', { image: full });
    // Where there is something to take its place, nobody waits for a second try.
    const attempts = this.#mayBuild(full) ? 1 : PULL_ATTEMPTS;
    const digest = await pullImage(full, attempts, parts, signal);
    const after = await this.inspect(full, signal);
    this.#emit('image.pulled', { image: full, duration_ms: Math.round(this.#clock.monotonicMs() - began) });
    // An image that was there before belongs to whoever brought it, also in its newer version.
    const mine = before === null || (await this.#owned.has(full, before.id));
    if (after !== null && mine) await this.#owned.add({ name: full, id: after.id, usedMs: this.#clock.wallMs() });
    return digest;
  }

  async #ensureBuilt(
    image: string,
    beganMs: number,
    pullFailure: ExecutorError | null,
    signal?: AbortSignal,
  ): Promise<EnsuredImage> {
    const full = fullImageName(BUILT_IMAGE) ?? BUILT_IMAGE;
    this.#noteUse(full);
    let found = await this.#look(full, signal);
    if (found === null) {
      this.#building ??= this.#build(image, full, pullFailure).finally(() => {
        this.#building = null;
      });
      await this.#building;
      found = await this.#look(full, signal);
    }
    if (found === null) throw unavailable(image, 'it was built here and is gone again');
    this.#built = true;
    return this.#pinned(BUILT_IMAGE, found, this.#clock.monotonicMs() - beganMs);
  }

  async #build(image: string, full: string, pullFailure: ExecutorError | null): Promise<void> {
    const architecture = await this.#facts.architecture();
    const busybox = await this.#findBusybox(architecture);
    if (busybox === null) {
      const remedy =
        `install a static busybox on this machine (Debian, Ubuntu: busybox-static; Alpine: busybox-static), ` +
        `load the image into the engine by hand, or set DOCKER_IMAGE to one that is there`;
      const error = unavailable(
        image,
        `it can't be pulled, and no static busybox for ${architecture} was found; ${remedy}`,
        pullFailure,
      );
      this.#emit('image.unavailable', { image, err: error });
      throw error;
    }
    const answer = await this.#engine.stream({
      method: 'POST',
      path: '/images/create',
      query: {
        fromSrc: '-',
        // The whole name in one: Podman does not read a tag beside it.
        repo: full,
        changes: BUILT_IMAGE_CHANGES,
      },
      bytes: busyboxRootTar(busybox),
    });
    await followPull(answer, full, this.#clock, this.#emit);
    const built = await this.inspect(full);
    if (built !== null) await this.#owned.add({ name: full, id: built.id, usedMs: this.#clock.wallMs() });
    this.#emit('image.built', { image, built_image: BUILT_IMAGE, from: busybox.path });
  }
}
