/**
 * Which images an operator lets tasks choose. An entry is
 * - a name (`busybox:stable`; without a tag, `latest` is meant),
 * - a name with a digest, or a digest alone (`sha256:…`, in any repository),
 * - a pattern: `*` stands for any characters but a slash, `**` for any at all, `*` alone for every image.
 *
 * An image that is asked for by digest is let in by a digest or a pattern only: the tag beside it says nothing about what
 * would be run.
 */
import { formatImageName, parseImageName, splitTag, withRegistry } from './image-name.ts';

export function isImageAllowed(image: string, allowed: readonly string[]): boolean {
  const name = parseImageName(image);
  if (name === null) return false;
  const full = formatImageName(name);
  return allowed.some((entry) => {
    const pattern = entry.trim();
    if (pattern === '*' || pattern === '**') return true;
    if (/^sha256:[0-9a-f]{64}$/.test(pattern)) return name.digest === pattern;
    if (pattern.includes('*')) return patternToExpression(pattern).test(full);
    const parsed = parseImageName(pattern);
    return parsed !== null && formatImageName(parsed) === full;
  });
}

function patternToExpression(pattern: string): RegExp {
  const [name = '', digest] = pattern.split('@');
  const { repository, tag } = splitTag(name);
  let full = withRegistry(repository);
  if (tag !== null) full += `:${tag}`;
  else if (digest === undefined && !repository.endsWith('*')) full += ':latest';
  if (digest !== undefined) full += `@${digest}`;
  const source = full
    .split(/(\*+)/)
    .map((part) => (part.startsWith('*') ? (part.length > 1 ? '.*' : '[^/]*') : part.replace(/[^A-Za-z0-9/]/g, '\\$&')))
    .join('');
  return new RegExp(`^${source}$`);
}
