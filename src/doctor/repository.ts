/** The repository: can it be reached and read, is the branch there, what does looking at it cost, what lies about in it? */
import type { Settings } from '../config/settings.ts';
import { GitError, type GitErrorKind } from '../git/errors.ts';
import { parseCommit } from '../git/objects.ts';
import { type Oid, type RefName, refName } from '../git/oid.ts';
import type { OpenedRepository } from '../git/open-repository.ts';
import { findNamespace, NAMESPACES, type Namespace, namespaceOf, parseLedgerRef } from '../ledger/names.ts';
import { decodeNodeState } from '../ledger/state-codec.ts';
import { broken, type CheckResult, ok, warning } from './check.ts';

/** A look that receives more is told of: it is made at every PULL_INTERVAL, by every worker. */
const COSTLY_LISTING_BYTES = 256 * 1024;
const MANY_GONE_NODES = 50;
/** Length, blank and line break around each name and id in a listing. */
const LINE_OVERHEAD_BYTES = 6;

export interface RemoteFound {
  result: CheckResult;
  /** null: it cannot be read. */
  namespace: Namespace | null;
  refs: ReadonlyMap<RefName, Oid>;
  branch: RefName | null;
}

export async function checkRemote(repository: OpenedRepository, { git, refNamespace }: Settings): Promise<RemoteFound> {
  const { url } = repository.command.address;
  try {
    const namespace = namespaceOf(refNamespace) ?? (await findNamespace(repository));
    const { refs, headBranch } = await repository.listRefs(['refs/']);
    const branch = git.branch ? refName(`refs/heads/${git.branch}`) : headBranch;
    const found = { namespace, refs, branch };
    if (branch && refs.has(branch)) return { ...found, result: ok('repository', `${url}, branch ${branch}`) };
    const finding = branch ? `${url} has no branch ${branch}` : `${url} has no commit yet`;
    const remedy = git.branch ? 'set DGRID_BRANCH to a branch that exists' : 'run "dgrid init" on it, or queue a task';
    return { ...found, result: warning('repository', finding, remedy) };
  } catch (error) {
    return { result: unreadable(error), namespace: null, refs: new Map(), branch: null };
  }
}

function unreadable(error: unknown): CheckResult {
  const remedy = error instanceof GitError ? REMEDIES[error.kind] : undefined;
  return broken(
    'repository',
    error,
    remedy ?? 'check DGRID_REPO_URL and the way to the host: name resolution, proxy, firewall',
  );
}

const CREDENTIALS =
  'check DGRID_REPO_URL and the credentials (GIT_TOKEN, GIT_TOKEN_FILE, GIT_SSH_KEY_FILE, GIT_CREDENTIAL_HELPER)';
const REMEDIES: Readonly<Partial<Record<GitErrorKind, string>>> = {
  auth: CREDENTIALS,
  'not-found': CREDENTIALS,
  // Its text says which ref, and how to mend it.
  'corrupt-remote': 'mend the repository on the host, see docs/git-server.md',
  occupied: 'set DGRID_REPO_PATH to another directory, or empty it',
  'local-io': 'make room on this machine, or make the clone (DGRID_REPO_PATH) writable',
};

/** What every look at the repository receives. Pure. */
export function judgeListing(refs: ReadonlyMap<RefName, Oid>, pullIntervalMs: number): CheckResult {
  const check = 'size of a look';
  let bytes = 0;
  for (const [ref, oid] of refs) bytes += ref.length + oid.length + LINE_OVERHEAD_BYTES;
  const perHour = Math.round((bytes * 3_600_000) / pullIntervalMs / 1024 ** 2);
  const finding = `${refs.size} refs, ${Math.ceil(bytes / 1024)} KiB, ${perHour} MiB an hour at this PULL_INTERVAL`;
  if (bytes <= COSTLY_LISTING_BYTES) return ok(check, finding);
  const [most, count] = [...kindsOf(refs)].sort(([, a], [, b]) => b - a)[0] ?? ['refs/', 0];
  const remedy = `raise PULL_INTERVAL, or delete refs (${count} of them are below ${most}), or hide those of others on the server, see docs/git-server.md`;
  return warning(check, finding, remedy);
}

function kindsOf(refs: ReadonlyMap<RefName, Oid>): Map<string, number> {
  const kinds = new Map<string, number>();
  for (const ref of refs.keys()) {
    const namespace = NAMESPACES.find((candidate) => ref.startsWith(`${candidate}/`));
    const depth = namespace ? namespace.split('/').length + 1 : 2;
    const kind = ref.split('/').slice(0, depth).join('/');
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  return kinds;
}

export interface NodeCensus {
  alive: number;
  /** Signed off, or declared dead. */
  gone: number;
  /** Of a newer format, or damaged. */
  unreadable: string[];
}

/** @throws GitError */
export async function countNodes(
  repository: OpenedRepository,
  namespace: Namespace,
  refs: ReadonlyMap<RefName, Oid>,
): Promise<NodeCensus> {
  const census: NodeCensus = { alive: 0, gone: 0, unreadable: [] };
  const nodes = [...refs].flatMap(([ref, oid]) => {
    const parsed = parseLedgerRef(namespace, ref);
    return parsed?.kind === 'node' ? [{ id: parsed.id, oid }] : [];
  });
  if (nodes.length === 0) return census;
  await repository.fetchRefs([`${namespace}/nodes/*`]);
  const objects = await repository.readObjects(nodes.map(({ oid }) => oid));
  for (const { id, oid } of nodes) {
    const object = objects.get(oid);
    // It has moved since the listing, so it lives.
    if (!object) census.alive += 1;
    else if (object.type !== 'commit') census.unreadable.push(id);
    else {
      const decoded = decodeNodeState(parseCommit(object.content).message, id);
      if (decoded.kind !== 'state') census.unreadable.push(id);
      else if (decoded.state.state === 'alive') census.alive += 1;
      else census.gone += 1;
    }
  }
  return census;
}

/** Pure. */
export function judgeNodes({ alive, gone, unreadable: strange }: NodeCensus, namespace: Namespace): CheckResult {
  const check = 'nodes';
  const finding = `${alive} on duty, ${gone} that signed off or were declared dead`;
  if (strange.length > 0) {
    const names = strange.slice(0, 5).join(', ');
    const remedy = `update this worker if a newer one wrote them; else delete ${namespace}/nodes/${strange[0]}`;
    return warning(check, `${finding}; the state of ${names} cannot be read`, remedy);
  }
  if (gone < MANY_GONE_NODES) return ok(check, finding);
  const remedy = `delete what will not come back: git push <url> :${namespace}/nodes/<node_id>`;
  return warning(check, `${finding}, and every look receives them all`, remedy);
}
