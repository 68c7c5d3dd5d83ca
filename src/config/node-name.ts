/** From a host's name to the id of its node. */
import { createHash } from 'node:crypto';
import { ID_PATTERN, isNodeId, type NodeId } from '../task/id.ts';
import { bad, good, type ValueKind } from './value-kind.ts';

const MAX_ID_LENGTH = 63;
const HASH_LENGTH = 8;

export function nodeIdKind(): ValueKind<NodeId> {
  const expects = `1 to ${MAX_ID_LENGTH} lower-case letters, digits, - or _, beginning with a letter or a digit`;
  return {
    unit: null,
    expects,
    parse: (text) => (isNodeId(text) ? good(text) : bad(`must be ${expects}`)),
    format: String,
    plain: (value) => value,
  };
}

/** null when nothing of the name can be used. */
export function nodeIdFromHost(hostName: string): string | null {
  const slug = hostName
    .toLowerCase()
    .replace(/[^a-z0-9_]+/g, '-')
    .replace(/^[^a-z0-9]+|-+$/g, '');
  // Long names often differ only at their end: a hash keeps two machines of one fleet apart.
  const id =
    slug.length <= MAX_ID_LENGTH
      ? slug
      : `${slug.slice(0, MAX_ID_LENGTH - HASH_LENGTH - 1)}-${createHash('sha256').update(hostName).digest('hex').slice(0, HASH_LENGTH)}`;
  return ID_PATTERN.test(id) ? id : null;
}
