/**
 * From what the remote answered to what is certain.
 *
 * A push that timed out, broke off or was rejected may have been applied all the same (the reply was lost, a proxy sent
 * it twice). So after every answer but a definite "applied", the ref is read: it holds our object → won; it is where it
 * was → send the same object again; anything else → lost, if the push was rejected. Since every state object is unique,
 * "it holds our object" can't be somebody else's doing.
 *
 * Lost takes two witnesses, because each may tell of the past: a listing that shows something else may be older than
 * `from`, and a rejection may be an answer to a second copy of a push that won.
 */
import type { Oid, RefName } from '../git/oid.ts';
import type { RefSwap, Repository, SwapVerdict } from '../git/repository.ts';

export type SwapOutcome =
  /** Of a deletion: the ref is gone, by whomever, or had never come to be. */
  | { kind: 'won' }
  /** `current`: what the ref held when it was read, null when it was gone. */
  | { kind: 'lost'; current: Oid | null }
  /**
   * `lasting: false`: rejected again and again although the ref seems not to have moved, because of a lock file that a crash
   * left, or a very slow disk; it may go through later.
   */
  | { kind: 'refused'; reason: string; lasting: boolean };

/** How often a swap that the remote rejected without having moved the ref (a lock, an old listing) is sent again. */
export const MAX_RESENDS = 3;

/**
 * One try at settling these swaps, each ref at most once.
 * @param readFirst true when an earlier try may have been applied: nothing is sent before the refs were read.
 * @param send the one way out: pushes these swaps, as `Repository.swapRefs` does.
 * @param onUnclear told before each read-back.
 * @throws GitError when the remote could not be reached or gave no answer: then nothing is known, and a later call with
 *   `readFirst` must find out. What was settled before stays in `outcomes`.
 */
export async function settleSwaps(
  repository: Pick<Repository, 'listRefs'>,
  swaps: readonly RefSwap[],
  outcomes: Map<RefName, SwapOutcome>,
  options: {
    readFirst: boolean;
    signal?: AbortSignal;
    onUnclear: (reasons: string[]) => void;
    send: (swaps: readonly RefSwap[]) => Promise<ReadonlyMap<RefName, SwapVerdict>>;
  },
): Promise<void> {
  let open = swaps.filter((swap) => !outcomes.has(swap.ref));
  let mustRead = options.readFirst;
  const rejected = new Map<RefName, string>();
  let refusal: SwapOutcome | null = null;
  for (let sent = 0; open.length > 0; ) {
    if (mustRead) {
      const listing = await repository.listRefs(
        open.map((swap) => swap.ref),
        options.signal,
      );
      for (const swap of open) {
        const current = listing.refs.get(swap.ref) ?? null;
        // That a ref is gone is no more certain than that it is elsewhere.
        const there = current === swap.to && (swap.to !== null || rejected.has(swap.ref));
        if (there) outcomes.set(swap.ref, { kind: 'won' });
        else if (current !== swap.from && (refusal || rejected.has(swap.ref)))
          outcomes.set(swap.ref, { kind: 'lost', current });
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
        const why = rejected.get(swap.ref) ?? 'no reason given';
        const reason = `rejected ${sent} times although the ref did not move: ${why}`;
        outcomes.set(swap.ref, { kind: 'refused', reason, lasting: false });
      }
      return;
    }
    const verdicts = await options.send(open);
    sent += 1;
    const unclear: string[] = [];
    for (const swap of open) {
      const verdict: SwapVerdict = verdicts.get(swap.ref) ?? { kind: 'unclear', reason: 'no answer for this ref' };
      if (verdict.kind === 'applied') outcomes.set(swap.ref, { kind: 'won' });
      else unclear.push(verdict.reason);
      if (verdict.kind === 'rejected') rejected.set(swap.ref, verdict.reason);
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
