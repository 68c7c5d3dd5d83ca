/** What workers concluded of their swaps, against what happened. */
import type { RefName } from '../../../src/git/oid.ts';
import type { Examination } from './check.ts';
import type { RefChange, SwapTry } from './history.ts';

export function checkSwaps({ history, lateReadings, report, toleranceMs }: Examination): void {
  const moves = new Map<string, RefChange>();
  const deletions = new Map<RefName, RefChange[]>();
  const firstOf = new Map<RefName, RefChange>();
  const lastOf = new Map<RefName, RefChange>();
  const replacedAtMs = new Map<RefChange, number>();
  const held = new Map<RefName, Set<string>>();
  const echoing = new Set<RefName>();
  /** Made on a state that a late copy of a request had brought back: whoever gave up on it before was right then. */
  const onEcho = new Set<RefChange>();
  for (const change of history.changes) {
    const { ref, timeMs, to } = change;
    const before = held.get(ref) ?? new Set<string>();
    held.set(ref, before);
    if (to === null) echoing.delete(ref);
    else {
      if (before.has(to)) echoing.add(ref);
      else if (echoing.delete(ref)) onEcho.add(change);
      before.add(to);
    }
    firstOf.set(ref, firstOf.get(ref) ?? change);
    const last = lastOf.get(ref);
    if (last) replacedAtMs.set(last, timeMs);
    lastOf.set(ref, change);
    if (to !== null) {
      // A late copy of a request from nothing can bring it once more; the first time is what was asked for.
      const key = `${ref} ${to}`;
      moves.set(key, moves.get(key) ?? change);
    } else deletions.set(ref, [...(deletions.get(ref) ?? []), change]);
  }
  const winners = new Map<string, string>();
  for (const tried of history.tries) {
    if (tried.to === null) {
      const done = deletions.get(tried.ref) ?? [];
      // Whoever finds the ref gone has what was wanted: it need not be its own doing.
      const before = done.some(({ timeMs }) => timeMs <= tried.settledMs + toleranceMs);
      // Nor need it ever have been there: it may have been asked for by somebody who got no answer.
      const since = firstOf.get(tried.ref)?.timeMs ?? Number.POSITIVE_INFINITY;
      const wasAbsent = since > tried.sentMs - toleranceMs;
      if (tried.outcome === 'won' && !before && !wasAbsent && !lateReadings)
        report('won', tried.ref, `${name(tried)} did not happen`);
      continue;
    }
    const move = `${tried.ref} ${tried.to}`;
    if (tried.outcome === 'won') {
      const winner = winners.get(move);
      // Two that wrote the same bytes would both find their object there.
      if (winner !== undefined && winner !== tried.node)
        report('unique', tried.ref, `${winner} won with the same object as ${name(tried)}`);
      winners.set(move, tried.node);
    }
    const change = moves.get(move);
    if (lateReadings && tried.outcome !== 'won') continue;
    // What was there and has been replaced since is as good as lost: nobody acts on it any more.
    const replaced =
      change !== undefined && (replacedAtMs.get(change) ?? Number.POSITIVE_INFINITY) <= tried.settledMs + toleranceMs;
    if (tried.outcome !== 'won' && (replaced || (change && onEcho.has(change)))) continue;
    const problem = problemOf(tried, change?.from === tried.from ? change : undefined, toleranceMs);
    if (problem !== null) report(tried.outcome, tried.ref, `${name(tried)} ${problem}`);
  }
}

function problemOf(tried: SwapTry, change: RefChange | undefined, toleranceMs: number): string | null {
  switch (tried.outcome) {
    case 'won':
      if (!change) return 'did not happen';
      // It may well have happened before: an object out of the outbox was sent by an earlier life.
      return change.timeMs <= tried.settledMs + toleranceMs ? null : `happened only at ${change.timeMs}`;
    case 'lost':
    case 'refused':
      // A copy of a request that was under way for long may arrive later; only from nothing, or where nothing moved.
      if (!change) return null;
      if (change.timeMs > tried.settledMs + toleranceMs && (tried.from === null || tried.outcome === 'refused')) {
        return null;
      }
      return `happened at ${change.timeMs}`;
    case 'unclear':
      return null;
  }
}

function name({ node, from, to, sentMs, settledMs }: SwapTry): string {
  return `${node}'s swap from ${from} to ${to}, sent at ${sentMs} and settled at ${settledMs},`;
}
