/**
 * The last word before a task is started: whether its signature allows that, where the operator wants signatures looked at.
 *
 * Only the bytes that the claim names count, not what stands in the queue by now; and a start that was allowed is noted
 * before the task begins, so that the same signature starts nothing again.
 */

import type { Repository } from '../git/repository.ts';
import type { SignedStarts } from '../host/nonce-memory.ts';
import type { HeldClaim } from '../ledger/claims.ts';
import { MAX_SIGNATURE_BYTES } from '../signing/names.ts';
import { leaveUnsigned, type SignResult } from '../signing/result-signer.ts';
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

  /** @throws SshKeygenError, GitError or StateFileError when nothing can be said of it. */
  async check(claim: HeldClaim): Promise<Authority> {
    const { isRequired, repository, maxTaskBytes } = this.#parts;
    const { verifier, starts } = this.#parts.signing;
    if (verifier === null) return { ok: true, signer: null };
    if (claim.signature === null) return isRequired ? { ok: false, problem: UNSIGNED } : { ok: true, signer: null };
    const { specBlob, epoch } = claim.state;
    const blobs = await repository.readBlobs([specBlob, claim.signature], Math.max(maxTaskBytes, MAX_SIGNATURE_BYTES));
    const content = blobs.get(specBlob);
    const signature = blobs.get(claim.signature);
    if (content?.kind !== 'content') return { ok: false, problem: 'its file cannot be read any more' };
    if (signature?.kind !== 'content' || signature.content.length > MAX_SIGNATURE_BYTES) {
      return { ok: false, problem: `its signature cannot be read, or has more than ${MAX_SIGNATURE_BYTES} bytes` };
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
        return {
          ok: false,
          problem:
            'this node remembers as many unexpired signatures as it can; sign for a shorter time (--expires), or give it to another node',
        };
    }
  }
}
