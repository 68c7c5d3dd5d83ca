/** Which pushes, that somebody tells of, are worth a look. Pure. */
import type { RefName } from '../git/oid.ts';
import { NAMESPACES, type Namespace, outputPrefix } from '../ledger/names.ts';

export interface PushTold {
  /** null when it is not known. */
  ref: string | null;
  after: string | null;
}

/**
 * Where states are branches, hosts tell of each heartbeat and claim. None of them is worth a look: who waits for one
 * looks at the set interval anyway. If they were, every worker would look at the heartbeats of all, and their claims would
 * wake the whole grid once more. The same holds for a commit that this worker has seen, or has made itself.
 * @param known the branch that holds the queue, and its tip; null before the first look.
 */
export function isWorthALook({ ref, after }: PushTold, known: { branch: RefName; tip: string | null } | null): boolean {
  if (ref === null || !ref.startsWith('refs/')) return true;
  const isState = (namespace: Namespace): boolean =>
    [`${namespace}/`, outputPrefix(namespace)].some((prefix) => ref.startsWith(prefix));
  if (NAMESPACES.some(isState)) return false;
  if (known === null) return true;
  return ref === known.branch && (after === null || after !== known.tip);
}
