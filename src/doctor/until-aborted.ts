/** A repository whose calls all end when a signal aborts, so that nothing is left under way behind a deadline. */
import type { OpenedRepository } from '../git/open-repository.ts';

export function untilAborted(repository: OpenedRepository, over: AbortSignal): OpenedRepository {
  const both = (signal: AbortSignal | undefined): AbortSignal => (signal ? AbortSignal.any([signal, over]) : over);
  return {
    command: repository.command,
    listRefs: (prefixes, signal) => repository.listRefs(prefixes, both(signal)),
    fetchRefs: (patterns, signal, lacking) => repository.fetchRefs(patterns, both(signal), lacking),
    readObjects: (oids, signal) => repository.readObjects(oids, both(signal)),
    readBlobs: (oids, maxBytes, signal) => repository.readBlobs(oids, maxBytes, both(signal)),
    swapRefs: (swaps, objects, signal) => repository.swapRefs(swaps, objects, both(signal)),
    check: (signal) => repository.check(both(signal)),
    rebuild: (reason, signal) => repository.rebuild(reason, both(signal)),
    upkeep: (signal) => repository.upkeep(both(signal)),
    objectFormat: () => repository.objectFormat(),
  };
}
