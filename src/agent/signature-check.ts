/**
 * The last word before a task is started: whether its signature allows that, where the operator wants signatures looked at.
 *
 * Only the bytes that the claim names count, not what stands in the queue by now; and a start that was allowed is noted
 * before the task begins, so that the same signature starts nothing again.
 */

import { GitError } from '../git/errors.ts';
import type { Repository } from '../git/repository.ts';
import type { SignedStarts } from '../host/nonce-memory.ts';
import type { HeldClaim } from '../ledger/claims.ts';
import { MAX_SIGNATURE_BYTES } from '../signing/names.ts';
import { leaveUnsigned, type SignResult } from '../signing/result-signer.ts';
import { SigningError } from '../signing/ssh-keygen.ts';
import type { TaskVerifier } from '../signing/task-verifier.ts';

/** How a worker stands to signatures. */
export interface SigningPorts {
  /** null: those of tasks are not looked at. */
  verifier: Pick<TaskVerifier, 'verify'> | null;
  starts: SignedStarts;
  sign: SignResult;
}

export const NO_SIGNATURES: SigningPorts = {
  verifier: null,
  starts: { take: async () => 'granted', settle: async () => undefined },
  sign: leaveUnsigned,
};

export interface SignatureCheckParts {
  repository: Pick<Repository, 'readBlobs'>;
  signing: SigningPorts;
  /** Whether a task without a signature is refused. */
  isRequired: boolean;
  maxTaskBytes: number;
}

/** `signer`: null when no signature was looked at. */
export type Authority = { ok: true; signer: string | null } | { ok: false; problem: string };

const UNSIGNED =
  'it is not signed, and this node runs signed tasks only (ENABLE_TASK_SIGNING); submit it with "dgrid submit --sign"';

export class SignatureCheck {
  readonly #parts: SignatureCheckParts;

  constructor(parts: SignatureCheckParts) {
    this.#parts = parts;
  }

  /** @throws SigningError, GitError or StateFileError when nothing can be said of it. */
  async check(claim: HeldClaim): Promise<Authority> {
    const { isRequired, repository, maxTaskBytes } = this.#parts;
    const { verifier, starts } = this.#parts.signing;
    if (verifier === null) return { ok: true, signer: null };
    if (claim.signature === null) return isRequired ? { ok: false, problem: UNSIGNED } : { ok: true, signer: null };
    const { specBlob, epoch } = claim.state;
    const blobs = await repository.readBlobs([specBlob, claim.signature], Math.max(maxTaskBytes, MAX_SIGNATURE_BYTES));
    const content = blobs.get(specBlob);
    const signature = blobs.get(claim.signature);
    // Withheld by the host, which may have a bad day: no fault of the task's.
    if (!content || !signature) {
      const text = 'the task file or its signature is not to be had from the repository';
      throw new GitError('corrupt-remote', 'read', text);
    }
    if (content.kind !== 'content')
      return { ok: false, problem: `its file has ${content.bytes} bytes (MAX_TASK_BYTES)` };
    if (signature.kind !== 'content' || signature.content.length > MAX_SIGNATURE_BYTES) {
      return { ok: false, problem: `its signature has more than ${MAX_SIGNATURE_BYTES} bytes` };
    }
    const { taskId } = claim;
    const verdict = await verifier.verify({ taskId, content: content.content, signature: signature.content });
    if (!verdict.ok) return verdict;
    const { nonce, expiresAtMs } = verdict.admission;
    const start = await starts.take({ nonce, taskId, epoch, expiresAtMs });
    switch (start) {
      case 'granted':
        return { ok: true, signer: verdict.signer };
      case 'used':
        return {
          ok: false,
          problem: 'admission.nonce: this very signature has started this or another task before; sign it anew',
        };
      case 'full':
        // The node's want of room; another one may have it, and this one when signatures expire.
        throw new SigningError(
          'this node remembers as many unexpired signatures as it can: let tasks be signed for a shorter time (--expires)',
        );
    }
  }
}
