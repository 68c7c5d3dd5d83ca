/**
 * From task files to signed ones: each gets word of what its signature is good for, and then a signature of its very bytes.
 */
import { TASK_SIGNATURE_NAMESPACE } from '../signing/names.ts';
import { makeSignature } from '../signing/ssh-keygen.ts';
import type { NewTask } from './task-input.ts';

const NONCE_BYTES = 16;

export interface SigningWish {
  /** A private key, or the public half of one that an agent holds. */
  keyFile: string;
  grid: string;
  /** Wall clock. */
  expiresAtMs: number;
  notBeforeMs: number | null;
  maxTaskBytes: number;
  randomHex: (bytes: number) => string;
}

/** With what a signature needs to say, the file would be too long. */
export class TooLongToSignError extends Error {
  override readonly name = 'TooLongToSignError';
}

/** A task file that says already what its signature shall be good for is signed as it is. @throws SigningError, TooLongToSignError */
export async function signTasks(tasks: readonly NewTask[], wish: SigningWish): Promise<NewTask[]> {
  const signed: NewTask[] = [];
  // One after the other: a key may be behind an agent that asks each time.
  for (const task of tasks) {
    const content = withAdmission(task.content, wish);
    if (content.length > wish.maxTaskBytes) {
      const text = `${task.source}: with "admission" the file has ${content.length} bytes, at most ${wish.maxTaskBytes} are allowed (MAX_TASK_BYTES)`;
      throw new TooLongToSignError(text);
    }
    const signature = await makeSignature(content, wish.keyFile, TASK_SIGNATURE_NAMESPACE, 'person');
    signed.push({ ...task, content, signature });
  }
  return signed;
}

function withAdmission(content: Uint8Array, wish: SigningWish): Uint8Array {
  const task = JSON.parse(Buffer.from(content).toString('utf8')) as Record<string, unknown>;
  if (task['admission'] !== undefined) return content;
  const { grid, expiresAtMs, notBeforeMs, randomHex } = wish;
  const admission = {
    grid,
    ...(notBeforeMs === null ? {} : { not_before: new Date(notBeforeMs).toISOString() }),
    expires_at: new Date(expiresAtMs).toISOString(),
    nonce: randomHex(NONCE_BYTES),
  };
  return Buffer.from(`${JSON.stringify({ ...task, admission }, null, 2)}\n`);
}
