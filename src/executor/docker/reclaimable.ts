/**
 * What could be removed from the engine to make room, and how much that is likely to free. Changes nothing. `/system/df`
 * would tell more and is not asked: it walks through everything, which takes minutes on a full disk.
 */
import type { DockerSettings } from '../../config/settings.ts';
import type { Reclaimable } from '../executor.ts';
import { BUILT_IMAGE } from './busybox-image.ts';
import { type CleanContext, endedContainers, IMAGE_REST_MS } from './clean.ts';
import { type Engine, hasStatus } from './engine.ts';
import { type LayeredImage, layerBytesOf, soleRoom } from './image-bytes.ts';
import { fullImageName } from './image-name.ts';
import type { OwnedImage } from './owned-images.ts';

/** On a machine with more images what they share is not looked for. */
const MAX_COMPARED_IMAGES = 200;

interface ListedImage {
  Id: string;
  RepoTags?: string[] | null;
  RepoDigests?: string[] | null;
  Size: number;
}

export interface SurveyContext extends CleanContext {
  settings: Pick<DockerSettings, 'image' | 'pruneDanglingImages' | 'pruneBuildCache'>;
  /** How many containers wait for a task. */
  waiting: number;
}

/** @throws ExecutorError */
export async function reclaimable(context: SurveyContext, signal?: AbortSignal): Promise<Reclaimable[]> {
  const { engine, settings, waiting } = context;
  const found: Reclaimable[] = [];
  if ((await endedContainers(context, signal)).length > 0) {
    // Their root is read-only, so it is their logs that take up room, of which the engine does not tell.
    found.push({ step: { kind: 'own-containers' }, bytes: null, inodes: null, isLastResort: false });
  }
  if (waiting > 0) found.push({ step: { kind: 'waiting-containers' }, bytes: null, inodes: null, isLastResort: false });
  const listed = await engine.json<ListedImage[]>({
    method: 'GET',
    path: '/images/json',
    ...(signal ? { signal } : {}),
  });
  found.push(...(await removableImages(context, listed, signal)));
  if (settings.pruneDanglingImages) {
    const dangling = listed.filter((image) => namesOf(image).length === 0);
    // At most: what they share is theirs together.
    const bytes = dangling.reduce((sum, { Size }) => sum + Size, 0);
    if (dangling.length > 0)
      found.push({ step: { kind: 'dangling-images' }, bytes, inodes: null, isLastResort: false });
  }
  if (settings.pruneBuildCache)
    found.push({ step: { kind: 'build-cache' }, bytes: null, inodes: null, isLastResort: false });
  return found;
}

/** Own images that nobody uses, the one that was used longest ago first and the default image last. */
async function removableImages(
  context: SurveyContext,
  listed: readonly ListedImage[],
  signal?: AbortSignal,
): Promise<Reclaimable[]> {
  const { engine, owned, settings } = context;
  const defaults = new Set([fullImageName(settings.image), fullImageName(BUILT_IMAGE)]);
  const inUse = await imagesInUse(engine, signal);
  const mine = await owned.list();
  const ofImage = new Map(listed.map((image) => [image.Id, image]));
  const removable = mine
    .filter((image) => {
      const known = ofImage.get(image.id);
      return known && !inUse.has(image.id) && !isResting(context, image) && bearsOnly(known, image, mine);
    })
    .map((image) => ({ ...image, isLastResort: defaults.has(image.name) }))
    .toSorted((a, b) => Number(a.isLastResort) - Number(b.isLastResort) || a.usedMs - b.usedMs);
  const ids = new Set(removable.map(({ id }) => id));
  const layered = await layersOf(engine, listed, ids, signal);
  const gone = new Set<string>();
  const names = new Map<string, number>();
  for (const { id } of removable) names.set(id, (names.get(id) ?? 0) + 1);
  return removable.map(({ id, isLastResort, name }) => {
    const namesLeft = (names.get(id) ?? 1) - 1;
    names.set(id, namesLeft);
    const step = { kind: 'own-image', image: name } as const;
    // Of several names the last one frees the image, and none of the others is spared for freeing nothing by itself.
    if (namesLeft > 0) return { step, bytes: null, inodes: null, isLastResort };
    const image = layered.get(id);
    const { bytes, layers } = image ? soleRoom(image, stay(layered, id, gone)) : { bytes: null, layers: null };
    gone.add(id);
    // How many files a layer has the engine does not tell.
    return { step, bytes, inodes: layers === 0 ? 0 : null, isLastResort };
  });
}

function stay(layered: ReadonlyMap<string, LayeredImage>, id: string, gone: ReadonlySet<string>): LayeredImage[] {
  return [...layered.values()].filter((other) => other.id !== id && !gone.has(other.id));
}

function isResting({ images }: CleanContext, { name }: OwnedImage): boolean {
  const unusedMs = images.unusedMs(name);
  return unusedMs !== null && unusedMs < IMAGE_REST_MS;
}

/** Whether it still has our name, and none but ours: else removing that would free nothing, or not this image. */
function bearsOnly(image: ListedImage, { name }: OwnedImage, mine: readonly OwnedImage[]): boolean {
  const ours = new Set(mine.filter(({ id }) => id === image.Id).map((own) => own.name));
  const names = namesOf(image);
  return (
    names.includes(name) && (image.RepoTags ?? []).every((tag) => isNone(tag) || ours.has(fullImageName(tag) ?? tag))
  );
}

/** Full ones: tags, and what it was pulled by its digest as. */
function namesOf({ RepoDigests, RepoTags }: ListedImage): string[] {
  const names = [...(RepoTags ?? []), ...(RepoDigests ?? [])].filter((name) => !isNone(name));
  return names.map((name) => fullImageName(name) ?? name);
}

function isNone(name: string): boolean {
  return name.startsWith('<none>');
}

/** Of all containers, whoever's and in whatever state. */
async function imagesInUse(engine: Engine, signal?: AbortSignal): Promise<ReadonlySet<string>> {
  const containers = await engine.json<{ ImageID: string }[]>({
    method: 'GET',
    path: '/containers/json',
    query: { all: true },
    ...(signal ? { signal } : {}),
  });
  return new Set(containers.map(({ ImageID }) => ImageID));
}

/** @param wanted those of which the layers' sizes are needed too */
async function layersOf(
  engine: Engine,
  listed: readonly ListedImage[],
  wanted: ReadonlySet<string>,
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, LayeredImage>> {
  const layered = new Map<string, LayeredImage>();
  const isCompared = listed.length <= MAX_COMPARED_IMAGES;
  for (const { Id, Size } of listed) {
    const layers = isCompared && wanted.size > 0 ? await layerIds(engine, Id, signal) : null;
    const history = layers && wanted.has(Id) ? await historyOf(engine, Id, signal) : null;
    const layerBytes = layers && history ? layerBytesOf(history, layers.length) : null;
    layered.set(Id, { id: Id, bytes: Size, layers, layerBytes });
  }
  return layered;
}

async function layerIds(engine: Engine, id: string, signal?: AbortSignal): Promise<string[] | null> {
  const answer = await orGone(
    engine.json<{ RootFS?: { Layers?: string[] | null } | null }>({
      method: 'GET',
      path: `/images/${id}/json`,
      ...(signal ? { signal } : {}),
    }),
  );
  return answer === null ? [] : (answer.RootFS?.Layers ?? null);
}

async function historyOf(engine: Engine, id: string, signal?: AbortSignal): Promise<number[] | null> {
  const answer = await orGone(
    engine.json<{ Size: number }[]>({
      method: 'GET',
      path: `/images/${id}/history`,
      ...(signal ? { signal } : {}),
    }),
  );
  return answer?.map(({ Size }) => Size) ?? null;
}

/** Somebody else may remove images meanwhile. */
async function orGone<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (hasStatus(error, 404)) return null;
    throw error;
  }
}
