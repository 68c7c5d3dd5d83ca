/** Whether a record is what the node that it names has said. */
import type { GridView } from '../ledger/grid-view.ts';
import { readResultFile } from '../ledger/results.ts';
import { RECORD_SIGNATURE_FILE, STDERR_FILE, STDOUT_FILE } from '../ledger/state-writer.ts';
import { MAX_SIGNATURE_BYTES, RESULT_SIGNATURE_NAMESPACE } from '../signing/names.ts';
import { digestOf } from '../signing/result-signer.ts';
import { checkSignature } from '../signing/ssh-keygen.ts';
import type { ResultRecord } from '../task/result.ts';
import type { GridClient } from './grid-client.ts';

export type ResultVerdict = { ok: true; signer: string } | { ok: false; problem: string };

/**
 * @param bytes of the record, as they are in the repository.
 * @throws SigningError when nothing can be said of any signature; GitError
 */
export async function verifyResult(
  client: GridClient,
  view: GridView,
  { record, bytes }: { record: ResultRecord; bytes: Uint8Array },
  keys: { trustedKeysFile: string; revokedKeysFile: string | null },
): Promise<ResultVerdict> {
  const id = record.task_id;
  const signature = await readResultFile(client, view, id, RECORD_SIGNATURE_FILE);
  if (signature === null) {
    return {
      ok: false,
      problem: 'it is not signed: its node has no key (NODE_SIGNING_KEY_FILE), or somebody else made it',
    };
  }
  if (signature.length > MAX_SIGNATURE_BYTES)
    return { ok: false, problem: `its signature has ${signature.length} bytes` };
  const checked = await checkSignature({ content: bytes, signature, namespace: RESULT_SIGNATURE_NAMESPACE, ...keys });
  if (!checked.ok) return { ok: false, problem: `its signature is not accepted: ${checked.problem}` };
  if (checked.principal !== record.node_id) {
    return { ok: false, problem: `it was signed by ${checked.principal}, and says that ${record.node_id} made it` };
  }
  const logs = [
    [STDOUT_FILE, record.log_sha256?.stdout ?? null],
    [STDERR_FILE, record.log_sha256?.stderr ?? null],
  ] as const;
  for (const [name, expected] of logs) {
    const found = digestOf(await readResultFile(client, view, id, name));
    if (found !== expected) return { ok: false, problem: `${name} is not the one that was signed` };
  }
  return { ok: true, signer: checked.principal };
}
