/**
 * Gives tasks the secrets that they ask for, and may have. Who is refused is not told why: whether there is a secret by a
 * name is nobody's business but the operator's, whose log says it.
 */
import type { Emit } from '../observe/events.ts';
import type { TaskId } from '../task/id.ts';
import { type Asker, refusalOf } from './policy.ts';
import { essence, MAX_TASK_SECRETS_BYTES, type Secret } from './secret.ts';
import { readPolicy, readSecret } from './store.ts';

export interface SecretKeeperParts {
  /** null: there are none. */
  directory: string | null;
  /** null: nobody may have any. */
  policyFile: string | null;
  emit: Emit;
  /** Told of each secret before it is given away, so that the log can mask it. */
  onSecret: (secret: string) => void;
}

export type Grant = { ok: true; secrets: readonly Secret[] } | { ok: false; message: string };

export class SecretKeeper {
  readonly #parts: SecretKeeperParts;

  constructor(parts: SecretKeeperParts) {
    this.#parts = parts;
  }

  /** Never throws: what cannot be read is refused, and the log says why. */
  async grant(task: TaskId, names: readonly string[], asker: Asker): Promise<Grant> {
    if (names.length === 0) return { ok: true, secrets: [] };
    const { emit, onSecret } = this.#parts;
    const secrets: Secret[] = [];
    const refused: Record<string, string> = {};
    for (const name of names) {
      const found = await this.#find(name, asker);
      if ('why' in found) refused[name] = found.why;
      else secrets.push(found);
    }
    const totalBytes = secrets.reduce((sum, { bytes }) => sum + bytes.length, 0);
    if (Object.keys(refused).length === 0 && totalBytes > MAX_TASK_SECRETS_BYTES) {
      for (const { name } of secrets) refused[name] = `all together are over ${MAX_TASK_SECRETS_BYTES} bytes`;
    }
    if (Object.keys(refused).length > 0) {
      emit('secret.refused', { task, signer: asker.signer, refused });
      return { ok: false, message: refusalMessage(Object.keys(refused)) };
    }
    for (const { bytes } of secrets) onSecret(Buffer.from(essence(bytes)).toString('utf8'));
    emit('secret.granted', { task, signer: asker.signer, names });
    return { ok: true, secrets };
  }

  async #find(name: string, asker: Asker): Promise<Secret | { why: string }> {
    const { directory, policyFile } = this.#parts;
    if (directory === null) return { why: 'SECRETS_DIR is not set' };
    if (policyFile === null) return { why: 'SECRETS_POLICY_FILE is not set' };
    try {
      const why = refusalOf(await readPolicy(policyFile), name, asker);
      return why === null ? await readSecret(directory, name) : { why };
    } catch (error) {
      return { why: (error as Error).message };
    }
  }
}

/** The same for what is not there and what is not for this task. */
function refusalMessage(names: readonly string[]): string {
  const quoted = names.map((name) => JSON.stringify(name)).join(', ');
  return `secrets: this node does not give ${quoted} to this task; ask its operator`;
}
