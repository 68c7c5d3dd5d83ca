/**
 * Fetches refs by the git command from a remote that changes while it is asked, and that may be unable to send some of what
 * it lists.
 */
import { type BrokenRefs, explainBrokenListing, objectRefused } from './broken-refs.ts';
import { GitError } from './errors.ts';
import type { CommandEnvironment } from './git-environment.ts';
import { inParts } from './in-parts.ts';
import { type LocalClone, mirrorOf } from './local-clone.ts';
import { type Oid, type RefName, refName } from './oid.ts';
import { MAX_REF_OBJECT_BYTES } from './repository.ts';

/** Refs may vanish between listing and fetching; after so many rounds only patterns are asked for, which cannot fail so. */
const MAX_ROUNDS = 3;

export interface RefFetchParts {
  /** Open. */
  clone: LocalClone;
  url: string;
  broken: BrokenRefs;
  access: () => Promise<CommandEnvironment>;
  list: (prefixes: readonly string[], signal: AbortSignal | undefined) => Promise<ReadonlyMap<RefName, Oid>>;
  /** Tries again after a failure that passes. */
  reading: (signal: AbortSignal | undefined, action: () => Promise<void>) => Promise<void>;
}

export class RefFetch {
  readonly #parts: RefFetchParts;

  constructor(parts: RefFetchParts) {
    this.#parts = parts;
  }

  /** As `Repository.fetchRefs`, of patterns that are distinct. @throws GitError */
  async fetch(
    patterns: readonly string[],
    lacking: ReadonlyMap<RefName, Oid>,
    signal: AbortSignal | undefined,
  ): Promise<ReadonlyMap<Oid, string>> {
    const byPattern = new Map([...lacking].filter(([ref]) => !patterns.includes(ref)));
    let unsent = new Map<Oid, string>();
    try {
      await this.#fetch(patterns, signal);
    } catch (error) {
      if (!isRemoteCorrupt(error) || byPattern.size === 0) throw error;
      unsent = await this.#fetchApart(
        patterns.filter((pattern) => !isPattern(pattern)).map(refName),
        byPattern,
        signal,
      );
    }
    const sent = [...byPattern.values()].filter((oid) => !unsent.has(oid));
    return new Map([...(await this.#parts.clone.readOversized(sent, MAX_REF_OBJECT_BYTES, signal)), ...unsent]);
  }

  /**
   * One ref that the remote cannot send keeps all others away from a fetch: it is found out, and they come without it.
   * @param named must come. @returns what of the others cannot be sent, and why. @throws GitError
   */
  async #fetchApart(
    named: readonly RefName[],
    others: ReadonlyMap<RefName, Oid>,
    signal: AbortSignal | undefined,
  ): Promise<Map<Oid, string>> {
    for (const ref of named) {
      await this.#fetch([ref], signal).catch((cause: unknown) => {
        if (!isRemoteCorrupt(cause)) throw cause;
        throw new GitError(cause.kind, cause.operation, `${ref} cannot be had: ${cause.message}`, { cause });
      });
    }
    const holders = Map.groupBy(others.keys(), (ref) => others.get(ref) as Oid);
    const unsent = new Map<Oid, string>();
    await inParts([...holders.keys()], {
      ask: (batch) =>
        this.#fetch(
          batch.flatMap((oid) => holders.get(oid) ?? []),
          signal,
        ),
      blames: (error) => (isRemoteCorrupt(error) ? error : null),
      refuse: (oid, error) => unsent.set(oid, error.message),
    });
    return unsent;
  }

  #fetch(patterns: readonly string[], signal: AbortSignal | undefined): Promise<void> {
    return this.#parts.reading(signal, () => this.#fetchInRounds(patterns, signal));
  }

  async #fetchInRounds(patterns: readonly string[], signal: AbortSignal | undefined): Promise<void> {
    const { access, broken, clone, url } = this.#parts;
    let wanted = patterns;
    for (let round = 1; wanted.length > 0; round += 1) {
      try {
        await clone.fetch(url, wanted.map(refspec), await access(), signal);
        return;
      } catch (error) {
        if (!(error instanceof GitError)) throw error;
        if (round > MAX_ROUNDS) throw explainBrokenListing(error);
        const unknown = objectRefused(error.message);
        if (/couldn't find remote ref/.test(error.message)) {
          wanted = await this.#stillThere(wanted, round, signal);
        } else if (unknown !== null) {
          // Either a ref has moved since it was listed, or the remote lost the object behind it.
          const holding = await this.#refsAt(unknown, signal);
          if (holding.length > 0) throw broken.found('fetch', holding);
        } else if (error.kind === 'corrupt-local' && isNameConflict(error)) {
          // A directory has taken the place of a ref, or the other way round. The mirror is only a mirror.
          await clone.forget((await clone.mirrored(signal)).keys(), signal);
        } else if (error.kind !== 'corrupt-local' || !isOvertaken(error)) {
          throw explainBrokenListing(error);
        }
        // A push keeps the mirror up to date as well. What it moved or locked just now it has moved by the next round;
        // a lock that stays is damage.
      }
    }
  }

  async #stillThere(patterns: readonly string[], round: number, signal: AbortSignal | undefined): Promise<string[]> {
    if (round >= MAX_ROUNDS) {
      return [...new Set(patterns.map((pattern) => (isPattern(pattern) ? pattern : `${pattern}*`)))];
    }
    const refs = await this.#parts.list(
      patterns.filter((pattern) => !isPattern(pattern)),
      signal,
    );
    const there = new Set<string>(refs.keys());
    return patterns.filter((pattern) => isPattern(pattern) || there.has(pattern));
  }

  async #refsAt(id: string, signal: AbortSignal | undefined): Promise<RefName[]> {
    const refs = await this.#parts.list(['refs/'], signal);
    return [...refs].filter(([, held]) => held === id).map(([ref]) => ref);
  }
}

function isPattern(wanted: string): boolean {
  return wanted.endsWith('*');
}

function refspec(pattern: string): string {
  return `+${pattern}:${mirrorOf(pattern)}`;
}

function isNameConflict(error: GitError): boolean {
  return /exists; cannot create|there is a non-empty directory/.test(error.message);
}

function isOvertaken(error: GitError): boolean {
  return /cannot lock ref '[^']*': (?:is at [0-9a-f]+ but expected|Unable to create '[^']*\.lock': File exists|reference already exists)/.test(
    error.message,
  );
}

function isRemoteCorrupt(error: unknown): error is GitError {
  return error instanceof GitError && error.kind === 'corrupt-remote';
}
