/**
 * What chooses the part of a large number of cases that one run tries. Another one with each run, but one for all that belongs
 * to a run, so that what is run again is the same (second-look.ts).
 */
export const SEED_VARIABLE = 'DGRID_TEST_SEED';

export function newSeed(): number {
  return 1 + Math.floor(Math.random() * 1_000_000);
}

/** From 1 to a million. */
export function testSeed(): number {
  return Number(process.env[SEED_VARIABLE]) || newSeed();
}
