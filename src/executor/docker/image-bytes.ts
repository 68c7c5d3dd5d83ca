/**
 * How much room an image takes up that no other image shares. Layers lie on top of each other, so two images share those
 * that they have in common from the bottom on, and no others. Pure.
 */

export interface LayeredImage {
  id: string;
  /** Content ids of its layers, the lowest first; null: not known. */
  layers: readonly string[] | null;
  /** Bytes of each layer; null: not known one by one. */
  layerBytes: readonly number[] | null;
  /** Bytes of all layers. */
  bytes: number;
}

export interface SoleRoom {
  /** null: cannot be told. */
  layers: number | null;
  /** Of layers of empty files 0 too. */
  bytes: number | null;
}

/** What removing `image` frees while the others stay. */
export function soleRoom(image: LayeredImage, others: readonly LayeredImage[]): SoleRoom {
  const { layers, layerBytes } = image;
  if (layers === null || others.some((other) => other.layers === null)) return { layers: null, bytes: null };
  const shared = Math.max(0, ...others.map((other) => commonLayers(layers, other.layers ?? [])));
  const own = { layers: layers.length - shared };
  if (shared === 0) return { ...own, bytes: image.bytes };
  if (own.layers === 0) return { ...own, bytes: 0 };
  return { ...own, bytes: layerBytes && layerBytes.slice(shared).reduce((sum, bytes) => sum + bytes, 0) };
}

function commonLayers(a: readonly string[], b: readonly string[]): number {
  const end = a.findIndex((layer, at) => layer !== b[at]);
  return end < 0 ? a.length : end;
}

/**
 * The bytes of each layer by the image's history, which tells of each step that made it, those without a layer included.
 * @param history the sizes, the last step first. @returns null when steps and layers cannot be matched.
 */
export function layerBytesOf(history: readonly number[], layerCount: number): number[] | null {
  const steps = history.toReversed();
  if (steps.length === layerCount) return steps;
  const withContent = steps.filter((bytes) => bytes > 0);
  return withContent.length === layerCount ? withContent : null;
}
