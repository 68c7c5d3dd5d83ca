/**
 * Where engines with Docker's interface differ in what they take for the same thing, or do on their own. One field a
 * difference, with the version on which it was seen; what is not named here is asked of all of them in the same words. Pure.
 */

export interface EngineQuirks {
  /**
   * How a mount in memory is made writable for the task's user. `owned`: it belongs to that user, with mode 0700. `open`: it
   * is root's with mode 1777, which comes to the same where nobody else is in the container; and the engine has to be told
   * not to fill it with what the image has in its place.
   */
  tmpfs: 'owned' | 'open';
  /**
   * Where it puts mounts in memory of its own, without a size, over a root file system that is to be read-only. A small one
   * takes the place of each; where the image's directory is everybody's, the runtime makes the mount so too.
   */
  writablePlaces: readonly string[];
  /** A container and what it writes are kept by a monitor of its own, whatever becomes of the engine meanwhile. */
  monitorsContainers: boolean;
  /** Says what a registry has under a name without pulling it. */
  asksRegistries: boolean;
}

export const DOCKER_QUIRKS: EngineQuirks = {
  tmpfs: 'owned',
  writablePlaces: [],
  monitorsContainers: false,
  asksRegistries: true,
};

/** Podman 4.3: `uid=` and `gid=` are "unknown mount options"; `--read-only-tmpfs` is on, and cannot be switched off. */
const PODMAN_QUIRKS: EngineQuirks = {
  tmpfs: 'open',
  writablePlaces: ['/run', '/tmp', '/var/tmp'],
  monitorsContainers: true,
  // It has no such call.
  asksRegistries: false,
};

/** @param components names of what the engine says it is made of */
export function quirksOf(components: readonly string[]): EngineQuirks {
  return components.some((name) => name.startsWith('Podman')) ? PODMAN_QUIRKS : DOCKER_QUIRKS;
}
