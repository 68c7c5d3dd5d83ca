import { describe, expect, it } from 'vitest';
import { NO_SIGNATURES, SignatureCheck } from '../../../src/agent/signature-check.ts';
import type { Blob } from '../../../src/git/repository.ts';
import type { NonceVerdict, SignedStart } from '../../../src/host/nonce-memory.ts';
import type { HeldClaim } from '../../../src/ledger/claims.ts';
import { MAX_SIGNATURE_BYTES } from '../../../src/signing/names.ts';
import type { TaskVerdict } from '../../../src/signing/task-verifier.ts';

const GOOD: TaskVerdict = {
  ok: true,
  signer: 'alice',
  admission: { grid: 'g', notBeforeMs: null, expiresAtMs: 5, nonce: 'n'.repeat(16) },
};
const content = (bytes: Buffer | string): Blob => ({ kind: 'content', content: Buffer.from(bytes) });

function check(
  options: { blobs?: Record<string, Blob>; start?: NonceVerdict; signature?: string | null; isRequired?: boolean } = {},
) {
  const { blobs = { spec: content('{}'), sig: content('s') }, start = 'granted', signature = 'sig' } = options;
  const taken: SignedStart[] = [];
  const checking = new SignatureCheck({
    repository: { readBlobs: async () => new Map(Object.entries(blobs)) as never },
    signing: {
      ...NO_SIGNATURES,
      verifier: { verify: async () => GOOD },
      starts: {
        take: async (one) => {
          taken.push(one);
          return start;
        },
        settle: async () => undefined,
      },
    },
    isRequired: options.isRequired ?? true,
    maxTaskBytes: 100,
  }).check({ taskId: 't', signature, state: { specBlob: 'spec', epoch: 3 } } as unknown as HeldClaim);
  return { checking, taken };
}

describe('the last word before a start', () => {
  it('is the signer, and the start is noted under the claim', async () => {
    const { checking, taken } = check();
    expect(await checking).toEqual({ ok: true, signer: 'alice' });
    expect(taken).toEqual([{ nonce: 'n'.repeat(16), taskId: 't', epoch: 3, expiresAtMs: 5 }]);
  });

  it('is no where a signature is missing, used, or too long', async () => {
    expect(await check({ signature: null }).checking).toMatchObject({ ok: false });
    expect(await check({ signature: null, isRequired: false }).checking).toEqual({ ok: true, signer: null });
    expect(await check({ start: 'used' }).checking).toMatchObject({
      ok: false,
      problem: expect.stringMatching(/admission\.nonce/),
    });
    const long = { spec: content('{}'), sig: content('x'.repeat(MAX_SIGNATURE_BYTES + 1)) };
    expect(await check({ blobs: long }).checking).toMatchObject({
      ok: false,
      problem: expect.stringMatching(/signature has more than/),
    });
  });

  it('blames no task for what the host withholds, nor for want of room on this node', async () => {
    await expect(check({ blobs: { spec: content('{}') } }).checking).rejects.toMatchObject({ kind: 'corrupt-remote' });
    await expect(check({ start: 'full' }).checking).rejects.toMatchObject({ name: 'SigningError' });
  });
});
