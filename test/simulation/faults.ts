/** Which faults a run may meet, and how often. Drawn anew for each seed, so that each run meets its own mixture. */
import type { SeededRandom } from './seeded-random.ts';

export interface Faults {
  /** Per request: the host never sees it. */
  lostRequest: number;
  /** Per request: the host carries it out, the answer gets lost. */
  lostReply: number;
  /** Per request: it arrives a second time, later; the client may hear either answer. */
  duplicate: number;
  /** Per request: it arrives long after the client has given up. */
  late: number;
  /** Per push: the host dies in the middle of it. */
  tornPush: number;
  /** Per push: the host says no to everything (a hook). */
  refused: number;
  /** Per reading: it shows the refs as they were up to this long ago. */
  stale: number;
  staleMs: number;
  /** Per call of the engine: it fails, or works and its answer is lost. */
  engineFails: number;
  /** Per result: the disk does not take it. */
  diskFull: number;
}

export const NO_FAULTS: Faults = {
  lostRequest: 0,
  lostReply: 0,
  duplicate: 0,
  late: 0,
  tornPush: 0,
  refused: 0,
  stale: 0,
  staleMs: 0,
  engineFails: 0,
  diskFull: 0,
};

const OFTEN = 0.25;

export function drawFaults(random: SeededRandom): Faults {
  const rate = (): number => (random.chance(0.5) ? random.between(0, OFTEN) : 0);
  return {
    lostRequest: rate(),
    lostReply: rate(),
    duplicate: rate(),
    late: rate(),
    tornPush: rate() / 2,
    refused: random.chance(0.2) ? 0.1 : 0,
    stale: random.chance(0.3) ? random.between(0, 0.5) : 0,
    staleMs: random.between(100, 20_000),
    engineFails: rate() / 2,
    diskFull: random.chance(0.2) ? 0.2 : 0,
  };
}
