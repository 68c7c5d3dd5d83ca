/** The repository as one process sees it: requests that travel, get lost, arrive twice or late; and a local cache. */
import { GitError } from '../../src/git/errors.ts';
import type { GitObject } from '../../src/git/objects.ts';
import type { Oid, RefName } from '../../src/git/oid.ts';
import type { Blob, RefListing, RefSwap, Repository, SwapVerdict } from '../../src/git/repository.ts';
import { blobsOf } from '../support/memory-repository.ts';
import type { Faults } from './faults.ts';
import type { Life } from './life.ts';
import type { SeededRandom } from './seeded-random.ts';
import { MAIN, type SimRemote } from './sim-remote.ts';

const DEADLINE_MS = 8_000;
const LATE_MS = 45_000;

export interface SimNetwork {
  /** In force now. */
  faults: Faults;
  /** Whether this machine is cut off now. */
  isCut: (machine: string) => boolean;
}

export class SimRepository implements Repository {
  readonly #life: Life;
  readonly #machine: string;
  readonly #remote: SimRemote;
  readonly #network: SimNetwork;
  readonly #random: SeededRandom;
  readonly #onSend: (swap: RefSwap) => void;
  readonly #local = new Map<Oid, GitObject>();

  constructor(parts: {
    life: Life;
    machine: string;
    remote: SimRemote;
    network: SimNetwork;
    random: SeededRandom;
    onSend: (swap: RefSwap) => void;
  }) {
    this.#life = parts.life;
    this.#machine = parts.machine;
    this.#remote = parts.remote;
    this.#network = parts.network;
    this.#random = parts.random;
    this.#onSend = parts.onSend;
  }

  objectFormat = (): 'sha1' => 'sha1';

  listRefs(prefixes: readonly string[], signal?: AbortSignal): Promise<RefListing> {
    return this.#request('ls-remote', signal, () => {
      const refs = new Map<RefName, Oid>();
      for (const [ref, oid] of this.#seen()) {
        if (prefixes.some((prefix) => ref.startsWith(prefix))) refs.set(ref, oid);
      }
      return { refs, headBranch: MAIN };
    });
  }

  async fetchRefs(patterns: readonly string[], signal?: AbortSignal): Promise<ReadonlyMap<Oid, string>> {
    const objects = await this.#request('fetch', signal, () => {
      const found: GitObject[] = [];
      for (const [ref, oid] of this.#seen()) {
        if (
          !patterns.some((pattern) => (pattern.endsWith('*') ? ref.startsWith(pattern.slice(0, -1)) : ref === pattern))
        )
          continue;
        if (this.#local.has(oid)) continue;
        for (const id of this.#remote.closure(oid)) {
          const object = this.#remote.objects.get(id);
          if (object) found.push(object);
        }
      }
      return found;
    });
    for (const object of objects) this.#local.set(object.oid, object);
    return new Map();
  }

  async readObjects(oids: readonly Oid[]): Promise<ReadonlyMap<Oid, GitObject>> {
    await this.#disk();
    const found = new Map<Oid, GitObject>();
    for (const oid of oids) {
      const object = this.#local.get(oid);
      if (object) found.set(oid, object);
    }
    return found;
  }

  async readBlobs(oids: readonly Oid[], maxBytes: number): Promise<ReadonlyMap<Oid, Blob>> {
    return blobsOf(await this.readObjects(oids), maxBytes);
  }

  async swapRefs(
    swaps: readonly RefSwap[],
    objects: readonly GitObject[],
    signal?: AbortSignal,
  ): Promise<ReadonlyMap<RefName, SwapVerdict>> {
    if (objects.length > 0) await this.#disk();
    for (const object of objects) this.#local.set(object.oid, object);
    for (const swap of swaps) this.#onSend(swap);
    const pack: GitObject[] = [];
    const find = (id: Oid): GitObject | undefined => this.#local.get(id) ?? this.#remote.everSent.get(id);
    for (const { to } of swaps) {
      if (to === null) continue;
      for (const id of this.#remote.closure(to, find)) {
        const object = this.#local.get(id);
        if (object) pack.push(object);
        else if (!this.#remote.objects.has(id)) throw new GitError('corrupt-local', 'push', `object ${id} is missing`);
      }
    }
    const { faults } = this.#network;
    const torn = this.#random.chance(faults.tornPush) ? this.#random.below(swaps.length + 1) : null;
    const refused = this.#random.chance(faults.refused);
    return this.#request('push', signal, () => {
      this.#remote.store(pack);
      const verdicts = new Map<RefName, SwapVerdict>();
      for (const [index, swap] of swaps.entries()) {
        if (index === torn) throw new GitError('network', 'push', 'the host died in the middle');
        verdicts.set(swap.ref, refused ? { kind: 'refused', reason: 'hook declined' } : this.#remote.swap(swap));
      }
      return verdicts;
    });
  }

  async check(): Promise<void> {}

  async rebuild(): Promise<void> {
    await this.#disk();
    this.#local.clear();
  }

  async upkeep(): Promise<void> {
    await this.#disk();
  }

  #seen(): ReadonlyMap<RefName, Oid> {
    const { faults } = this.#network;
    if (!this.#random.chance(faults.stale)) return this.#remote.refs;
    return this.#remote.refsAt(this.#life.timeline.nowMs - this.#random.between(0, faults.staleMs));
  }

  #disk(): Promise<void> {
    return new Promise((resolve) => this.#life.after(this.#random.between(0, 20), resolve));
  }

  #request<T>(operation: string, signal: AbortSignal | undefined, serve: () => T): Promise<T> {
    const { faults, isCut } = this.#network;
    const random = this.#random;
    const { timeline } = this.#life;
    return new Promise((resolve, reject) => {
      let open = true;
      const settle = (act: () => void): void => {
        if (!open) return;
        open = false;
        callOffDeadline();
        signal?.removeEventListener('abort', onAbort);
        act();
      };
      const onAbort = (): void => settle(() => reject(new GitError('aborted', operation, `${operation} was aborted`)));
      const callOffDeadline = this.#life.after(DEADLINE_MS, () =>
        settle(() => reject(new GitError('deadline', operation, `${operation} was ended after ${DEADLINE_MS} ms`))),
      );
      if (signal?.aborted) return onAbort();
      signal?.addEventListener('abort', onAbort, { once: true });
      const answer = (): void => {
        // Cut off: neither the request nor the answer gets through.
        if (isCut(this.#machine)) return;
        let act: () => void;
        try {
          const value = serve();
          act = () => resolve(value);
        } catch (error) {
          act = () => reject(error);
        }
        if (random.chance(faults.lostReply)) {
          // Mostly it shows as a broken connection, sometimes as silence until the deadline.
          if (random.chance(0.3)) return;
          act = () => reject(new GitError('network', operation, 'the answer got lost'));
        }
        this.#life.after(random.between(1, 150), () => {
          if (!isCut(this.#machine)) settle(act);
        });
      };
      if (random.chance(faults.lostRequest)) {
        if (random.chance(0.7)) {
          this.#life.after(random.between(1, 300), () =>
            settle(() => reject(new GitError('network', operation, 'the request got lost'))),
          );
        }
        return;
      }
      const travelMs = random.chance(faults.late) ? random.between(0, LATE_MS) : random.between(1, 150);
      timeline.after(travelMs, answer);
      if (random.chance(faults.duplicate)) timeline.after(travelMs + random.between(0, 4_000), answer);
    });
  }
}
