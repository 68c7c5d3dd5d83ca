/**
 * How many containers of which kind should wait for a task, and so what to make and what to remove next. Pure.
 *
 * A kind is wanted as often as it was used lately, and not at all when it was not. Where the limit does not allow for all,
 * kinds share it by how often they were used. What waits is left alone until a task takes it, nobody wants it any more,
 * or a kind that has none needs the room: so the pool does not turn over because figures do.
 */

export interface KindUse {
  key: string;
  /** When it was asked for lately, at most as often as the limit allows to make use of; monotonic, the latest last. */
  usesMs: readonly number[];
  waiting: number;
  /** After a failure none is made before that. */
  notBeforeMs: number;
}

export interface PoolLimits {
  maxContainers: number;
  /** How long a use counts. */
  idleMs: number;
}

export interface PoolPlan {
  /** The kind to make one more of. */
  create: string | null;
  /** How many of each kind to remove. */
  retire: { key: string; count: number }[];
  /** When to look again if nothing happens before; monotonic. null: time changes nothing. */
  lookAtMs: number | null;
}

export function planPool(kinds: readonly KindUse[], { maxContainers, idleMs }: PoolLimits, nowMs: number): PoolPlan {
  const wanted = kinds.map((kind) => {
    const uses = kind.usesMs.filter((usedMs) => nowMs - usedMs < idleMs);
    return { ...kind, uses, wants: Math.min(uses.length, maxContainers) };
  });
  const shares = share(wanted, maxContainers);
  const retire = wanted.flatMap(({ key, waiting, wants }) =>
    waiting > wants ? [{ key, count: waiting - wants }] : [],
  );
  const kept = wanted.reduce((sum, { waiting, wants }) => sum + Math.min(waiting, wants), 0);
  const needy = wanted
    .filter(({ key, waiting }) => waiting < (shares.get(key) ?? 0))
    .toSorted((a, b) => Number(a.waiting > 0) - Number(b.waiting > 0) || lastUse(b) - lastUse(a));
  const ready = needy.find(({ notBeforeMs }) => notBeforeMs <= nowMs);
  let create = ready?.key ?? null;
  if (ready && kept >= maxContainers) {
    create = null;
    const rich = wanted.find(({ key, waiting, wants }) => Math.min(waiting, wants) > (shares.get(key) ?? 0));
    if (ready.waiting === 0 && rich) retire.push({ key: rich.key, count: 1 });
  }
  const moments = wanted.flatMap(({ uses, waiting, notBeforeMs, key }) => [
    // A use that does not count any more may make one superfluous.
    ...(waiting > 0 ? uses.slice(0, 1).map((usedMs) => usedMs + idleMs) : []),
    ...(waiting < (shares.get(key) ?? 0) && notBeforeMs > nowMs ? [notBeforeMs] : []),
  ]);
  return { create, retire, lookAtMs: moments.length === 0 ? null : Math.min(...moments) };
}

/** Place by place to the kind with the most uses for each place it has then; of equals to the one used last. */
function share(
  kinds: readonly { key: string; uses: readonly number[]; wants: number }[],
  places: number,
): ReadonlyMap<string, number> {
  const shares = new Map<string, number>();
  for (let place = 0; place < places; place += 1) {
    const weight = ({ key, uses }: { key: string; uses: readonly number[] }) =>
      uses.length / ((shares.get(key) ?? 0) + 1);
    const [next] = kinds
      .filter(({ key, wants }) => (shares.get(key) ?? 0) < wants)
      .toSorted((a, b) => weight(b) - weight(a) || lastUse(b) - lastUse(a));
    if (next === undefined) break;
    shares.set(next.key, (shares.get(next.key) ?? 0) + 1);
  }
  return shares;
}

function lastUse({ uses }: { uses: readonly number[] }): number {
  return uses.at(-1) ?? Number.NEGATIVE_INFINITY;
}
