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

/** What removing `image` frees while the others stay; null: cannot be told. */
export function soleBytes(image: LayeredImage, others: readonly LayeredImage[]): number | null {
  const { layers, layerBytes } = image;
  if (layers === null || others.some((other) => other.layers === null)) return null;
  const shared = Math.max(0, ...others.map((other) => commonLayers(layers, other.layers ?? [])));
  if (shared === 0) return image.bytes;
  if (shared === layers.length) return 0;
  return layerBytes === null ? null : layerBytes.slice(shared).reduce((sum, bytes) => sum + bytes, 0);
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
