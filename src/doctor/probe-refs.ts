/**
 * Refs of the doctor's own, below one prefix that is this node's: what a doctor that was cut off has left there, the next
 * one removes.
 */
import { type GitObject, makeCommit, makeTree } from '../git/objects.ts';
import { type ObjectFormat, type Oid, type RefName, refName } from '../git/oid.ts';
import type { RefSwap, Repository, SwapVerdict } from '../git/repository.ts';
import type { Namespace } from '../ledger/names.ts';
import type { NodeId } from '../task/id.ts';

export class ProbeRefs {
  readonly prefix: string;
  readonly #repository: Repository;

  constructor(repository: Repository, namespace: Namespace, nodeId: NodeId) {
    this.#repository = repository;
    this.prefix = `${namespace}/doctor/${nodeId}`;
  }

  ref(name: string): RefName {
    return refName(`${this.prefix}/${name}`);
  }

  /** @returns what could not be removed. @throws GitError */
  async clear(): Promise<RefName[]> {
    const left = await this.#listed();
    if (left.size === 0) return [];
    await this.#repository.swapRefs(
      [...left].map(([ref, oid]) => ({ ref, from: oid, to: null })),
      [],
    );
    return [...(await this.#listed()).keys()];
  }

  /** @returns the verdict for each of the swaps, in their order. @throws GitError */
  async swap(probes: Probes, ...swaps: readonly RefSwap[]): Promise<SwapVerdict[]> {
    const verdicts = await this.#repository.swapRefs(swaps, probes.objects);
    return swaps.map(({ ref }) => verdicts.get(ref) ?? { kind: 'unclear', reason: 'no answer' });
  }

  async #listed(): Promise<Map<RefName, Oid>> {
    const { refs } = await this.#repository.listRefs([`${this.prefix}/`]);
    return new Map([...refs].filter(([ref]) => ref.startsWith(`${this.prefix}/`)));
  }
}

/** Two states that say nothing. */
export interface Probes {
  first: GitObject;
  second: GitObject;
  /** They, and what they need. */
  objects: readonly GitObject[];
}

/** Pure. */
export function makeProbes(format: ObjectFormat, text: string, wallMs: number): Probes {
  const tree = makeTree([], format);
  const identity = { name: 'dgrid-worker doctor', email: 'doctor@d-grid.local', seconds: wallMs / 1000 };
  const make = (number: number): GitObject => {
    const message = `probe ${number} of ${text}`;
    return makeCommit({ tree: tree.oid, parents: [], author: identity, committer: identity, message }, format);
  };
  const [first, second] = [make(1), make(2)];
  return { first, second, objects: [tree, first, second] };
}
