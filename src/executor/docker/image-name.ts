/**
 * Image names in their full form, so that `busybox`, `busybox:latest` and `docker.io/library/busybox:latest` are one.
 * The engine is only ever given the full form: a short name could otherwise be taken for the beginning of an image id.
 */

export interface ImageName {
  /** Registry and path, like `docker.io/library/busybox`. */
  repository: string;
  /** null when a digest says which one. */
  tag: string | null;
  /** Like `sha256:…`. Beats a tag beside it, as it does in the engine. */
  digest: string | null;
}

const DEFAULT_REGISTRY = 'docker.io';
const DEFAULT_NAMESPACE = 'library';
const MAX_REPOSITORY_LENGTH = 255;
const REGISTRY = /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$/;
const PATH_PART = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** @returns null when the text is no image name. */
export function parseImageName(text: string): ImageName | null {
  const [beforeDigest = '', digest, ...more] = text.split('@');
  if (more.length > 0 || (digest !== undefined && !DIGEST.test(digest))) return null;
  const { repository, tag } = splitTag(beforeDigest);
  if (tag !== null && !TAG.test(tag)) return null;
  const full = withRegistry(repository);
  const [registry = '', ...path] = full.split('/');
  if (full.length > MAX_REPOSITORY_LENGTH || !REGISTRY.test(registry)) return null;
  if (path.length === 0 || !path.every((part) => PATH_PART.test(part))) return null;
  if (digest !== undefined) return { repository: full, tag: null, digest };
  return { repository: full, tag: tag ?? 'latest', digest: null };
}

export function formatImageName(name: ImageName): string {
  return name.digest === null ? `${name.repository}:${name.tag ?? 'latest'}` : `${name.repository}@${name.digest}`;
}

/** The full form, or null when the text is no image name. */
export function fullImageName(text: string): string | null {
  const name = parseImageName(text);
  return name === null ? null : formatImageName(name);
}

/** A colon behind the last slash starts a tag; one before it belongs to the registry's port. */
export function splitTag(text: string): { repository: string; tag: string | null } {
  const colon = text.lastIndexOf(':');
  if (colon === -1 || colon < text.lastIndexOf('/')) return { repository: text, tag: null };
  return { repository: text.slice(0, colon), tag: text.slice(colon + 1) };
}

/** Puts the default registry and namespace in front where they are left out. */
export function withRegistry(repository: string): string {
  const slash = repository.indexOf('/');
  const first = repository.slice(0, slash);
  const hasRegistry = slash !== -1 && (/[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase());
  if (!hasRegistry) {
    return `${DEFAULT_REGISTRY}/${slash === -1 ? `${DEFAULT_NAMESPACE}/` : ''}${repository}`;
  }
  if (first !== DEFAULT_REGISTRY && first !== `index.${DEFAULT_REGISTRY}`) return repository;
  const path = repository.slice(slash + 1);
  return `${DEFAULT_REGISTRY}/${path.includes('/') ? '' : `${DEFAULT_NAMESPACE}/`}${path}`;
}
