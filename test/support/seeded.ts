/** A small generator with a seed, so that a run can be told and repeated (Lehmer, 1951). */
export function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}
