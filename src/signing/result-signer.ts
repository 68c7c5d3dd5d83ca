/** Signs what this node says of a task, so that a reader can tell it from what others wrote into the repository. */
import { createHash } from 'node:crypto';
import type { Emit } from '../observe/events.ts';
import { recordBytes, type TaskResult } from '../task/result.ts';
import { RESULT_SIGNATURE_NAMESPACE } from './names.ts';
import { makeSignature } from './ssh-keygen.ts';

/** Never throws: a result that cannot be signed is told, and published without. */
export type SignResult = (result: TaskResult) => Promise<TaskResult>;

export const leaveUnsigned: SignResult = async (result) => result;

/** One after the other: hundreds of tasks may be settled in one go, and each signature is a process. */
export function resultSigner(keyFile: string, emit: Emit): SignResult {
  const sign = signerWith(keyFile, emit);
  let last: Promise<unknown> = Promise.resolve();
  return (result) => {
    const signed = last.then(() => sign(result));
    last = signed;
    return signed;
  };
}

function signerWith(keyFile: string, emit: Emit): SignResult {
  return async (result) => {
    const { stdoutLog, stderrLog } = result;
    const record =
      stdoutLog || stderrLog
        ? { ...result.record, log_sha256: { stdout: digestOf(stdoutLog), stderr: digestOf(stderrLog) } }
        : result.record;
    try {
      const signature = await makeSignature(recordBytes(record), keyFile, RESULT_SIGNATURE_NAMESPACE, 'worker');
      return { ...result, record, signature };
    } catch (error) {
      emit('signing.result-unsigned', { task: result.record.task_id, err: error });
      return result;
    }
  };
}

export function digestOf(log: Uint8Array | null): string | null {
  return log === null ? null : createHash('sha256').update(log).digest('hex');
}
