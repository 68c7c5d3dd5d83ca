/**
 * Where engines with Docker's interface differ in what they take for the same thing. One row a difference, with the engine
 * and the version on which it was seen; what is not named here is asked of all of them in the same words. Pure.
 */

export interface EngineQuirks {
  /**
   * How a mount in memory is made writable for the task's user. `owned`: it belongs to that user, with mode 0700. `open`: it
   * is root's with mode 1777, which comes to the same where nobody else is in the container; and the engine has to be told
   * not to fill it with what the image has in its place.
   */
  tmpfs: 'owned' | 'open';
}

export const DOCKER_QUIRKS: EngineQuirks = { tmpfs: 'owned' };

/** Podman 4.3: `uid=` and `gid=` are "unknown mount options", and mounts in memory are filled from the image. */
const PODMAN_QUIRKS: EngineQuirks = { tmpfs: 'open' };

/** @param components names of what the engine says it is made of */
export function quirksOf(components: readonly string[]): EngineQuirks {
  return components.some((name) => name.startsWith('Podman')) ? PODMAN_QUIRKS : DOCKER_QUIRKS;
}
