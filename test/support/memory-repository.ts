/**
 * A repository in memory: refs that move by compare-and-swap, and objects. For what real Git cannot be made to do on
 * command: answers that get lost, pushes that are applied twice, readings that are late.
 */
import { GitError } from '../../src/git/errors.ts';
import type { GitObject } from '../../src/git/objects.ts';
import { type Oid, type RefName, refName } from '../../src/git/oid.ts';
import type { Blob, RefListing, RefSwap, Repository, SwapVerdict } from '../../src/git/repository.ts';

export class MemoryRemote {
  readonly refs = new Map<RefName, Oid>();
  readonly objects = new Map<Oid, GitObject>();
  readonly history: { ref: RefName; from: Oid | null; to: Oid | null }[] = [];
  headBranch: RefName | null = refName('refs/heads/main');

  swap({ ref, from, to }: RefSwap): boolean {
    if ((this.refs.get(ref) ?? null) !== from) return false;
    if (to === null) this.refs.delete(ref);
    else this.refs.set(ref, to);
    this.history.push({ ref, from, to });
    return true;
  }
}

/** What a worker sees of the remote. `onPush` may spoil a push: lose it, lose its answer, or refuse it. */
export type PushFault = 'none' | 'lost-request' | 'lost-reply' | 'refused';

export class MemoryRepository implements Repository {
  readonly remote: MemoryRemote;
  readonly local = new Map<Oid, GitObject>();
  onPush: (swaps: readonly RefSwap[]) => PushFault = () => 'none';
  onList: () => void = () => undefined;
  pushes = 0;
  fetches = 0;
  lists = 0;

  constructor(remote: MemoryRemote) {
    this.remote = remote;
  }

  objectFormat = (): 'sha1' => 'sha1';

  async listRefs(prefixes: readonly string[]): Promise<RefListing> {
    this.lists += 1;
    this.onList();
    await Promise.resolve();
    const refs = new Map([...this.remote.refs].filter(([ref]) => prefixes.some((prefix) => ref.startsWith(prefix))));
    return { refs, headBranch: this.remote.headBranch };
  }

  async fetchRefs(patterns: readonly string[]): Promise<ReadonlyMap<Oid, string>> {
    this.fetches += 1;
    await Promise.resolve();
    const wanted = [...this.remote.refs.keys()].some((ref) => patterns.some((p) => ref.startsWith(p.replace('*', ''))));
    if (wanted) for (const [oid, object] of this.remote.objects) this.local.set(oid, object);
    return new Map();
  }

  async readObjects(oids: readonly Oid[]): Promise<ReadonlyMap<Oid, GitObject>> {
    await Promise.resolve();
    return new Map(oids.flatMap((oid) => (this.local.has(oid) ? [[oid, this.local.get(oid) as GitObject]] : [])));
  }

  async readBlobs(oids: readonly Oid[], maxBytes: number): Promise<ReadonlyMap<Oid, Blob>> {
    return blobsOf(await this.readObjects(oids), maxBytes);
  }

  async check(): Promise<void> {}

  async rebuild(): Promise<void> {
    this.local.clear();
  }

  async upkeep(): Promise<void> {}

  async swapRefs(swaps: readonly RefSwap[], objects: readonly GitObject[]): Promise<ReadonlyMap<RefName, SwapVerdict>> {
    this.pushes += 1;
    for (const object of objects) this.local.set(object.oid, object);
    const fault = this.onPush(swaps);
    await Promise.resolve();
    if (fault === 'lost-request') throw new GitError('network', 'push', 'the request was lost');
    if (fault === 'refused') {
      return new Map(swaps.map(({ ref }) => [ref, { kind: 'refused', reason: 'pre-receive hook declined' }]));
    }
    for (const [oid, object] of this.local) this.remote.objects.set(oid, object);
    const verdicts = new Map<RefName, SwapVerdict>();
    for (const swap of swaps) {
      const held = this.remote.refs.get(swap.ref) ?? null;
      if (held === swap.to && swap.to !== null) verdicts.set(swap.ref, { kind: 'unclear', reason: 'up to date' });
      else
        verdicts.set(
          swap.ref,
          this.remote.swap(swap) ? { kind: 'applied' } : { kind: 'rejected', reason: 'stale info' },
        );
    }
    if (fault === 'lost-reply') throw new GitError('network', 'push', 'the reply was lost');
    return verdicts;
  }
}

/** Files among objects, as `Repository.readBlobs` answers. */
export function blobsOf(objects: ReadonlyMap<Oid, GitObject>, maxBytes: number): Map<Oid, Blob> {
  const blobs = new Map<Oid, Blob>();
  for (const [oid, { type, content }] of objects) {
    if (type !== 'blob') continue;
    const fits = content.length <= maxBytes;
    blobs.set(oid, fits ? { kind: 'content', content } : { kind: 'too-large', bytes: content.length });
  }
  return blobs;
}
