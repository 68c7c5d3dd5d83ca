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
import { DeadlineError, orAborted, withDeadline } from './deadline.ts';
import { type Engine, hasStatus, isConnectionLoss } from './engine.ts';
import type { EngineFacts } from './engine-facts.ts';
import { formatImageName, fullImageName, parseImageName } from './image-name.ts';
import type { OwnedImages } from './owned-images.ts';
import { followPull } from './pull-progress.ts';

export interface PresentImage {
  id: string;
  /** Of the repository it came from; the image's own id where it came from none. */
  digest: string;
  /** Directories that it declares as volumes. */
  volumes: string[];
}

export type EnsuredImage = { name: string; digest: string; pullMs: number };

const IMAGE_ID = /^sha256:[0-9a-f]{64}$/;
const MAX_REMEMBERED_USES = 1_000;
const FRESH_MS = 1_000;
/** More kinds of tasks at once gain nothing from being looked for ahead. */
const MAX_SEEN = 16;

interface Pull {
  done: Promise<void>;
  waiting: number;
  abort: AbortController;
}

type ImageSettings = Pick<DockerSettings, 'image' | 'imagePullPolicy' | 'imagePullTimeoutMs' | 'allowedImages'>;

export class Images {
  readonly #engine: Engine;
  readonly #facts: EngineFacts;
  readonly #owned: OwnedImages;
  readonly #settings: ImageSettings;
  readonly #clock: Clock;
  readonly #emit: Emit;
  readonly #findBusybox: (architecture: string) => Promise<Busybox | null>;
  readonly #pulls = new Map<string, Pull>();
  /** When each image was last asked for, on the clock that never jumps. The longest ago comes first. */
  readonly #lastUseMs = new Map<string, number>();
  /** Set once the default image had to be replaced: from then on it is not asked for again. */
  #built = false;
  #building: Promise<void> | null = null;
  /** What tasks are about to be started from, by full name, so that it is not looked for twice. The latest come last. */
  readonly #seen = new Map<string, { seenMs: number; found: PresentImage }>();

  constructor(
    engine: Engine,
    facts: EngineFacts,
    owned: OwnedImages,
    settings: ImageSettings,
    emit: Emit,
    busyboxFinder: (architecture: string) => Promise<Busybox | null> = findBusybox,
  ) {
    this.#engine = engine;
    this.#facts = facts;
    this.#owned = owned;
    this.#settings = settings;
    this.#clock = engine.clock;
    this.#emit = emit;
    this.#findBusybox = busyboxFinder;
  }

  /** On the operator's list, or the image built here in place of one that is. */
  isAllowed(image: string): boolean {
    if (isImageAllowed(image, this.#settings.allowedImages)) return true;
    return fullImageName(image) === fullImageName(BUILT_IMAGE) && this.#mayBuild(BUILTIN_DEFAULT_IMAGE);
  }

  /** @throws ExecutorError, or the signal's reason when that aborts. */
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
    if (found !== null) return { name: image, digest: found.digest, pullMs: 0 };
    if (policy === 'never' && !this.#mayBuild(image)) throw unavailable(image, 'it is not there, and pulling is off');
    let failure: ExecutorError | null = null;
    // Building is no pulling, so it is done under `never` too.
    if (!this.#built && policy !== 'never') {
      failure = await this.#sharedPull(full, signal);
      const pulled = failure === null ? await this.#look(full, signal) : null;
      if (pulled !== null) return { name: image, digest: pulled.digest, pullMs: this.#clock.monotonicMs() - began };
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
      if (full !== null && !this.#fresh(full)) this.#look(full).catch(() => {}); // whoever needs it asks again
    }
  }

  /** The image that was found under this name a moment ago, or the one that is there now. @throws ExecutorError */
  async present(image: string): Promise<PresentImage | null> {
    const full = fullImageName(image);
    return (full === null ? null : this.#fresh(full)) ?? (await this.inspect(image));
  }

  #fresh(full: string): PresentImage | null {
    const last = this.#seen.get(full);
    return last && this.#clock.monotonicMs() - last.seenMs < FRESH_MS ? last.found : null;
  }

  async #look(full: string, signal?: AbortSignal): Promise<PresentImage | null> {
    const found = await this.inspect(full, signal);
    this.#seen.delete(full);
    if (found === null) return null;
    this.#seen.set(full, { seenMs: this.#clock.monotonicMs(), found });
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > MAX_SEEN && oldest !== undefined) this.#seen.delete(oldest);
    return found;
  }

  /** @returns null when the engine does not have it. @throws ExecutorError */
  async inspect(image: string, signal?: AbortSignal): Promise<PresentImage | null> {
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
      const own = digests.find((entry) => entry?.repository === name?.repository) ?? digests[0];
      return {
        id: answer.Id,
        digest: own?.digest ?? answer.Id,
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
    this.#lastUseMs.delete(full);
    this.#lastUseMs.set(full, this.#clock.monotonicMs());
    const [oldest] = this.#lastUseMs.keys();
    if (this.#lastUseMs.size > MAX_REMEMBERED_USES && oldest !== undefined) this.#lastUseMs.delete(oldest);
  }

  #mayBuild(image: string): boolean {
    const fallback = fullImageName(BUILTIN_DEFAULT_IMAGE);
    return fullImageName(this.#settings.image) === fallback && fullImageName(image) === fallback;
  }

  /** @returns the failure of the pull; null when it succeeded. @throws what makes any further try pointless */
  async #sharedPull(full: string, signal?: AbortSignal): Promise<ExecutorError | null> {
    const running = this.#pulls.get(full);
    const pull = running ?? this.#startPull(full);
    pull.waiting += 1;
    try {
      await (signal ? orAborted(pull.done, signal) : pull.done);
      return null;
    } catch (error) {
      if (error instanceof ExecutorError && error.kind === 'image-unavailable') return error;
      throw error;
    } finally {
      pull.waiting -= 1;
      if (pull.waiting === 0) pull.abort.abort();
    }
  }

  #startPull(full: string): Pull {
    const abort = new AbortController();
    const pull: Pull = { done: this.#pull(full, abort.signal), waiting: 0, abort };
    this.#pulls.set(full, pull);
    const forget = () => {
      if (this.#pulls.get(full) === pull) this.#pulls.delete(full);
    };
    abort.signal.addEventListener('abort', forget, { once: true });
    pull.done.then(forget, forget);
    return pull;
  }

  async #pull(full: string, signal: AbortSignal): Promise<void> {
    const name = parseImageName(full);
    if (name === null) throw unavailable(full, 'it is no image name');
    const before = await this.inspect(full, signal);
    const began = this.#clock.monotonicMs();
    this.#emit('image.pulling', { image: full });
    const timeoutMs = this.#settings.imagePullTimeoutMs;
    try {
      await withDeadline(this.#clock, timeoutMs, [signal], async (pulling) => {
        const query = { fromImage: name.repository, tag: name.digest ?? name.tag ?? 'latest' };
        const request = { method: 'POST', path: '/images/create', query, timeoutMs, signal: pulling } as const;
        await followPull(await this.#engine.stream(request), full, this.#clock, this.#emit);
      });
    } catch (cause) {
      signal.throwIfAborted();
      // The engine's own deadline and ours end at the same time; either means the same.
      const tooLong =
        cause instanceof DeadlineError || (cause instanceof ExecutorError && cause.kind === 'engine-timeout');
      if (tooLong) throw unavailable(full, `pulling it took longer than ${timeoutMs} ms`, cause);
      if (isConnectionLoss(cause)) throw cause;
      throw unavailable(full, cause instanceof Error ? cause.message : String(cause), cause);
    }
    const after = await this.inspect(full, signal);
    this.#emit('image.pulled', { image: full, duration_ms: Math.round(this.#clock.monotonicMs() - began) });
    // An image that was there before belongs to whoever brought it, also in its newer version.
    const mine = before === null || (await this.#owned.has(full, before.id));
    if (after !== null && mine) await this.#owned.add({ name: full, id: after.id });
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
    return { name: BUILT_IMAGE, digest: found.digest, pullMs: this.#clock.monotonicMs() - beganMs };
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
    if (built !== null) await this.#owned.add({ name: full, id: built.id });
    this.#emit('image.built', { image, built_image: BUILT_IMAGE, from: busybox.path });
  }
}

function unavailable(image: string, why: string, cause?: unknown): ExecutorError {
  return new ExecutorError('image-unavailable', `image ${image} can't be had: ${why}`, { cause });
}
