/**
 * Does the server keep the promise that everything rests on: that a ref moves only from what it was thought to be, and that
 * each is answered for by itself? Tried on refs of the doctor's own.
 */
import { GitError } from '../git/errors.ts';
import { type RefName, refName } from '../git/oid.ts';
import type { Repository, SwapVerdict } from '../git/repository.ts';
import { NAMESPACES, type Namespace } from '../ledger/names.ts';
import { type Clock, systemRandomHex } from '../runtime.ts';
import type { NodeId } from '../task/id.ts';
import { broken, type CheckResult, messageOf, ok, warning } from './check.ts';
import { makeProbes, ProbeRefs } from './probe-refs.ts';

const [PREFERRED, FALLBACK] = NAMESPACES;
const SWAPS = 'compare-and-swap';
const SERVER_PAGE = 'see docs/git-server.md';

export interface SwapParts {
  repository: Repository;
  nodeId: NodeId;
  clock: Clock;
}

interface Step {
  name: string;
  got: SwapVerdict;
  expected: SwapVerdict['kind'];
}

/** @param parts.auto whether a worker may take the other namespace by itself. */
export async function* checkSwaps(
  parts: SwapParts,
  namespace: Namespace,
  options: { auto: boolean; branch: RefName | null },
): AsyncGenerator<CheckResult> {
  const probes = new ProbeRefs(parts.repository, namespace, parts.nodeId);
  const results: CheckResult[] = [];
  try {
    const left = await probes.clear();
    if (left.length > 0) {
      yield broken(SWAPS, `${left.join(', ')} of an earlier doctor cannot be deleted`, deletionRemedy(namespace));
      return;
    }
    results.push(...(await tryAll(parts, probes, namespace, options)));
    if (options.branch) results.push(await tryBranch(parts, options.branch));
  } catch (error) {
    results.push(broken(SWAPS, error, remedyOf(error, namespace)));
  }
  // Also after a failure.
  const left = await probes.clear().catch((error: unknown) => [messageOf(error)]);
  yield* results;
  if (left.length > 0) yield warning('own refs', `left behind: ${left.join(', ')}`, deletionRemedy(namespace));
}

async function tryAll(
  parts: SwapParts,
  probes: ProbeRefs,
  namespace: Namespace,
  options: { auto: boolean },
): Promise<CheckResult[]> {
  const { repository, clock } = parts;
  // Unique, as every state is: the same bytes again would be taken for what is there already.
  const format = repository.objectFormat();
  const made = makeProbes(format, `${probes.prefix} ${systemRandomHex(8)}`, clock.wallMs());
  const [first, second] = [made.first.oid, made.second.oid];
  const ref = probes.ref('a');
  const one = async (from: typeof first | null, to: typeof first | null): Promise<SwapVerdict> =>
    (await probes.swap(made, { ref, from, to }))[0] as SwapVerdict;

  const steps: Step[] = [{ name: 'create', got: await one(null, first), expected: 'applied' }];
  const created = steps[0]?.got;
  if (created?.kind === 'refused') return [await judgeRefusal(parts, namespace, created.reason, options)];
  steps.push({ name: 'create what exists', got: await one(null, second), expected: 'rejected' });
  steps.push({ name: 'swap', got: await one(first, second), expected: 'applied' });
  const again = await one(first, second);
  const beside = probes.ref('c');
  const [conflict, other] = await probes.swap(
    made,
    // Where there is a ref there cannot be a directory: the server itself has to say no to this one.
    { ref: probes.ref('a/b'), from: null, to: first },
    { ref: beside, from: null, to: first },
  );
  steps.push({ name: 'swap from an old state', got: await one(first, null), expected: 'rejected' });
  steps.push({ name: 'delete', got: await one(second, null), expected: 'applied' });
  return [
    judgeSteps(steps, namespace),
    judgeRepeated(again),
    judgeIndependence({ conflict: conflict?.kind ?? 'unclear', other: other?.kind ?? 'unclear' }),
  ];
}

/** Pure. */
export function judgeSteps(steps: readonly Step[], namespace: Namespace): CheckResult {
  const wrong = steps.filter(({ got, expected }) => got.kind !== expected);
  if (wrong.length === 0) return ok(SWAPS, `the server swaps refs below ${namespace} correctly, deletion included`);
  const finding = wrong
    .map(({ name, got, expected }) => {
      const reason = got.kind === 'applied' ? '' : ` (${got.reason})`;
      return `${name}: ${got.kind}${reason}, expected ${expected}`;
    })
    .join('; ');
  // The one from an old state is a deletion too, and a server that allows none does not look further.
  const onlyDeletion = wrong.every(({ name }) => name === 'delete' || name === 'swap from an old state');
  return broken(SWAPS, finding, onlyDeletion ? deletionRemedy(namespace) : accountRemedy(namespace));
}

/** A push of what the ref holds already, from a state that it does not hold. Pure. */
export function judgeRepeated(verdict: SwapVerdict): CheckResult {
  const check = 'repeated push';
  if (verdict.kind !== 'applied') return ok(check, `told apart from a new one (${verdict.kind}), the ref is read then`);
  return broken(check, 'a push of what is there already counts as applied from any state', 'use another server');
}

/** Pure. */
export function judgeIndependence(got: { conflict: SwapVerdict['kind']; other: SwapVerdict['kind'] }): CheckResult {
  const check = 'many refs in one push';
  if (got.conflict === 'applied')
    return broken(check, 'a ref was made in the place of a directory', 'use another server');
  if (got.other === 'applied') return ok(check, 'each is answered for by itself');
  const finding = `one that fails takes the others with it (${got.other}): each is sent again alone, which costs pushes`;
  return warning(check, finding, 'look for a hook that judges a push as a whole (pre-receive)');
}

async function judgeRefusal(
  parts: SwapParts,
  namespace: Namespace,
  reason: string,
  options: { auto: boolean },
): Promise<CheckResult> {
  const finding = `the server takes no refs below ${namespace} (${reason})`;
  if (namespace === FALLBACK) return broken(SWAPS, finding, accountRemedy(namespace));
  const probes = new ProbeRefs(parts.repository, FALLBACK, parts.nodeId);
  const text = `${probes.prefix} ${systemRandomHex(8)}`;
  const made = makeProbes(parts.repository.objectFormat(), text, parts.clock.wallMs());
  const [got] = await probes.swap(made, { ref: probes.ref('a'), from: null, to: made.first.oid });
  const left = await probes.clear();
  if (got?.kind !== 'applied') return broken(SWAPS, `${finding}, nor below ${FALLBACK}`, accountRemedy(PREFERRED));
  if (left.length > 0) return broken(SWAPS, `${finding}; below ${FALLBACK} it deletes none`, deletionRemedy(FALLBACK));
  const remedy = options.auto
    ? 'nothing, if the repository is new and all workers are; else set DGRID_REF_NAMESPACE=refs/heads/dgrid for all'
    : 'set DGRID_REF_NAMESPACE=refs/heads/dgrid for all workers and clients';
  const found = `${finding}, but those below ${FALLBACK}`;
  return options.auto ? warning(SWAPS, found, remedy) : broken(SWAPS, found, remedy);
}

/**
 * A branch below the branch, which cannot come into being: hooks and rules say what they think of it first, and nothing
 * of it is left.
 */
async function tryBranch(parts: SwapParts, branch: RefName): Promise<CheckResult> {
  const { repository, clock } = parts;
  const text = `${branch} ${systemRandomHex(8)}`;
  const { first, objects } = makeProbes(repository.objectFormat(), text, clock.wallMs());
  const ref = refName(`${branch}/dgrid-doctor`);
  const verdict = (await repository.swapRefs([{ ref, from: null, to: first.oid }], objects)).get(ref);
  if (verdict?.kind === 'applied') await repository.swapRefs([{ ref, from: first.oid, to: null }], []);
  return judgeBranch(verdict ?? { kind: 'unclear', reason: 'no answer' }, branch);
}

/** Pure. */
export function judgeBranch(verdict: SwapVerdict, branch: RefName): CheckResult {
  const check = 'recording';
  if (verdict.kind === 'refused') {
    const finding = `the server refuses pushes to branches (${verdict.reason}): results stay in their refs, where dgrid reads them`;
    return warning(check, finding, `let this account push to ${branch}`);
  }
  const finding = `no hook refuses pushes to branches; whether ${branch} itself is protected shows with the first result`;
  return ok(check, finding);
}

function remedyOf(error: unknown, namespace: Namespace): string {
  const kind = error instanceof GitError ? error.kind : 'unknown';
  if (kind === 'corrupt-remote') return `mend the repository on the host, ${SERVER_PAGE}`;
  if (kind === 'local-io') return 'make room on this machine, or make the clone (DGRID_REPO_PATH) writable';
  if (kind === 'occupied') return 'set DGRID_REPO_PATH to another directory, or empty it';
  return accountRemedy(namespace);
}

function accountRemedy(namespace: Namespace): string {
  const other = namespace === PREFERRED ? `, or set DGRID_REF_NAMESPACE=${FALLBACK} for all workers` : '';
  return `let this account create, change and delete refs below ${namespace} (hooks, transfer.hideRefs, protected branches)${other}`;
}

function deletionRemedy(namespace: Namespace): string {
  return namespace === FALLBACK
    ? `allow deletion and forced pushes below ${FALLBACK} (receive.denyDeletes, receive.denyNonFastForwards, protected branches), ${SERVER_PAGE}`
    : `let this account delete refs below ${namespace}, and remove those that are left`;
}
