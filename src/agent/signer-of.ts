/** Who a task comes from, for rules that depend on it. */
import type { HeldClaim } from '../ledger/claims.ts';

/** The principal whose signature of the task was verified; null: none was. This version verifies none. */
export function signerOf(_claim: HeldClaim): string | null {
  return null;
}
