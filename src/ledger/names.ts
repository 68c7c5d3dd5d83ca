/** Where things live in a task repository. */
import { type RefName, refName } from '../git/oid.ts';
import type { Repository } from '../git/repository.ts';
import { isNodeId, isTaskId, type NodeId, type TaskId } from '../task/id.ts';

/** `refs/heads/dgrid` is the fallback for hosts that accept nothing but branches. */
export const NAMESPACES = ['refs/dgrid', 'refs/heads/dgrid'] as const;
export type Namespace = (typeof NAMESPACES)[number];

const [PREFERRED, FALLBACK] = NAMESPACES;

export const QUEUE_DIR = 'tasks/queue';
export const COMPLETED_DIR = 'tasks/completed';
export const FAILED_DIR = 'tasks/failed';
/** Of the file that has the signature of a task file or of a record, and stands beside it. */
export const SIGNATURE_SUFFIX = '.sig';

export function taskRef(namespace: Namespace, id: TaskId): RefName {
  return refName(`${namespace}/tasks/${id}`);
}

export function nodeRef(namespace: Namespace, id: NodeId): RefName {
  return refName(`${namespace}/nodes/${id}`);
}

/**
 * Beside the namespace and not in it: nobody who lists a grid gets them, and workers that know nothing of them take them
 * for no states of theirs.
 */
export function outputPrefix(namespace: Namespace): string {
  return `${namespace}-output/`;
}

export function outputRef(namespace: Namespace, id: TaskId): RefName {
  return refName(`${outputPrefix(namespace)}${id}`);
}

/** null for a ref that is none of them. */
export function taskOfOutputRef(namespace: Namespace, ref: string): TaskId | null {
  const prefix = outputPrefix(namespace);
  const id = ref.startsWith(prefix) ? ref.slice(prefix.length) : '';
  return isTaskId(id) ? id : null;
}

export type LedgerRef = { kind: 'task'; id: TaskId } | { kind: 'node'; id: NodeId };

/** null for a ref that is none of ours, or whose last part is no legal id. */
export function parseLedgerRef(namespace: Namespace, ref: string): LedgerRef | null {
  const [kind, id, ...rest] = ref.startsWith(`${namespace}/`) ? ref.slice(namespace.length + 1).split('/') : [];
  if (rest.length > 0 || id === undefined) return null;
  if (kind === 'tasks' && isTaskId(id)) return { kind: 'task', id };
  if (kind === 'nodes' && isNodeId(id)) return { kind: 'node', id };
  return null;
}

/**
 * The namespace that the grid uses already; the preferred one in a grid without any state.
 * @throws GitError
 */
export async function findNamespace(repository: Repository, signal?: AbortSignal): Promise<Namespace> {
  const { refs } = await repository.listRefs(
    NAMESPACES.map((namespace) => `${namespace}/`),
    signal,
  );
  const used = (namespace: Namespace): boolean => [...refs.keys()].some((ref) => ref.startsWith(`${namespace}/`));
  return used(FALLBACK) && !used(PREFERRED) ? FALLBACK : PREFERRED;
}

/** For `DGRID_REF_NAMESPACE`. */
export function namespaceOf(setting: string): Namespace | null {
  return NAMESPACES.find((namespace) => namespace === setting) ?? null;
}
