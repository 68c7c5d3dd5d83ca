/** Keys, files of trusted keys, and signed task files, made by the real ssh-keygen. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemRandomHex } from '../../src/runtime.ts';
import { TASK_SIGNATURE_NAMESPACE } from '../../src/signing/names.ts';

export const GRID = 'grid.test/tasks';
const WEEK_MS = 7 * 86_400_000;

export interface Admission {
  grid: string;
  expires_at: string;
  nonce: string;
  not_before?: string;
}

export class SigningKeys {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true });
  }

  /** The path of a private key, made at the first call. */
  key(name: string): string {
    const path = join(this.#directory, name);
    if (!existsSync(path)) execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', path]);
    return path;
  }

  publicKey(name: string): string {
    return readFileSync(`${this.key(name)}.pub`, 'utf8').trim();
  }

  /** A file of trusted keys: name → options, such as `namespaces="…"`. */
  trusted(file: string, entries: Readonly<Record<string, string>>): string {
    const path = join(this.#directory, file);
    const lines = Object.entries(entries).map(([name, options]) => `${name} ${options} ${this.publicKey(name)}\n`);
    writeFileSync(path, lines.join(''));
    return path;
  }

  revoked(file: string, names: readonly string[]): string {
    const path = join(this.#directory, file);
    writeFileSync(path, names.map((name) => `${this.publicKey(name)}\n`).join(''));
    return path;
  }

  sign(content: string | Uint8Array, name: string, namespace: string = TASK_SIGNATURE_NAMESPACE): string {
    const args = ['-q', '-Y', 'sign', '-n', namespace, '-f', this.key(name)];
    return execFileSync('ssh-keygen', args, { input: content, stdio: ['pipe', 'pipe', 'ignore'] }).toString();
  }

  /** The two files of a signed task, by their paths. */
  signedTask(id: string, fields: object, signer: string, admission: Partial<Admission> = {}): Record<string, string> {
    const content = signedContent(id, fields, admission);
    const path = `tasks/queue/${id}.json`;
    return { [path]: content, [`${path}.sig`]: this.sign(content, signer) };
  }
}

export const FOR_TASKS = `namespaces="${TASK_SIGNATURE_NAMESPACE}"`;

export function signedContent(id: string, fields: object, admission: Partial<Admission> = {}): string {
  const all: Admission = {
    grid: GRID,
    expires_at: new Date(Date.now() + WEEK_MS).toISOString(),
    nonce: systemRandomHex(16),
    ...admission,
  };
  return `${JSON.stringify({ task_id: id, ...fields, admission: all })}\n`;
}
