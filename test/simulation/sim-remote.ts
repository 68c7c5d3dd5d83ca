/**
 * The simulated host: refs that move by compare-and-swap, the objects behind them, and a true history of every move.
 *
 * It behaves as Git's own server does where the protocol depends on it: swaps of one push are independent of each other,
 * and a deletion whose old object the server does not have is carried out without comparing.
 */
import { type GitObject, parseCommit, parseTree } from '../../src/git/objects.ts';
import { type Oid, type RefName, refName } from '../../src/git/oid.ts';
import type { RefSwap, SwapVerdict } from '../../src/git/repository.ts';
import type { RefChange } from '../support/oracle/history.ts';

export const MAIN = refName('refs/heads/main');

export class SimRemote {
  readonly refs = new Map<RefName, Oid>();
  readonly objects = new Map<Oid, GitObject>();
  readonly changes: RefChange[] = [];
  /** Everything that was ever sent, also what the host has pruned since: for whoever judges the history. */
  readonly everSent = new Map<Oid, GitObject>();
  readonly #closures = new Map<Oid, readonly Oid[]>();
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  store(objects: Iterable<GitObject>): void {
    for (const object of objects) {
      this.objects.set(object.oid, object);
      this.everSent.set(object.oid, object);
    }
  }

  swap({ ref, from, to }: RefSwap): SwapVerdict {
    const held = this.refs.get(ref) ?? null;
    const comparesNothing = to === null && from !== null && !this.objects.has(from);
    if (held !== from && !comparesNothing) {
      return held === to && to !== null
        ? { kind: 'unclear', reason: 'up to date' }
        : { kind: 'rejected', reason: 'stale info' };
    }
    if (held === to) return { kind: 'unclear', reason: 'up to date' };
    if (to === null) this.refs.delete(ref);
    else this.refs.set(ref, to);
    this.changes.push({ seq: this.changes.length + 1, timeMs: this.#nowMs(), ref, from: held, to });
    return { kind: 'applied' };
  }

  /** The refs as they were at that instant. */
  refsAt(atMs: number): ReadonlyMap<RefName, Oid> {
    const last = this.changes.at(-1);
    if (!last || last.timeMs <= atMs) return this.refs;
    const refs = new Map<RefName, Oid>();
    for (const { ref, timeMs, to } of this.changes) {
      if (timeMs > atMs) break;
      if (to === null) refs.delete(ref);
      else refs.set(ref, to);
    }
    return refs;
  }

  /** What nothing refers to goes, as under `git gc --prune=now`. */
  prune(): void {
    const kept = new Set<Oid>();
    for (const oid of this.refs.values()) for (const reachable of this.#history(oid)) kept.add(reachable);
    for (const oid of this.objects.keys()) if (!kept.has(oid)) this.objects.delete(oid);
  }

  /** A commit with its tree and all that is in it, without its parents: what a shallow fetch brings. */
  closure(oid: Oid, find: (id: Oid) => GitObject | undefined = (id) => this.everSent.get(id)): readonly Oid[] {
    const known = this.#closures.get(oid);
    if (known) return known;
    const object = find(oid);
    if (!object) throw new Error(`object ${oid} was never written`);
    const inner =
      object.type === 'commit'
        ? [parseCommit(object.content).tree]
        : object.type === 'tree'
          ? parseTree(object.content, 'sha1').map((entry) => entry.oid)
          : [];
    const closure = [oid, ...new Set(inner.flatMap((id) => this.closure(id, find)))];
    this.#closures.set(oid, closure);
    return closure;
  }

  *#history(tip: Oid): Generator<Oid> {
    const open = [tip];
    const seen = new Set<Oid>();
    for (let oid = open.pop(); oid !== undefined; oid = open.pop()) {
      if (seen.has(oid)) continue;
      seen.add(oid);
      yield* this.closure(oid);
      const object = this.everSent.get(oid);
      if (object?.type === 'commit') open.push(...parseCommit(object.content).parents);
    }
  }
}
