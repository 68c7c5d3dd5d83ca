/**
 * Whether a task file is what somebody whom the operator trusts wants to be run, here and now.
 *
 * The signature covers the file's exact bytes. They name the grid, the task, until when it may be started, and a nonce: so a
 * file that was altered, renamed, or put into another grid or a later time is refused, whoever put it there.
 */
import { stat } from 'node:fs/promises';
import type { Clock } from '../runtime.ts';
import type { TaskId } from '../task/id.ts';
import { parseTaskFile, type TaskAdmission } from '../task/spec.ts';
import { LONGEST_TIMEOUT_SECONDS } from '../task/task-schema.ts';
import { TASK_SIGNATURE_NAMESPACE } from './names.ts';
import { checkSignature, SigningError } from './ssh-keygen.ts';

export interface TaskVerifierOptions {
  trustedKeysFile: string;
  revokedKeysFile: string | null;
  /** The name of this grid. */
  grid: string;
  /** A signature that is good for longer is refused: it would have to be remembered for longer. */
  maxLifetimeMs: number;
  maxTaskBytes: number;
  clock: Clock;
}

/** The bytes of a task file, and of its signature. */
export interface SignedFile {
  taskId: TaskId;
  content: Uint8Array;
  signature: Uint8Array;
}

export type TaskVerdict =
  | { ok: true; signer: string; admission: TaskAdmission }
  /** One line that says what is wrong and what to do. */
  | { ok: false; problem: string };

/** Between the clocks of a submitter and of this machine. */
const CLOCK_SKEW_MS = 60_000;
const WRITABLE_BY_OTHERS = 0o002;
const SIGN_AGAIN = 'submit it again with "dgrid submit --sign"';

export class TaskVerifier {
  readonly #options: TaskVerifierOptions;

  constructor(options: TaskVerifierOptions) {
    this.#options = options;
  }

  /** @throws SigningError when nothing can be said of any signature. */
  async verify({ taskId, content, signature }: SignedFile): Promise<TaskVerdict> {
    const { trustedKeysFile, revokedKeysFile, maxTaskBytes } = this.#options;
    await assertUsable(trustedKeysFile, 'TRUSTED_KEYS_FILE');
    if (revokedKeysFile !== null) await assertUsable(revokedKeysFile, 'REVOKED_KEYS_FILE');
    const checked = await checkSignature({
      content,
      signature,
      namespace: TASK_SIGNATURE_NAMESPACE,
      trustedKeysFile,
      revokedKeysFile,
    });
    if (!checked.ok) return { ok: false, problem: `its signature is not accepted: ${checked.problem}` };
    // Read from the bytes that were verified, and from nothing else.
    const parsed = parseTaskFile(content, taskId, { maxTaskBytes, maxTimeoutSeconds: LONGEST_TIMEOUT_SECONDS });
    if (!parsed.ok)
      return { ok: false, problem: `its signature is good, but it is no task: ${parsed.problems.join('; ')}` };
    const { admission } = parsed.spec;
    if (admission === null) {
      return {
        ok: false,
        problem: `admission: is missing, so its signature would be good anywhere and for ever; ${SIGN_AGAIN}`,
      };
    }
    const problem = this.#problemWith(admission);
    return problem === null ? { ok: true, signer: checked.principal, admission } : { ok: false, problem };
  }

  #problemWith({ grid, notBeforeMs, expiresAtMs }: TaskAdmission): string | null {
    const { clock, grid: own, maxLifetimeMs } = this.#options;
    const now = clock.wallMs();
    const iso = (ms: number): string => new Date(ms).toISOString();
    if (grid !== own) {
      return `admission.grid: it was signed for ${JSON.stringify(grid)}, and this is ${JSON.stringify(own)} (GRID_NAME); ${SIGN_AGAIN}`;
    }
    if (expiresAtMs <= now) return `admission.expires_at: its signature expired at ${iso(expiresAtMs)}; ${SIGN_AGAIN}`;
    if (notBeforeMs !== null && notBeforeMs > now + CLOCK_SKEW_MS) {
      return `admission.not_before: its signature is not good before ${iso(notBeforeMs)}; ${SIGN_AGAIN} then`;
    }
    if (expiresAtMs > now + maxLifetimeMs + CLOCK_SKEW_MS) {
      const days = Math.round(maxLifetimeMs / 86_400_000);
      return `admission.expires_at: ${iso(expiresAtMs)} is more than ${days} days ahead (SIGNATURE_MAX_DAYS); ${SIGN_AGAIN}`;
    }
    return null;
  }
}

async function assertUsable(path: string, setting: string): Promise<void> {
  let mode: number;
  try {
    ({ mode } = await stat(path));
  } catch (cause) {
    throw new SigningError(`${setting} (${path}) cannot be read: ${(cause as Error).message}`, { cause });
  }
  if ((mode & WRITABLE_BY_OTHERS) !== 0) {
    throw new SigningError(
      `${setting} (${path}) may be written by anybody on this machine: take that right away (chmod o-w)`,
    );
  }
}
