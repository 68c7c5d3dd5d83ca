/**
 * The repository over smart HTTP, spoken by ourselves: one small request to see whether anything changed, one to push any
 * number of swaps, objects straight into memory. The first fetch of a branch also goes into the local clone, for the next
 * start. The git command stands behind it: it keeps the clone, and does whatever this host or this machine does not let us.
 *
 * States of each of listing, fetching, pushing: ours → the command's (after a refusal in principle) → ours again after
 * `TRY_AGAIN_MS`.
 * Invariants:
 * - What a push may have done before it was found unfit is found out by whoever swaps, as after every unclear push.
 * - Objects in memory are whole and have the id that they go by: each was hashed on its way in.
 */
import type { Emit } from '../observe/events.ts';
import type { Clock } from '../runtime.ts';
import { explainBrokenListing, refsBlamed } from './broken-refs.ts';
import { classify } from './classify.ts';
import type { CliRepository } from './cli-repository.ts';
import { GitError } from './errors.ts';
import { type AnswerBounds, blobBounds, refBounds, treeBounds } from './http/bounds.ts';
import { OversizedError } from './http/pack-reader.ts';
import { type SmartRemote, UnfitError } from './http/smart-remote.ts';
import type { FetchWish } from './http/wire.ts';
import { inParts } from './in-parts.ts';
import { MIRROR } from './local-clone.ts';
import { ObjectMemory } from './object-memory.ts';
import type { GitObject } from './objects.ts';
import type { Oid, RefName } from './oid.ts';
import { refName } from './oid.ts';
import { writePack } from './pack.ts';
import type { Blob, ObjectFormatSource, RefListing, RefSwap, Repository, SwapVerdict } from './repository.ts';

const MEMORY_BYTES = 64 * 1024 * 1024;
/** Objects that vanished between listing and fetching, one a round: after so many a new listing is better. */
const MAX_FETCH_ROUNDS = 10;
const MAX_TIPS = 16;
/** Of what the host says to people, as far as patterns are looked for in it. */
const MAX_READ_CHARACTERS = 4_000;
/** A host may learn, and so may this machine. */
const TRY_AGAIN_MS = 60 * 60_000;
/** Larger files are not kept: nobody asks for them again. */
const MAX_KEPT_BLOB_BYTES = 64 * 1024;

const ABILITIES = ['listing', 'fetching', 'pushing'] as const;
type Ability = (typeof ABILITIES)[number];

export interface HttpRepositoryParts {
  command: CliRepository;
  remote: SmartRemote;
  clock: Clock;
  emit: Emit;
}

export class HttpRepository implements Repository {
  /** What does the same by the git command. */
  readonly command: CliRepository;
  readonly #remote: SmartRemote;
  readonly #clock: Clock;
  readonly #emit: Emit;
  readonly #memory = new ObjectMemory(MEMORY_BYTES);
  /** The last commit of each exact ref that was fetched: what comes next mostly builds on it. */
  readonly #tips = new Map<RefName, Oid>();
  readonly #unfitUntilMs = new Map<Ability, number>();
  #cloned = false;
  #thin = true;

  constructor(parts: HttpRepositoryParts) {
    this.command = parts.command;
    this.#remote = parts.remote;
    this.#clock = parts.clock;
    this.#emit = parts.emit;
  }

  readonly objectFormat: ObjectFormatSource = () => this.#remote.format ?? this.command.objectFormat();

  async listRefs(prefixes: readonly string[], signal?: AbortSignal): Promise<RefListing> {
    return this.#either(
      'listing',
      () =>
        this.command.reading('ls-remote', signal, async () => {
          const { refs, headBranch, broken } = await this.#remote.list(prefixes, signal).catch((error: unknown) => {
            throw error instanceof GitError ? explainBrokenListing(error) : error;
          });
          if (broken.length > 0) throw this.command.broken.found('ls-remote', broken);
          return { refs, headBranch };
        }),
      () => this.command.listRefs(prefixes, signal),
    );
  }

  async fetchRefs(
    patterns: readonly string[],
    signal?: AbortSignal,
    lacking?: ReadonlyMap<RefName, Oid>,
  ): Promise<ReadonlyMap<Oid, string>> {
    if (patterns.length === 0) return new Map();
    return this.#either(
      'fetching',
      () => this.#fetchByHttp(patterns, signal, lacking),
      () => this.#fetchByCommand(patterns, signal, lacking),
    );
  }

  /** The command cannot ask for single files, so it gets a whole clone. */
  async #fetchByCommand(
    patterns: readonly string[],
    signal: AbortSignal | undefined,
    lacking?: ReadonlyMap<RefName, Oid>,
  ): Promise<ReadonlyMap<Oid, string>> {
    if (await this.command.isPartial(signal)) {
      await this.command.rebuild('it lacks files, which only requests of our own could bring', signal);
    }
    const refused = await this.command.fetchRefs(patterns, signal, lacking);
    this.#cloned = true;
    return refused;
  }

  async #fetchByHttp(
    patterns: readonly string[],
    signal: AbortSignal | undefined,
    lacking: ReadonlyMap<RefName, Oid> | undefined,
  ): Promise<ReadonlyMap<Oid, string>> {
    const wanted = lacking ?? (await this.#heldBy(patterns, signal));
    const { filter } = await this.#remote.abilities(signal);
    const single = patterns.filter((pattern) => !pattern.endsWith('*')).map(refName);
    for (const ref of single) {
      const oid = wanted.get(ref);
      const have = this.#tips.get(ref) ?? null;
      if (!oid || this.#memory.has(oid)) continue;
      try {
        const known = have !== null && (await this.#fetchDifference(oid, have, signal));
        // What the clone keeps on the disk, the next start need not ask for again.
        if (!known && filter) await this.#fetchIntoClone(ref, oid, signal);
        // Whatever hangs on the tip would come, all files too: that is for the disk, not for the memory.
        else if (!known) await this.#fetchByCommand([ref], signal);
      } catch (cause) {
        if (!(cause instanceof GitError) || cause.kind !== 'corrupt-remote') throw cause;
        throw new GitError(cause.kind, cause.operation, `${ref} cannot be had: ${cause.message}`, { cause });
      }
      this.#cloned = true;
      this.#setTip(ref, oid);
    }
    const others = [...wanted].filter(([ref]) => !single.includes(ref)).map(([, oid]) => oid);
    return this.#fetchApart(others, refBounds(!filter), signal);
  }

  /** @returns false when it is more than belongs into memory. */
  async #fetchDifference(oid: Oid, have: Oid, signal: AbortSignal | undefined): Promise<boolean> {
    try {
      this.#memory.add(await this.#ask([oid], { have, shallow: true }, treeBounds(this.#memory.largestTree), signal));
      return true;
    } catch (error) {
      if (error instanceof OversizedError) return false;
      throw error;
    }
  }

  /** As `#fetch`; what cannot be had, or is too large, does not keep the rest away. @returns what that was, and why. */
  async #fetchApart(
    oids: readonly Oid[],
    bounds: AnswerBounds,
    signal: AbortSignal | undefined,
  ): Promise<Map<Oid, string>> {
    const refused = new Map<Oid, string>();
    const wanted = [...new Set(oids)].filter((oid) => !this.#memory.has(oid));
    await inParts(wanted, {
      ask: async (batch) => this.#memory.add(await this.#ask(batch, { have: null, shallow: true }, bounds, signal)),
      blames: (error) => {
        const isKnown =
          error instanceof OversizedError || (error instanceof GitError && error.kind === 'corrupt-remote');
        return isKnown ? error : null;
      },
      refuse: (oid, error) => refused.set(oid, error.message),
    });
    return refused;
  }

  async #fetchIntoClone(ref: RefName, oid: Oid, signal: AbortSignal | undefined): Promise<void> {
    const fetch = (have: Oid | null): Promise<Buffer> =>
      this.command
        .reading('fetch', signal, () =>
          this.#remote.fetchPack({ wants: [oid], have, shallow: true, withoutBlobs: true }, signal),
        )
        .catch((error: unknown) => {
          throw error instanceof OversizedError ? tooMuch(error) : error;
        });
    await this.command.keepingFetch(ref, oid, fetch, { partial: true, signal });
  }

  readObjects(oids: readonly Oid[], signal?: AbortSignal): Promise<ReadonlyMap<Oid, GitObject>> {
    return this.#read(oids, signal, false);
  }

  /** @param forOthers what another answer told its differences against */
  async #read(
    oids: readonly Oid[],
    signal: AbortSignal | undefined,
    forOthers: boolean,
  ): Promise<ReadonlyMap<Oid, GitObject>> {
    const found = new Map<Oid, GitObject>();
    const look = (): Oid[] =>
      oids.filter((oid) => {
        const object = found.has(oid) ? null : this.#memory.get(oid);
        if (object) found.set(oid, object);
        return !found.has(oid);
      });
    let missing = look();
    if (missing.length > 0) {
      for (const [oid, object] of await this.#held(missing, signal)) found.set(oid, object);
      missing = look();
    }
    if (missing.length > 0) {
      await this.#either(
        'fetching',
        () => this.#fetch(missing, signal, forOthers),
        async () => undefined,
      );
      look();
    }
    return found;
  }

  /** Of these, what is here already. */
  async #held(oids: readonly Oid[], signal: AbortSignal | undefined): Promise<Map<Oid, GitObject>> {
    const found = new Map<Oid, GitObject>();
    for (const oid of oids) {
      const object = this.#memory.get(oid);
      if (object) found.set(oid, object);
    }
    const missing = this.#cloned ? oids.filter((oid) => !found.has(oid)) : [];
    if (missing.length === 0) return found;
    const cloned = await this.command.readObjects(missing, signal);
    this.#memory.add(cloned.values());
    return new Map([...found, ...cloned]);
  }

  async readBlobs(oids: readonly Oid[], maxBytes: number, signal?: AbortSignal): Promise<ReadonlyMap<Oid, Blob>> {
    const blobs = new Map<Oid, Blob>();
    const { filter } = await this.#either(
      'fetching',
      () => this.#remote.abilities(signal),
      async () => ({ filter: false }),
    );
    // Where the host left nothing out, the clone has what came with its first fetch.
    const ask = !filter && this.#cloned ? oids.filter((oid) => !this.#memory.has(oid)) : [];
    if (ask.length > 0)
      for (const [oid, blob] of await this.command.readBlobs(ask, maxBytes, signal)) blobs.set(oid, blob);
    const open = oids.filter((oid) => !blobs.has(oid));
    const tips = [...this.#tips.keys()];
    await this.#either(
      'fetching',
      () => this.#readBlobs(open, maxBytes, blobs, signal),
      async () => {
        if (open.length === 0) return;
        if (await this.command.isPartial(signal)) await this.#fetchByCommand(tips, signal);
        for (const [oid, blob] of await this.command.readBlobs(open, maxBytes, signal)) blobs.set(oid, blob);
      },
    );
    return blobs;
  }

  async swapRefs(
    swaps: readonly RefSwap[],
    objects: readonly GitObject[],
    signal?: AbortSignal,
  ): Promise<ReadonlyMap<RefName, SwapVerdict>> {
    if (new Set(swaps.map((swap) => swap.ref)).size !== swaps.length) throw new RangeError('a ref is swapped twice');
    if (swaps.length === 0) return new Map();
    return this.#either(
      'pushing',
      () => this.command.pacing('push', signal, () => this.#push(swaps, objects, signal)),
      async () => {
        // What came over HTTP is not in the clone, and a push looks at what its objects hang on.
        const before = swaps.flatMap(({ ref, from }) => (from === null ? [] : [ref]));
        if (this.#remote.format !== null) await this.#fetchByCommand(before, signal);
        return this.command.swapRefs(swaps, objects, signal);
      },
    );
  }

  async check(signal?: AbortSignal): Promise<void> {
    await this.command.check(signal);
  }

  async rebuild(reason: string | null, signal?: AbortSignal): Promise<void> {
    this.#memory.clear();
    this.#tips.clear();
    this.#cloned = false;
    await this.command.rebuild(reason, signal);
  }

  async upkeep(signal?: AbortSignal): Promise<void> {
    // So that the next start finds in the clone what came past it.
    for (const [ref, oid] of this.#tips) {
      if (await this.command.isPartial(signal)) await this.#fetchIntoClone(ref, oid, signal);
      else await this.command.fetchRefs([ref], signal);
    }
    await this.command.upkeep(signal);
  }

  async #push(
    swaps: readonly RefSwap[],
    objects: readonly GitObject[],
    signal: AbortSignal | undefined,
  ): Promise<ReadonlyMap<RefName, SwapVerdict>> {
    const { format } = await this.#remote.abilities(signal);
    const distinct = [...new Map(objects.map((object) => [object.oid, object])).values()];
    const creates = swaps.some(({ to }) => to !== null);
    const pack = creates ? writePack(distinct, format, { thin: this.#thin }) : Buffer.alloc(0);
    const { verdicts, unpacked, said } = await this.#remote.push(swaps, pack, signal);
    if (unpacked !== 'ok') {
      // It may lack what a difference was told against: the next try tells all.
      this.#thin = false;
      const words = `remote: ${said.slice(0, MAX_READ_CHARACTERS).replaceAll('\n', '\nremote: ')}`;
      const kind = classify({ exitCode: 1, stderr: words, ending: null });
      throw new GitError(kind, 'push', `the remote could not take the objects: ${unpacked}; ${said.slice(0, 500)}`);
    }
    this.#thin = true;
    const blamed = refsBlamed(said, MIRROR);
    const applied = swaps.filter(({ ref }) => verdicts.get(ref)?.kind === 'applied');
    if (blamed.length > 0 && applied.length === 0) throw this.command.broken.found('push', blamed);
    if (applied.some(({ to }) => to !== null)) this.command.broken.pushed();
    for (const { ref, to } of applied) if (this.#tips.has(ref)) this.#setTip(ref, to ?? undefined);
    this.#memory.add(distinct.filter(({ type, content }) => type !== 'blob' || content.length <= MAX_KEPT_BLOB_BYTES));
    for (const { ref } of swaps)
      if (!verdicts.has(ref)) verdicts.set(ref, { kind: 'unclear', reason: 'no word of it' });
    return verdicts;
  }

  /** Fetches what is not in memory yet. */
  async #fetch(oids: readonly Oid[], signal: AbortSignal | undefined, forOthers: boolean): Promise<void> {
    const wanted = [...new Set(oids)].filter((oid) => !this.#memory.has(oid));
    await inParts(wanted, {
      ask: async (batch) => {
        const how = { have: null, shallow: false };
        this.#memory.add(await this.#ask(batch, how, treeBounds(this.#memory.largestTree), signal, forOthers));
      },
      blames: oversize,
      refuse: (_oid, error) => {
        throw tooMuch(error);
      },
    });
  }

  /** Wants that the remote does not have are left out. @throws GitError; UnfitError; OversizedError */
  async #ask(
    wants: readonly Oid[],
    how: Pick<FetchWish, 'have' | 'shallow'>,
    bounds: AnswerBounds,
    signal: AbortSignal | undefined,
    forOthers = false,
  ): Promise<GitObject[]> {
    let open = wants;
    let wish = how;
    for (let round = 1; open.length > 0; round += 1) {
      try {
        return await this.command.reading('fetch', signal, () =>
          this.#remote.fetch(
            { ...wish, wants: open, withoutBlobs: true },
            {
              ...bounds,
              // Asked for once: what the answer to that lacks could otherwise go on without an end.
              known: (bases) => (forOthers ? this.#held(bases, signal) : this.#read(bases, signal, true)),
              signal,
            },
          ),
        );
      } catch (error) {
        const gone = error instanceof GitError ? /not our ref ([0-9a-f]{40,64})/.exec(error.message)?.[1] : undefined;
        if (gone === undefined || round === MAX_FETCH_ROUNDS) throw error;
        open = open.filter((oid) => oid !== gone);
        if (gone === wish.have) wish = { ...wish, have: null };
      }
    }
    return [];
  }

  async #readBlobs(
    oids: readonly Oid[],
    maxBytes: number,
    blobs: Map<Oid, Blob>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const wanted: Oid[] = [];
    for (const oid of oids) {
      const object = this.#memory.get(oid);
      if (object) blobs.set(oid, sized(object, maxBytes));
      else wanted.push(oid);
    }
    await inParts(wanted, {
      // Not kept: each is read once.
      ask: async (batch) => {
        const objects = await this.#ask(batch, { have: null, shallow: false }, blobBounds(maxBytes), signal);
        for (const object of objects) if (object.type === 'blob') blobs.set(object.oid, sized(object, maxBytes));
      },
      blames: oversize,
      refuse: (oid, error) => {
        const bytes = error instanceof OversizedError ? error.bytes : 0;
        blobs.set(oid, { kind: 'too-large', bytes: Math.max(bytes, maxBytes + 1) });
      },
    });
  }

  async #heldBy(patterns: readonly string[], signal: AbortSignal | undefined): Promise<ReadonlyMap<RefName, Oid>> {
    const prefixes = patterns.map((pattern) => pattern.replace(/\*$/, ''));
    const { refs } = await this.listRefs(prefixes, signal);
    const exact = new Set(patterns.filter((pattern) => !pattern.endsWith('*')));
    const open = prefixes.filter((prefix) => !exact.has(prefix));
    return new Map([...refs].filter(([ref]) => exact.has(ref) || open.some((prefix) => ref.startsWith(prefix))));
  }

  #setTip(ref: string, oid: Oid | undefined): void {
    if (oid === undefined || ref.endsWith('*')) return;
    this.#tips.delete(refName(ref));
    this.#tips.set(refName(ref), oid);
    const [oldest] = this.#tips.size > MAX_TIPS ? this.#tips.keys() : [];
    if (oldest) this.#tips.delete(oldest);
  }

  /** What the git command does for the time being. */
  get doneByCommand(): Ability[] {
    return ABILITIES.filter((ability) => this.#isUnfit(ability));
  }

  #isUnfit(ability: Ability): boolean {
    return (this.#unfitUntilMs.get(ability) ?? Number.NEGATIVE_INFINITY) > this.#clock.monotonicMs();
  }

  async #either<T>(ability: Ability, ours: () => Promise<T>, commands: () => Promise<T>): Promise<T> {
    if (this.#isUnfit(ability)) return commands();
    const now = this.#clock.monotonicMs();
    try {
      return await ours();
    } catch (error) {
      if (!(error instanceof UnfitError)) throw error;
      this.#unfitUntilMs.set(ability, now + TRY_AGAIN_MS);
      this.#emit('transport.fallback', { what: ability, reason: error.message });
      return commands();
    }
  }
}

function oversize(error: unknown): OversizedError | null {
  return error instanceof OversizedError ? error : null;
}

function tooMuch(cause: Error): GitError {
  const message =
    `the remote has for the branch ${cause.message}, more than is taken over HTTP directly; ` +
    'set GIT_TRANSPORT=command to have it on the disk only';
  return new GitError('corrupt-remote', 'fetch', message, { cause });
}

function sized({ content }: GitObject, maxBytes: number): Blob {
  return content.length <= maxBytes ? { kind: 'content', content } : { kind: 'too-large', bytes: content.length };
}
