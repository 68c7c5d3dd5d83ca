/**
 * Refs that the remote itself cannot read: files that a crash left empty, ids whose objects are gone. Git's own server
 * looks at all its refs before it takes an object, so one of them anywhere holds up every push but deletions. Only a person
 * can mend it; what is known of it is told once, and again that it is over.
 */
import type { Emit } from '../observe/events.ts';
import { GitError } from './errors.ts';
import { type RefName, refName } from './oid.ts';

const MAX_NAMED = 5;
const REMEDY =
  'in the repository on the host, "git fsck" says what is wrong with it; write the right id back into its file, or ' +
  'remove the ref (the file of that name, or "git update-ref -d"); until then the host takes no pushes, and a task whose ' +
  'ref is removed is run anew';

export class BrokenRefs {
  readonly #emit: Emit;
  #told = '';

  constructor(emit: Emit) {
    this.#emit = emit;
  }

  /** Tells of each new set of them. @returns the error for the operation that came upon them. */
  found(operation: string, refs: readonly RefName[]): GitError {
    const named = refs.slice(0, MAX_NAMED);
    if (named.join() !== this.#told) {
      this.#told = named.join();
      this.#emit('remote.broken', { refs: named, remedy: REMEDY });
    }
    return new GitError('corrupt-remote', operation, `the remote cannot read its own ${named.join(', ')}: ${REMEDY}`);
  }

  /** Something was pushed: there are none any more. */
  pushed(): void {
    if (this.#told === '') return;
    this.#told = '';
    this.#emit('remote.mended');
  }
}

/** The refs that a push that failed blames, whatever it was about. @param mirror where our own copies of refs stand */
export function refsBlamed(stderr: string, mirror: string): RefName[] {
  const named = [...stderr.matchAll(/bad object (refs\/\S+)/g)].map(([, ref]) => refName(ref ?? ''));
  return [...new Set(named)].filter((ref) => !ref.startsWith(mirror));
}

/** The object that a fetch asked for and the remote does not have. */
export function objectRefused(message: string): string | null {
  return /not our ref ([0-9a-f]{40,64})/.exec(message)?.[1] ?? null;
}

/**
 * Says where to look when the remote broke off while it listed its refs. Its own git names its files by relative paths, ours
 * by absolute ones.
 */
export function explainBrokenListing(error: GitError): GitError {
  if (!/expected flush after ref listing|the listing breaks off|in \.\/packed-refs/.test(error.message)) return error;
  const message =
    `${error.message}; the remote broke off while it listed its refs: "git for-each-ref" in the repository on the host ` +
    'tells why, mostly its file packed-refs is damaged';
  return new GitError(error.kind, error.operation, message, { cause: error.cause });
}
