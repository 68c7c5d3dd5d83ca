/**
 * Asks for many objects in batches. One that fails because of something in it is halved, until it is known of what: so that a
 * single object which is too large, or which the remote cannot send, does not keep the others away.
 */
import type { GitError } from './errors.ts';
import type { OversizedError } from './http/pack-reader.ts';
import type { Oid } from './oid.ts';

/** In one go. What is open then is absent, as if it were not there yet: whoever looks again goes on with it. */
const MAX_REQUESTS = 300;
/** Objects asked for in one request. */
export const MAX_WANTS = 10_000;

export interface Parts {
  /** Gets one batch and keeps it. */
  ask: (oids: readonly Oid[]) => Promise<void>;
  /** The error when it may be the fault of one object; null ends it all. */
  blames: (error: unknown) => OversizedError | GitError | null;
  /** One that is to blame. */
  refuse: (oid: Oid, error: OversizedError | GitError) => void;
}

/** @throws what `ask` throws and no single object is to blame for */
export async function inParts(oids: readonly Oid[], { ask, blames, refuse }: Parts): Promise<void> {
  const batches: (readonly Oid[])[] = [];
  for (let at = 0; at < oids.length; at += MAX_WANTS) batches.push(oids.slice(at, at + MAX_WANTS));
  let requests = 0;
  for (let batch = batches.pop(); batch && requests < MAX_REQUESTS; batch = batches.pop()) {
    requests += 1;
    try {
      await ask(batch);
    } catch (error) {
      const blamed = blames(error);
      if (blamed === null) throw error;
      const [only, second] = batch;
      if (only !== undefined && second === undefined) refuse(only, blamed);
      else batches.push(batch.slice(0, batch.length >> 1), batch.slice(batch.length >> 1));
    }
  }
}
