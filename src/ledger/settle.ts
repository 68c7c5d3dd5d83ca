/**
 * From what the remote answered to what is certain.
 *
 * A push that timed out, broke off or was rejected may have been applied all the same (the reply was lost, a proxy sent
 * it twice). So after every answer but a definite "applied", the ref is read: it holds our object → won; it is where it
 * was → send the same object again; anything else → lost. Since every state object is unique, "it holds our object"
 * can't be somebody else's doing.
 */
import { GitError } from '../git/errors.ts';
import type { Oid, RefName } from '../git/oid.ts';
import type { RefSwap, Repository, SwapVerdict } from '../git/repository.ts';

export type SwapOutcome =
  | { kind: 'won' }
  /** `current`: what the ref held when it was read, null when it was gone. */
  | { kind: 'lost'; current: Oid | null }
  /** `lasting: false`: the ref is kept locked, by a lock file that a crash left or a disk that is very slow. */
  | { kind: 'refused'; reason: string; lasting: boolean };

/** How often a swap that the remote rejected without having moved the ref (a lock, a hiccup) is sent again. */
export const MAX_RESENDS = 3;

/**
 * One try at settling these swaps, each ref at most once.
 * @param readFirst true when an earlier try may have been applied: nothing is sent before the refs were read.
 * @param onUnclear told before each read-back.
 * @throws GitError when the remote could not be reached or gave no answer: then nothing is known, and a later call with
 *   `readFirst` must find out. What was settled before stays in `outcomes`.
 */
export async function settleSwaps(
  repository: Repository,
  swaps: readonly RefSwap[],
  outcomes: Map<RefName, SwapOutcome>,
  options: {
    readFirst: boolean;
    signal?: AbortSignal;
    onUnclear: (reasons: string[]) => void;
    onPush: () => Promise<void>;
    /** Asked before each reading: which objects are known to have been replaced by then. */
    replacedByNow: () => (oid: Oid) => boolean;
  },
): Promise<void> {
  let open = swaps.filter((swap) => !outcomes.has(swap.ref));
  let mustRead = options.readFirst;
  const reasons = new Map<RefName, string>();
  let refusal: { kind: 'refused'; reason: string; lasting: true } | null = null;
  for (let sent = 0; open.length > 0; ) {
    if (mustRead) {
      const isPast = options.replacedByNow();
      const listing = await repository.listRefs(
        open.map((swap) => swap.ref),
        options.signal,
      );
      for (const swap of open) {
        const current = listing.refs.get(swap.ref) ?? null;
        if (current === swap.to) outcomes.set(swap.ref, { kind: 'won' });
        else if (current !== null && current !== swap.from && isPast(current)) {
          // A copy that lags behind answered. It says nothing of what became of our swap.
          throw new GitError('network', 'ls-remote', `the remote showed ${swap.ref} as it was before`);
        } else if (current !== swap.from) outcomes.set(swap.ref, { kind: 'lost', current });
      }
      open = open.filter((swap) => !outcomes.has(swap.ref));
      if (open.length === 0) return;
    }
    if (refusal) {
      for (const swap of open) outcomes.set(swap.ref, refusal);
      return;
    }
    if (sent > MAX_RESENDS) {
      for (const swap of open) {
        const reason = `rejected ${sent} times although the ref did not move: ${reasons.get(swap.ref) ?? 'no reason given'}`;
        outcomes.set(swap.ref, { kind: 'refused', reason, lasting: false });
      }
      return;
    }
    await options.onPush();
    const verdicts = await repository.swapRefs(open, options.signal);
    sent += 1;
    const unclear: string[] = [];
    for (const swap of open) {
      const verdict: SwapVerdict = verdicts.get(swap.ref) ?? { kind: 'unclear', reason: 'no answer for this ref' };
      if (verdict.kind === 'applied') outcomes.set(swap.ref, { kind: 'won' });
      else {
        unclear.push(verdict.reason);
        reasons.set(swap.ref, verdict.reason);
      }
      // Believed once the ref was read: an earlier copy of the request may have been let through.
      if (verdict.kind === 'refused' && open.length === 1) refusal = { ...verdict, lasting: true };
    }
    // A hook judges a push as a whole: in company, a refusal may be meant for another ref.
    const refused = open.filter((swap) => verdicts.get(swap.ref)?.kind === 'refused');
    if (refused.length > 0 && open.length > 1) {
      for (const swap of refused) {
        await settleSwaps(repository, [swap], outcomes, { ...options, readFirst: false });
      }
    }
    open = open.filter((swap) => !outcomes.has(swap.ref));
    if (open.length > 0) options.onUnclear(unclear);
    mustRead = true;
  }
}
