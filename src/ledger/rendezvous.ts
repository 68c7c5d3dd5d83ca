/** Highest-random-weight hashing (Thaler and Ravishankar, 1998): everybody computes the same order, without talking. */
import { createHash } from 'node:crypto';

/** A number in [0, 2^48), the same on every machine for the same texts. */
export function rendezvousWeight(...parts: readonly string[]): number {
  return createHash('sha256').update(parts.join('\0')).digest().readUIntBE(0, 6);
}

/** Position of `self` among `members` for this key: 0 goes first. */
export function rendezvousRank(self: string, members: Iterable<string>, key: string): number {
  const own = rendezvousWeight(self, key);
  let rank = 0;
  for (const member of members) {
    if (member === self) continue;
    const weight = rendezvousWeight(member, key);
    if (weight > own || (weight === own && member < self)) rank += 1;
  }
  return rank;
}
